"""AssemblyAI's own plugin, metered at the socket, against AssemblyAI's own bill."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt
from livekit.plugins import assemblyai

from metering.journal import HEARTBEAT_SECONDS
from metering.meters.assemblyai_socket import INACTIVITY_SECONDS
from metering.meters.attribution import attribution
from metering.meters.connections import ConnectionMeter
from metering.usage import Certainty
from tests.providers.assemblyai import AssemblyAIServer, BilledSession
from tests.providers.server import Fault
from tests.recording import Recording
from tests.sound import tone
from tests.waiting import hear, until

TOLERANCE_SECONDS = 0.05

Stream = Callable[..., stt.RecognizeStream]


@pytest.fixture
async def server() -> AsyncIterator[AssemblyAIServer]:
    async with AssemblyAIServer() as server:
        yield server


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def make_stream(server: AssemblyAIServer, recording: Recording) -> AsyncIterator[Stream]:
    session = ConnectionMeter(recording.recorder).http_session()

    def stream(*, retries: int = 0, **options: Any) -> stt.RecognizeStream:
        engine = assemblyai.STT(
            api_key=server.api_key, base_url=server.origin, http_session=session, **options
        )
        return engine.stream(
            conn_options=APIConnectOptions(max_retry=retries, retry_interval=0.05, timeout=2)
        )

    yield stream
    await session.close()


async def ended(server: AssemblyAIServer, recording: Recording, count: int) -> None:
    await until(lambda: sum(billed.closed_at is not None for billed in server.connections) == count)
    await until(
        lambda: (
            sum(
                entry["kind"] == "usage" and entry["usage"]["meter"] == "stt_connection"
                for entry in recording.entries
            )
            == count
        )
    )


async def in_the_middle_of_a_sentence(
    server: AssemblyAIServer, make_stream: Stream
) -> stt.RecognizeStream:
    """A stream that goes on, 0.2 s of which have arrived."""
    stream = make_stream()
    for frame in tone(0.2):
        stream.push_frame(frame)
    await until(lambda: bool(server.connections) and server.connections[0].audio_bytes >= 6_400)
    return stream


async def test_each_session_is_one_instance_as_the_provider_bills_it(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    for seconds in (0.5, 1.25):
        with attribution(participant="alice", purpose="captions"):
            stream = make_stream(keyterms_prompt=["Tallyroom"], speaker_labels=True)
        for frame in tone(seconds):
            stream.push_frame(frame)
        stream.end_input()
        assert await hear(stream) == [f"heard {seconds:.2f} seconds"]
        await stream.aclose()
    await ended(server, recording, 2)

    lives = recording.usages("stt_connection")
    sounds = recording.usages("stt_audio")
    assert len(lives) == len(sounds) == 2
    for billed, life, sound in zip(server.connections, lives, sounds, strict=True):
        assert isinstance(billed, BilledSession)
        assert life.instance_id == sound.instance_id
        assert life.provider_ref == sound.provider_ref == billed.request_id
        assert (life.provider, life.model) == ("assemblyai", "universal-3-6-pro")
        assert (life.participant, life.purpose) == ("alice", "captions")
        assert life.attributes == {"diarization": "true", "keyterms": "true"}
        assert life.certainty is sound.certainty is Certainty.EXACT
        assert life.provider_stated == Decimal(str(billed.stated_seconds))
        assert float(life.quantity) == pytest.approx(billed.billed_seconds, abs=TOLERANCE_SECONDS)
        exact = Decimal(billed.audio_bytes) / billed.bytes_per_second
        assert sound.quantity == exact == sound.provider_stated


async def test_a_session_that_is_cut_may_be_billed_until_it_ends_itself(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    server.faults.append(Fault(drop_after=16_000))
    stream = make_stream()
    for frame in tone(1.0):
        stream.push_frame(frame)
    with pytest.raises((APIStatusError, APIConnectionError)):
        await hear(stream)
    await ended(server, recording, 1)
    (billed,), (life,) = server.connections, recording.usages("stt_connection")
    (sound,) = recording.usages("stt_audio")
    assert isinstance(billed, BilledSession)
    assert life.certainty is Certainty.BOUNDED
    assert life.quantity_lower == life.quantity
    assert life.quantity_upper == life.quantity + INACTIVITY_SECONDS
    assert life.provider_stated is None
    assert float(life.quantity_upper) >= billed.billed_seconds - TOLERANCE_SECONDS
    assert billed.billed_seconds >= INACTIVITY_SECONDS
    assert sound.certainty is Certainty.BOUNDED
    assert sound.quantity_lower is not None
    assert sound.quantity_upper is not None
    assert sound.quantity_lower <= Decimal(billed.audio_bytes) / 32_000 <= sound.quantity_upper


async def test_a_session_that_its_plugin_does_not_end_is_ended_by_the_meter(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    stream = await in_the_middle_of_a_sentence(server, make_stream)
    # `aclose` alone, as when a job ends in the middle of a sentence.
    await stream.aclose()
    await ended(server, recording, 1)
    (life,), (sound,) = recording.usages("stt_connection"), recording.usages("stt_audio")
    (billed,) = server.connections
    assert isinstance(billed, BilledSession)
    assert billed.stated_seconds is not None
    assert billed.billed_seconds == billed.connection_seconds
    assert life.certainty is Certainty.EXACT
    assert life.provider_stated == Decimal(str(billed.stated_seconds))
    assert float(life.quantity) == pytest.approx(billed.billed_seconds, abs=TOLERANCE_SECONDS)
    # We closed it on a connection that stood, so that every byte before has arrived.
    assert sound.certainty is Certainty.EXACT
    assert sound.quantity == Decimal(server.connections[0].audio_bytes) / 32_000


async def test_an_end_that_is_not_confirmed_may_not_have_arrived(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    server.is_half_open = True
    stream = await in_the_middle_of_a_sentence(server, make_stream)
    await stream.aclose()
    await ended(server, recording, 1)
    (life,), (billed,) = recording.usages("stt_connection"), server.connections
    assert isinstance(billed, BilledSession)
    assert life.certainty is Certainty.BOUNDED
    assert life.quantity_lower == life.quantity
    assert life.quantity_upper == life.quantity + INACTIVITY_SECONDS
    assert float(life.quantity_upper) >= billed.billed_seconds - TOLERANCE_SECONDS
    assert billed.billed_seconds >= INACTIVITY_SECONDS


async def test_what_a_killed_job_may_still_be_billed_is_on_its_record(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    """Nobody ends its session, but the inactivity timeout that it was opened with."""
    stream = await in_the_middle_of_a_sentence(server, make_stream)
    killed = recording.run()
    (life,) = [usage for usage in killed.usages if usage.meter == "stt_connection"]
    (billed,) = server.connections
    assert billed.query["inactivity_timeout"] == str(INACTIVITY_SECONDS)
    assert life.certainty is Certainty.BOUNDED
    assert life.quantity_lower is not None
    assert life.quantity_upper is not None
    exposed = life.quantity_upper - life.quantity_lower
    assert INACTIVITY_SECONDS <= exposed <= INACTIVITY_SECONDS + 2 * HEARTBEAT_SECONDS
    await stream.aclose()


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_a_refused_handshake_is_no_session(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream, status: int
) -> None:
    server.faults.append(Fault(refuse=status))
    stream = make_stream()
    stream.end_input()
    with pytest.raises(Exception, match=str(status)):
        await hear(stream)
    assert server.refused == 1
    assert recording.usages("stt_connection") == []


async def test_a_handshake_that_is_never_answered_may_have_been_a_session(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    server.faults.append(Fault(hang=True))
    stream = make_stream()
    await until(lambda: server.hung == 1)
    await stream.aclose()
    (life,) = recording.usages("stt_connection")
    assert (life.certainty, life.quantity) == (Certainty.ESTIMATED, Decimal(0))
    assert life.quantity_lower == 0
    assert life.quantity_upper is not None


async def test_a_session_says_everything_twice_and_counts_once(
    server: AssemblyAIServer, recording: Recording, make_stream: Stream
) -> None:
    server.faults.append(Fault(twice=True, slow_seconds=0.1))
    stream = make_stream()
    for frame in tone(0.3):
        stream.push_frame(frame)
    stream.end_input()
    await hear(stream)
    with contextlib.suppress(Exception):
        await stream.aclose()
    await ended(server, recording, 1)
    (life,), (sound,) = recording.usages("stt_connection"), recording.usages("stt_audio")
    assert sound.quantity == sound.provider_stated == Decimal("0.3")
    assert life.provider_ref == server.connections[0].request_id
