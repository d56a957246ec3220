"""Requests measured on the wire, while OpenAI refuses, hangs, drops and repeats itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import openai as openai_api
import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, llm
from livekit.agents.utils import http_context
from livekit.plugins import openai

from metering.meters.attribution import attribution
from metering.meters.models import ModelMeter
from metering.meters.requests import RequestMeter
from metering.usage import Certainty, Usage
from tests.providers.openai import OpenAIServer
from tests.providers.server import Fault
from tests.recording import Recording
from tests.waiting import until

ONCE = APIConnectOptions(max_retry=0, timeout=0.5)
TWICE = APIConnectOptions(max_retry=1, retry_interval=0.02, timeout=0.5)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer(reply="a reply of just six words") as server, http_context.open():
        server.pause_seconds = 0.002
        yield server


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def client(
    server: OpenAIServer, recording: Recording
) -> AsyncIterator[tuple[openai_api.AsyncClient, ModelMeter]]:
    requests = RequestMeter(recording.recorder)
    async with openai_api.AsyncClient(
        api_key="key",
        base_url=f"{server.origin}/v1",
        http_client=requests.http_client(),
        max_retries=0,
        timeout=0.5,
    ) as client:
        yield client, ModelMeter(recording.recorder, requests=requests)


Client = tuple[openai_api.AsyncClient, ModelMeter]


def chat(client: Client, *, how: APIConnectOptions = ONCE, words: str = "one two") -> llm.LLMStream:
    model = openai.LLM(model="gpt-4.1-mini", client=client[0])
    client[1].watch(model)
    context = llm.ChatContext.empty()
    context.add_message(role="user", content=words)
    return model.chat(chat_ctx=context, conn_options=how)


async def settled() -> None:
    """Let the plugin's metric task run to its end."""
    for _ in range(20):
        await asyncio.sleep(0)


def instances(recording: Recording) -> list[dict[str, Usage]]:
    found: dict[str, dict[str, Usage]] = {}
    for usage in recording.run().usages:
        found.setdefault(usage.instance_id, {})[usage.meter] = usage
    return list(found.values())


def holds(usage: Usage, truth: int) -> bool:
    assert usage.certainty is Certainty.ESTIMATED
    assert usage.quantity_lower is not None
    assert usage.quantity_upper is not None
    return usage.quantity_lower <= truth <= usage.quantity_upper


async def test_what_was_reported_is_counted_once_as_it_was_reported(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    server.cached_tokens, server.reasoning_tokens = 1, 4
    server.faults.append(Fault(twice=True))
    with attribution(participant="alice", purpose="notes"):
        async for _ in chat(client):
            pass
    await settled()
    (billed,), (meters,) = server.completions, instances(recording)
    assert {meter: usage.quantity for meter, usage in meters.items()} == {
        "llm_input_tokens": billed.input_tokens,
        "llm_cached_input_tokens": 1,
        "llm_output_tokens": 10,
        "llm_reasoning_tokens": 4,
    }
    for usage in meters.values():
        assert usage.instance_id == f"openai/{billed.request_id}"
        assert (usage.participant, usage.purpose) == ("alice", "notes")
        assert (usage.source, usage.certainty) == ("wire", Certainty.EXACT)


@pytest.mark.parametrize("fault", [Fault(drop_after=3), Fault(vanish_after=3)])
async def test_a_reply_that_broke_off_and_the_one_after_are_two_instances(
    server: OpenAIServer, client: Client, recording: Recording, fault: Fault
) -> None:
    server.faults.append(fault)
    stream = chat(client, how=TWICE)
    with pytest.raises(APIError):
        async for _ in stream:
            pass
    await stream.aclose()
    # The plugin does not repeat what somebody has heard a part of.
    (billed,), (meters,) = server.completions, instances(recording)
    assert holds(meters["llm_input_tokens"], billed.input_tokens)
    assert holds(meters["llm_output_tokens"], billed.output_tokens)
    async for _ in chat(client, how=TWICE):
        pass
    await settled()
    assert len(instances(recording)) == len(server.completions) == 2


async def test_a_request_that_is_never_answered_and_its_retry_are_two_instances(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    server.faults.append(Fault(hang=True))
    async for _ in chat(client, how=TWICE):
        pass
    await settled()
    unanswered, answered = instances(recording)
    assert len(server.completions) == 2
    assert unanswered["llm_output_tokens"].quantity_lower == 0
    assert holds(unanswered["llm_input_tokens"], server.completions[0].input_tokens)
    assert answered["llm_output_tokens"].quantity == Decimal(6)


async def test_an_abandoned_reply_has_bounds(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    server.hang_before_usage = asyncio.Event()
    stream = chat(client)
    for _ in range(3):
        await anext(aiter(stream))
    await stream.aclose()
    await settled()
    server.hang_before_usage.set()
    (billed,), (meters,) = server.completions, instances(recording)
    assert holds(meters["llm_output_tokens"], billed.output_tokens)
    assert (meters["llm_output_tokens"].quantity_lower or 0) >= 3
    assert meters["llm_output_tokens"].provider_ref == billed.request_id


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_a_refused_request_is_no_instance(
    server: OpenAIServer, client: Client, recording: Recording, status: int
) -> None:
    server.faults.append(Fault(refuse=status))
    with pytest.raises(APIError):
        async for _ in chat(client):
            pass
    assert server.completions == []
    assert instances(recording) == []


async def test_a_request_to_nobody_is_no_instance(recording: Recording) -> None:
    requests = RequestMeter(recording.recorder)
    async with openai_api.AsyncClient(
        api_key="key",
        base_url="http://127.0.0.1:9/v1",
        http_client=requests.http_client(),
        max_retries=0,
    ) as client:
        stream = chat((client, ModelMeter(recording.recorder, requests=requests)))
        with pytest.raises(APIError):
            async for _ in stream:
                pass
    assert instances(recording) == []


async def test_a_reply_that_is_not_streamed_is_read_whole(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    await client[0].chat.completions.create(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": "one two three"}]
    )
    (meters,) = instances(recording)
    assert {meter: usage.quantity for meter, usage in meters.items()} == {
        "llm_input_tokens": 3,
        "llm_output_tokens": 6,
    }


async def test_a_voice_is_one_instance_with_what_only_its_plugin_knows(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    voice = openai.TTS(model="tts-1", client=client[0], response_format="pcm")
    client[1].watch(voice)
    async for _ in voice.synthesize("two words"):
        pass
    await settled()
    (meters,) = instances(recording)
    assert meters.keys() == {"tts_characters", "tts_audio"}
    assert meters["tts_characters"].quantity == server.speeches[0].characters == 9
    assert meters["tts_characters"].provider_ref is None


async def test_a_voice_that_never_answered_may_be_billed(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    server.faults.append(Fault(hang=True))
    voice = openai.TTS(model="tts-1", client=client[0], response_format="pcm")
    client[1].watch(voice)
    stream = voice.synthesize("two words")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await anext(aiter(stream))
    await stream.aclose()
    await settled()
    (meters,) = instances(recording)
    assert meters.keys() == {"tts_characters"}
    assert holds(meters["tts_characters"], 9)
    assert holds(meters["tts_characters"], 0)


async def test_what_is_in_flight_when_the_meter_ends_has_bounds(
    server: OpenAIServer, recording: Recording
) -> None:
    server.faults.append(Fault(hang=True))
    requests = RequestMeter(recording.recorder)
    async with openai_api.AsyncClient(
        api_key="key",
        base_url=f"{server.origin}/v1",
        http_client=requests.http_client(),
        max_retries=0,
    ) as client:
        stream = chat((client, ModelMeter(recording.recorder, requests=requests)))
        async with asyncio.timeout(5):
            while not server.hung:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        requests.close()
        requests.close()
        await stream.aclose()
    (meters,) = instances(recording)
    assert meters.keys() == {"llm_input_tokens", "llm_output_tokens"}
    assert all(usage.certainty is Certainty.ESTIMATED for usage in meters.values())
    assert holds(meters["llm_input_tokens"], server.completions[0].input_tokens)


async def test_a_request_in_flight_stands_in_the_journal_with_bounds(
    server: OpenAIServer, recording: Recording, client: Client
) -> None:
    """For a process that is killed while its provider still answers, and bills all of it."""
    server.hang_before_usage = asyncio.Event()
    with attribution(participant="alice", purpose="notes"):
        stream = chat(client)
    await anext(aiter(stream))
    killed = recording.run()
    server.hang_before_usage.set()
    async for _ in stream:
        pass
    await stream.aclose()

    (billed,) = server.completions
    in_flight = {usage.meter: usage for usage in killed.usages}
    truth = {"llm_input_tokens": billed.input_tokens, "llm_output_tokens": billed.output_tokens}
    assert in_flight.keys() == truth.keys()
    for meter, usage in in_flight.items():
        assert usage.certainty is Certainty.ESTIMATED
        assert (usage.participant, usage.purpose) == ("alice", "notes")
        assert usage.quantity_lower is not None
        assert usage.quantity_upper is not None
        assert usage.quantity_lower <= truth[meter] <= usage.quantity_upper
    # And not beside what it came to in the end.
    ended = {usage.meter: usage for usage in recording.run().usages}
    assert len(ended) == len(recording.run().usages)
    for meter in truth:
        assert ended[meter].quantity == truth[meter]
        assert ended[meter].provider_ref == billed.request_id


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_a_request_that_was_refused_is_taken_back(
    server: OpenAIServer, recording: Recording, client: Client, status: int
) -> None:
    server.faults.append(Fault(refuse=status))
    with pytest.raises(APIError):
        async for _ in chat(client):
            pass
    assert [entry["kind"] for entry in recording.entries].count("open") == 2
    assert recording.run().usages == ()


async def recognize(client: Client, *, seconds: int) -> None:
    model = openai.STT(model="whisper-1", client=client[0])
    client[1].watch(model)
    silence = rtc.AudioFrame(b"\x00\x00" * 16_000 * seconds, 16_000, 1, 16_000 * seconds)
    await model.recognize(silence, conn_options=ONCE)


async def test_a_recording_is_counted_once_as_its_plugin_reports_it(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    await recognize(client, seconds=3)
    await settled()
    (used,) = instances(recording)
    (billed,) = server.recordings
    assert used["stt_audio"].quantity == billed.seconds == 3
    assert (used["stt_audio"].certainty, used["stt_audio"].model) == (Certainty.EXACT, "whisper-1")


async def test_a_recording_that_is_never_answered_is_bounded_by_its_length(
    server: OpenAIServer, client: Client, recording: Recording
) -> None:
    server.faults.append(Fault(hang=True))
    asking = asyncio.create_task(recognize(client, seconds=3))
    await until(lambda: len(server.recordings) == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await settled()
    (used,) = instances(recording)
    sound = used["stt_audio"]
    assert (sound.model, sound.quantity, sound.unit) == ("whisper-1", Decimal(3), "second")
    assert (sound.quantity_lower, sound.quantity_upper) == (Decimal(0), Decimal(3))
    assert holds(sound, 3)


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_recording_that_is_refused_is_not_billed(
    server: OpenAIServer, client: Client, recording: Recording, status: int
) -> None:
    server.refusals.append(status)
    with pytest.raises(APIError):
        await recognize(client, seconds=3)
    await settled()
    assert instances(recording) == []
    assert server.recordings == []
