"""A realtime model's responses, those too of which its plugin says nothing, against the bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit.agents.utils import http_context
from livekit.plugins import openai

from metering.meters.models import ModelMeter
from metering.usage import Certainty
from tests.providers.openai_voice import OpenAIVoiceServer
from tests.recording import Recording
from tests.waiting import until

Session = openai.realtime.RealtimeSession


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def server() -> AsyncIterator[OpenAIVoiceServer]:
    async with OpenAIVoiceServer() as server, http_context.open():
        yield server


@pytest.fixture
def meter(recording: Recording) -> ModelMeter:
    return ModelMeter(recording.recorder)


@pytest.fixture
async def session(server: OpenAIVoiceServer, meter: ModelMeter) -> AsyncIterator[Session]:
    model = openai.realtime.RealtimeModel(
        model="gpt-realtime", base_url=f"{server.origin}/v1", api_key=server.api_key
    )
    session = model.session()
    meter.watch(session)
    meter.watch(session)
    yield session
    await session.aclose()
    await model.aclose()


async def test_a_response_is_counted_once(
    server: OpenAIVoiceServer, recording: Recording, session: Session
) -> None:
    await session.generate_reply(instructions="say hello")
    await until(lambda: bool(recording.usages("realtime_output_audio_tokens")))
    (billed,) = server.responses
    (said,) = recording.usages("realtime_output_audio_tokens")
    assert said.provider_ref == billed.response_id
    assert said.quantity == billed.output_audio
    assert (said.provider, said.model) == ("openai", "gpt-realtime")


async def test_a_response_that_was_given_up_before_it_began_is_billed(
    server: OpenAIVoiceServer, recording: Recording, session: Session
) -> None:
    """The plugin discards it without a word."""
    session.generate_reply(instructions="say hello").cancel()
    await until(lambda: bool(recording.usages("realtime_output_audio_tokens")))
    (billed,) = server.responses
    (said,) = recording.usages("realtime_output_audio_tokens")
    (heard,) = recording.usages("realtime_input_text_tokens")
    assert said.provider_ref == heard.provider_ref == billed.response_id
    assert heard.quantity == billed.input_text
    assert said.quantity == billed.output_audio


async def test_a_response_that_was_never_done_is_an_instance_without_a_size(
    server: OpenAIVoiceServer, recording: Recording, session: Session
) -> None:
    server.hang_before_done = asyncio.Event()
    await session.generate_reply(instructions="say hello")
    killed = recording.run()
    server.hang_before_done.set()
    (said,) = [usage for usage in killed.usages if usage.meter == "realtime_output_audio_tokens"]
    assert said.quantity == said.quantity_lower == 0
    assert said.quantity_upper is None
    assert said.certainty is Certainty.ESTIMATED
    assert (said.provider, said.model) == ("openai", "gpt-realtime")
