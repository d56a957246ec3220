"""OpenAI's own plugin, metered by its metrics, against OpenAI's own bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from livekit.agents import APIConnectOptions, llm
from livekit.agents.utils import http_context
from livekit.plugins import openai

from metering.meters.attribution import attribution
from metering.meters.models import ModelMeter
from metering.usage import Certainty
from tests.providers.openai import OpenAIServer
from tests.recording import Recording


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server, http_context.open():
        yield server


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def meter(recording: Recording) -> ModelMeter:
    return ModelMeter(recording.recorder)


def chat_model(server: OpenAIServer, meter: ModelMeter) -> openai.LLM:
    model = openai.LLM(model="gpt-4.1-mini", base_url=f"{server.origin}/v1", api_key="key")
    meter.watch(model)
    meter.watch(model)
    return model


def asking(text: str) -> llm.ChatContext:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=text)
    return context


async def settled() -> None:
    """Let the plugin's metric task run to its end."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_tokens_equal_the_bill(
    server: OpenAIServer, meter: ModelMeter, recording: Recording
) -> None:
    server.cached_tokens, server.reasoning_tokens = 2, 3
    model = chat_model(server, meter)
    with attribution(purpose="notes"):
        stream = model.chat(chat_ctx=asking("what did we decide today"))
        async for _ in stream:
            pass
    await settled()

    (billed,) = server.completions
    usages = {usage.meter: usage for usage in recording.run(alive=True).usages}
    assert {name: usage.quantity for name, usage in usages.items()} == {
        "llm_input_tokens": billed.input_tokens,
        "llm_cached_input_tokens": billed.cached_tokens,
        "llm_output_tokens": billed.output_tokens,
        "llm_reasoning_tokens": billed.reasoning_tokens,
    }
    for usage in usages.values():
        assert usage.instance_id == f"openai/{billed.request_id}"
        assert (usage.provider, usage.model) == ("openai", "gpt-4.1-mini")
        assert usage.purpose == "notes"
        assert usage.certainty is Certainty.EXACT


async def test_a_cancelled_reply_is_an_instance_without_a_size(
    server: OpenAIServer, meter: ModelMeter, recording: Recording
) -> None:
    server.hang_before_usage = asyncio.Event()
    stream = chat_model(server, meter).chat(chat_ctx=asking("tell me everything"))
    await anext(aiter(stream))
    await stream.aclose()
    await settled()
    server.hang_before_usage.set()

    assert len(server.completions) == 1
    usages = recording.run(alive=True).usages
    assert {usage.meter for usage in usages} == {"llm_input_tokens", "llm_output_tokens"}
    assert all(usage.unreported for usage in usages)


async def test_a_refused_request_that_is_tried_again_is_billed_once(
    server: OpenAIServer, meter: ModelMeter, recording: Recording
) -> None:
    server.refusals.append(500)
    stream = chat_model(server, meter).chat(
        chat_ctx=asking("one two three"),
        conn_options=APIConnectOptions(max_retry=2, retry_interval=0.05),
    )
    async for _ in stream:
        pass
    await settled()
    assert server.refused == 1
    assert len(server.completions) == 1
    (usage,) = recording.usages("llm_input_tokens")
    assert usage.quantity == Decimal(3)


async def test_characters_equal_the_bill(
    server: OpenAIServer, meter: ModelMeter, recording: Recording
) -> None:
    voice = openai.TTS(
        model="tts-1", base_url=f"{server.origin}/v1", api_key="key", response_format="pcm"
    )
    meter.watch(voice)
    # The plugin gives speech requests no id, so nothing but their order tells them apart.
    for text in ("four words to say", "two words"):
        async for _ in voice.synthesize(text):
            pass
    await settled()

    characters = recording.usages("tts_characters")
    assert [usage.quantity for usage in characters] == [17, 9]
    assert [billed.characters for billed in server.speeches] == [17, 9]
    assert len({usage.instance_id for usage in characters}) == 2
    assert {(usage.provider, usage.model) for usage in characters} == {("openai", "tts-1")}
    # The framework pads a reply's last frame by up to a hundredth of a second.
    assert [round(usage.quantity, 1) for usage in recording.usages("tts_audio")] == [
        Decimal("0.4"),
        Decimal("0.2"),
    ]
