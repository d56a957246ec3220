"""LiveKit Inference, and OpenAI's pooled realtime sockets, against their own bills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from livekit.agents import APIConnectOptions, inference, stt
from livekit.agents.utils import http_context
from livekit.plugins import openai

from metering.meters.connections import ConnectionMeter
from metering.meters.models import ModelMeter
from metering.usage import Certainty
from tests.providers.inference import InferenceServer
from tests.providers.openai_realtime import OpenAIRealtimeServer
from tests.providers.server import Fault
from tests.recording import Recording
from tests.sound import silence, tone
from tests.waiting import until

TOLERANCE_SECONDS = 0.05
ONCE = APIConnectOptions(max_retry=0, timeout=2)


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def gateway() -> AsyncIterator[InferenceServer]:
    async with InferenceServer() as server:
        yield server


@pytest.fixture
async def realtime() -> AsyncIterator[OpenAIRealtimeServer]:
    async with OpenAIRealtimeServer() as server, http_context.open():
        yield server


async def final(stream: stt.RecognizeStream) -> str:
    async for event in stream:
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            return event.alternatives[0].text
    raise AssertionError("nothing was heard")


def ended(recording: Recording) -> int:
    """How many connections have ended, as far as the journal knows."""
    return sum(
        entry["kind"] == "usage" and entry["usage"]["meter"] == "stt_connection"
        for entry in recording.entries
    )


async def test_inference_is_metered_at_its_socket_and_its_metric_is_not_counted_again(
    gateway: InferenceServer, recording: Recording
) -> None:
    connections = ConnectionMeter(recording.recorder)
    models = ModelMeter(recording.recorder, connections)
    async with connections.http_session() as session:
        engine = inference.STT(
            model="deepgram/nova-3",
            language="en",
            base_url=f"{gateway.origin}/v1",
            api_key="key",
            api_secret="a secret of the length that is asked for",
            http_session=session,
        )
        models.watch(engine)
        stream = engine.stream(conn_options=ONCE)
        for frame in tone(0.5):
            stream.push_frame(frame)
        stream.end_input()
        assert [
            event.alternatives[0].text
            async for event in stream
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        ] == ["heard 0.50 seconds"]
        await stream.aclose()
        await until(lambda: gateway.connections[0].closed_at is not None)
    (billed,) = gateway.connections
    (life,), (sound,) = recording.usages("stt_connection"), recording.usages("stt_audio")
    assert life.provider_ref == sound.provider_ref == billed.request_id
    assert (life.provider, life.model) == ("livekit", "deepgram/nova-3")
    assert life.attributes == {"language": "en"}
    assert float(life.quantity) == pytest.approx(billed.connection_seconds, abs=TOLERANCE_SECONDS)
    assert sound.quantity == Decimal(billed.audio_bytes) / 32_000 == Decimal("0.5")


async def test_a_pooled_socket_outlives_its_streams_and_is_one_instance(
    realtime: OpenAIRealtimeServer, recording: Recording
) -> None:
    connections = ConnectionMeter(recording.recorder)
    models = ModelMeter(recording.recorder, connections)
    connections.trace(http_context.http_session())
    connections.trace(http_context.http_session())
    engine = openai.STT(
        model="gpt-4o-mini-transcribe",
        base_url=f"{realtime.origin}/v1",
        api_key=realtime.api_key,
        use_realtime=True,
    )
    models.watch(engine)
    stream = engine.stream(conn_options=ONCE)
    for frame in [*tone(0.5), *silence(0.5), *tone(0.25), *silence(0.5)]:
        stream.push_frame(frame)
    stream.flush()
    assert (await final(stream)).startswith("heard 0.")
    assert (await final(stream)).startswith("heard 0.")
    await until(lambda: len(recording.usages("stt_input_tokens")) == 2)
    await stream.aclose()
    assert ended(recording) == 0
    await engine.aclose()
    await http_context.http_session().close()
    await until(lambda: realtime.connections[0].closed_at is not None)

    (billed,) = realtime.connections
    (life,) = recording.usages("stt_connection")
    assert (life.provider, life.model) == ("openai", "gpt-4o-mini-transcribe")
    assert life.certainty is Certainty.EXACT
    assert float(life.quantity) == pytest.approx(billed.connection_seconds, abs=TOLERANCE_SECONDS)
    # The socket's class is not ours: what the plugin says was heard is counted.
    assert [
        (tokens.quantity, said.quantity, audio.quantity)
        for tokens, said, audio in zip(
            recording.usages("stt_input_tokens"),
            recording.usages("stt_output_tokens"),
            recording.usages("stt_audio"),
            strict=True,
        )
    ] == [
        (Decimal(item.input_tokens), Decimal(item.output_tokens), Decimal(item.audio_ms) / 1000)
        for item in realtime.items
    ]


async def test_a_pooled_socket_that_the_provider_drops_while_nobody_listens_has_ended(
    realtime: OpenAIRealtimeServer, recording: Recording
) -> None:
    connections = ConnectionMeter(recording.recorder)
    connections.trace(http_context.http_session())
    realtime.faults.append(Fault(drop_after=24_000))
    session = http_context.http_session()
    url = f"{realtime.origin}/v1/realtime?intent=transcription&model=gpt-4o-mini-transcribe"
    socket = await session.ws_connect(url, headers={"Authorization": "Bearer key"})
    half_a_second = "A" * 32_000
    await socket.send_json({"type": "input_audio_buffer.append", "audio": half_a_second})
    await until(lambda: bool(realtime.connections[0].closed_at))
    await until(lambda: ended(recording) == 1)
    (life,) = recording.usages("stt_connection")
    assert float(life.quantity) == pytest.approx(
        realtime.connections[0].connection_seconds, abs=TOLERANCE_SECONDS
    )
