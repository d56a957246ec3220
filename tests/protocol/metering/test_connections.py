"""Deepgram's own plugin, metered at the socket, against Deepgram's own bill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt
from livekit.plugins import deepgram

from metering.meters.attribution import attribution
from metering.meters.connections import ConnectionMeter
from metering.meters.models import ModelMeter
from metering.usage import Certainty
from tests.providers.deepgram import DeepgramServer
from tests.providers.server import Fault
from tests.recording import Recording
from tests.sound import tone
from tests.waiting import hear, until

# What the provider and we each call the same instant, over loopback on a busy machine.
TOLERANCE_SECONDS = 0.05

Stream = Callable[..., stt.RecognizeStream]


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    async with DeepgramServer() as server:
        yield server


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def make_stream(server: DeepgramServer, recording: Recording) -> AsyncIterator[Stream]:
    session = ConnectionMeter(recording.recorder).http_session()

    def stream(*, retries: int = 0, **options: Any) -> stt.RecognizeStream:
        engine = deepgram.STT(
            api_key=server.api_key,
            base_url=f"{server.origin}/v1/listen",
            http_session=session,
            **options,
        )
        return engine.stream(
            conn_options=APIConnectOptions(max_retry=retries, retry_interval=0.05, timeout=2)
        )

    yield stream
    await session.close()


async def closed(server: DeepgramServer, recording: Recording, count: int) -> None:
    """Wait until the server has closed its side and the meter ours."""
    await until(lambda: sum(billed.closed_at is not None for billed in server.connections) == count)
    await until(lambda: sum(entry["kind"] == "usage" for entry in recording.entries) == 2 * count)


async def test_each_socket_is_one_instance_as_the_provider_bills_it(
    server: DeepgramServer, recording: Recording, make_stream: Stream
) -> None:
    for seconds in (0.5, 1.25):
        with attribution(participant="alice", purpose="captions"):
            stream = make_stream()
        for frame in tone(seconds):
            stream.push_frame(frame)
        stream.end_input()
        assert await hear(stream) == [f"heard {seconds:.2f} seconds"]
        await stream.aclose()
    await closed(server, recording, 2)

    lives = recording.usages("stt_connection")
    sounds = recording.usages("stt_audio")
    assert len(server.connections) == len(lives) == len(sounds) == 2
    for billed, life, sound in zip(server.connections, lives, sounds, strict=True):
        assert life.instance_id == sound.instance_id == f"deepgram/{billed.request_id}"
        assert life.provider_ref == billed.request_id
        assert (life.provider, life.model) == ("deepgram", "nova-3")
        assert (life.participant, life.purpose) == ("alice", "captions")
        assert life.certainty is Certainty.EXACT
        assert float(life.quantity) == pytest.approx(
            billed.connection_seconds, abs=TOLERANCE_SECONDS
        )
        exact = Decimal(billed.audio_bytes) / billed.bytes_per_second
        assert sound.quantity == exact == sound.provider_stated


async def test_paid_features_are_read_off_the_wire(
    server: DeepgramServer, recording: Recording, make_stream: Stream
) -> None:
    stream = make_stream(language="multi", enable_diarization=True, keyterm=["Tallyroom"])
    for frame in tone(0.2):
        stream.push_frame(frame)
    stream.end_input()
    await hear(stream)
    await closed(server, recording, 1)
    (life,) = recording.usages("stt_connection")
    assert life.attributes == {"language": "multi", "diarization": "true", "keyterms": "true"}


async def test_a_dropped_connection_and_its_successor_are_two_instances(
    server: DeepgramServer, recording: Recording, make_stream: Stream
) -> None:
    server.drop_after_bytes = 16_000
    stream = make_stream(retries=3)
    for frame in tone(1.0):
        stream.push_frame(frame)
    await until(lambda: len(server.connections) == 2)
    for frame in tone(0.5):
        stream.push_frame(frame)
    stream.end_input()
    await hear(stream)
    await closed(server, recording, 2)

    lives = recording.usages("stt_connection")
    assert [life.provider_ref for life in lives] == [
        billed.request_id for billed in server.connections
    ]
    for billed, life in zip(server.connections, lives, strict=True):
        assert float(life.quantity) == pytest.approx(
            billed.connection_seconds, abs=TOLERANCE_SECONDS
        )


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_refused_handshake_is_no_connection(
    server: DeepgramServer, recording: Recording, make_stream: Stream, status: int
) -> None:
    server.refusals.append(status)
    stream = make_stream()
    stream.end_input()
    with pytest.raises((APIStatusError, APIConnectionError)):
        await hear(stream)
    assert server.refused == 1
    assert recording.usages("stt_connection") == []


async def test_a_handshake_that_was_given_up_may_have_been_accepted(
    server: DeepgramServer, recording: Recording, make_stream: Stream
) -> None:
    server.faults.append(Fault(hang=True))
    with attribution(participant="alice", purpose="captions"):
        stream = make_stream()
    with pytest.raises(APIConnectionError):
        await hear(stream)
    (life,) = recording.usages("stt_connection")
    assert life.certainty is Certainty.ESTIMATED
    assert life.quantity == life.quantity_lower == 0
    # As long as the plugin has waited for it.
    assert life.quantity_upper is not None
    assert float(life.quantity_upper) == pytest.approx(2, abs=0.5)
    assert (life.provider, life.model, life.provider_ref) == ("deepgram", "nova-3", None)
    assert (life.participant, life.purpose) == ("alice", "captions")


async def test_nobody_who_could_be_asked_is_no_connection(
    recording: Recording, unused_tcp_port: int
) -> None:
    async with ConnectionMeter(recording.recorder).http_session() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.ws_connect(f"ws://127.0.0.1:{unused_tcp_port}/v1/listen")
    assert recording.usages("stt_connection") == []


async def test_a_socket_that_is_still_open_counts_its_audio_at_each_heartbeat(
    server: DeepgramServer, recording: Recording, make_stream: Stream
) -> None:
    stream = make_stream()
    for frame in tone(2.0):
        stream.push_frame(frame)
    stream.flush()
    await anext(aiter(stream))
    await until(lambda: server.connections[0].audio_bytes == 64_000)
    recording.entries.extend(recording.recorder.beat())
    killed = recording.run()
    (sound,) = [usage for usage in killed.usages if usage.meter == "stt_audio"]
    (life,) = [usage for usage in killed.usages if usage.meter == "stt_connection"]
    assert sound.quantity == Decimal(2)
    assert sound.certainty is Certainty.BOUNDED
    assert life.quantity_lower is not None
    assert life.quantity_upper is not None
    await stream.aclose()


async def test_audio_that_only_the_plugin_reports_has_the_features_of_its_socket(
    server: DeepgramServer, recording: Recording
) -> None:
    """A client session of somebody else's, traced: its messages are not seen, its query is."""
    meter = ConnectionMeter(recording.recorder)
    models = ModelMeter(recording.recorder, meter)

    def reported(count: int) -> bool:
        return len(recording.usages("stt_audio")) == count

    async with aiohttp.ClientSession() as session:
        meter.trace(session)
        for count, language, diarized in ((2, "multi", True), (4, "de", False)):
            engine = deepgram.STT(
                api_key=server.api_key,
                base_url=f"{server.origin}/v1/listen",
                http_session=session,
                language=language,
                enable_diarization=diarized,
            )
            models.watch(engine)
            stream = engine.stream(conn_options=APIConnectOptions(max_retry=0, timeout=2))
            for _ in range(2):
                # The plugin does not know the connection's id before the first result.
                for frame in tone(0.5):
                    stream.push_frame(frame)
                stream.flush()
                async for event in stream:
                    if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                        break
            await until(partial(reported, count))
            await stream.aclose()
    first, second = (billed.request_id for billed in server.connections)
    multi = {"language": "multi", "diarization": "true"}
    assert [(usage.provider_ref, usage.attributes) for usage in recording.usages("stt_audio")] == [
        (None, multi),
        (first, multi),
        (None, {"language": "de"}),
        (second, {"language": "de"}),
    ]


async def test_a_socket_that_outlives_the_meter_is_at_least_as_long_as_was_seen(
    server: DeepgramServer, recording: Recording
) -> None:
    meter = ConnectionMeter(recording.recorder)
    async with aiohttp.ClientSession() as session:
        meter.trace(session)
        url = f"{server.origin}/v1/listen?model=nova-3&sample_rate=16000&channels=1"
        headers = {"Authorization": f"Token {server.api_key}"}
        async with session.ws_connect(url, headers=headers):
            meter.close()
    (life,) = recording.usages("stt_connection")
    assert life.certainty is Certainty.PARTIAL
    assert life.quantity_lower == life.quantity
    assert life.quantity_upper is None
