"""A listener on Deepgram's own plugin, while Deepgram is refusing, dropping, and back again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from fractions import Fraction

import aiohttp
import pytest
from livekit import rtc
from pydantic import SecretStr

from agent.listening.listener import Listener
from agent.listening.recognisers import Recogniser, Recognisers
from agent.listening.words import Interim, Speaker
from agent.providers import Warm, build_stt
from agent.request import TranscriptionRequest
from agent.segments import Segment
from agent.settings import AgentSettings
from metering.meters.attribution import attribution
from metering.meters.connections import ConnectionMeter
from tests.at_work import stopped_at_the_end
from tests.providers.deepgram import DeepgramServer
from tests.recording import Recording
from tests.sound import silence, tone
from tests.waiting import until

PATIENCE_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.05


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    async with DeepgramServer() as server:
        yield server


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def session(recording: Recording) -> AsyncIterator[aiohttp.ClientSession]:
    async with ConnectionMeter(recording.recorder).http_session() as session:
        yield session


class Hearing:
    """Somebody who is listened to through Deepgram."""

    def __init__(self, server: DeepgramServer, session: aiohttp.ClientSession) -> None:
        settings = AgentSettings(
            deepgram_api_key=SecretStr(server.api_key),
            deepgram_base_url=server.origin,
            stt="deepgram/nova-3",
        )
        began = time.monotonic()
        self.segments: asyncio.Queue[Segment] = asyncio.Queue()
        self.listener = Listener(
            Speaker("alice", lambda: "Alice", "TR_alice"),
            Recognisers(
                [Recogniser(build_stt(settings, TranscriptionRequest(), Warm(), lambda: session))]
            ),
            now=lambda: time.monotonic() - began,
            on_segment=self.segments.put,
            on_interim=self._ignore,
            attribute=self._attribute,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            kept_seconds=60.0,
        )
        self.task = asyncio.create_task(self.listener.recognise())

    async def _ignore(self, interim: Interim) -> None:
        """The local server says no interims."""

    def _attribute(self) -> AbstractContextManager[None]:
        return attribution(participant="alice", purpose="captions")

    def speak(self, *parts: Iterator[rtc.AudioFrame]) -> None:
        for part in parts:
            for frame in part:
                self.listener.push(frame)

    async def segment(self) -> Segment:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.segments.get()


Hear = Callable[[], Hearing]


@pytest.fixture
async def hear(server: DeepgramServer, session: aiohttp.ClientSession) -> AsyncIterator[Hear]:
    async with stopped_at_the_end(lambda: Hearing(server, session)) as begin:
        yield begin


@pytest.mark.parametrize("status", [503, 500, 429, 401])
async def test_who_speaks_while_deepgram_refuses_is_heard_once_it_does_not(
    server: DeepgramServer, hear: Hear, status: int
) -> None:
    server.refusals.extend([status] * 5)
    hearing = hear()
    hearing.speak(tone(1.5))
    await until(lambda: server.refused >= 3)
    hearing.speak(tone(0.5))
    await until(lambda: len(server.connections) == 1)
    hearing.speak(tone(1.0))
    hearing.listener.end()
    segment = await hearing.segment()
    assert server.refused == 5
    assert segment.text == "heard 3.00 seconds"
    assert (segment.speaker, segment.name) == ("alice", "Alice")


async def test_what_a_dropped_connection_took_with_it_is_said_again(
    server: DeepgramServer, hear: Hear
) -> None:
    server.drop_after_bytes = 32_000
    hearing = hear()
    hearing.speak(tone(1.0))
    await until(lambda: len(server.connections) == 2)
    hearing.speak(tone(0.5))
    hearing.listener.end()
    assert (await hearing.segment()).text == "heard 1.50 seconds"


async def test_what_was_understood_before_the_drop_is_not_said_twice(
    server: DeepgramServer, hear: Hear
) -> None:
    server.drop_after_bytes = 40_000
    hearing = hear()
    hearing.speak(tone(1.0))
    await until(lambda: bool(server.connections) and server.connections[0].audio_bytes == 32_000)
    take = hearing.listener._take
    assert take is not None
    take.pause()
    assert (await hearing.segment()).text == "heard 1.00 seconds"

    hearing.speak(tone(0.5))
    await until(lambda: len(server.connections) == 2)
    hearing.listener.end()
    assert (await hearing.segment()).text == "heard 0.50 seconds"


async def test_no_more_than_a_minute_is_said_again(server: DeepgramServer, hear: Hear) -> None:
    server.refusals.append(503)
    hearing = hear()
    hearing.speak(tone(65.0))
    await until(lambda: len(server.connections) == 1)
    hearing.listener.end()
    assert (await hearing.segment()).text == "heard 60.00 seconds"
    assert server.connections[0].audio_seconds == Fraction(60)


async def test_leaving_brings_out_the_last_words_and_ends_the_listening(
    server: DeepgramServer, recording: Recording, hear: Hear
) -> None:
    hearing = hear()
    hearing.speak(silence(0.5), tone(1.25))
    hearing.listener.end()
    segment = await hearing.segment()
    assert segment.text == "heard 1.25 seconds"
    assert segment.end - segment.start == pytest.approx(1.25, abs=0.02)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await hearing.task
    assert hearing.segments.empty()
    (billed,) = server.connections
    assert billed.closed_at is not None


async def test_each_attempt_that_connected_is_metered_in_the_speakers_name(
    server: DeepgramServer, recording: Recording, hear: Hear
) -> None:
    server.refusals.append(503)
    server.drop_after_bytes = 16_000
    hearing = hear()
    hearing.speak(tone(1.0))
    await until(lambda: len(server.connections) == 2)
    hearing.listener.end()
    assert (await hearing.segment()).text == "heard 1.00 seconds"
    await until(lambda: len(recording.usages("stt_connection")) == 2)
    await until(lambda: all(billed.closed_at is not None for billed in server.connections))

    lives = recording.usages("stt_connection")
    assert [life.provider_ref for life in lives] == [
        billed.request_id for billed in server.connections
    ]
    for life, billed in zip(lives, server.connections, strict=True):
        assert (life.participant, life.purpose) == ("alice", "captions")
        assert (life.provider, life.model) == ("deepgram", "nova-3")
        assert float(life.quantity) == pytest.approx(billed.connection_seconds, abs=0.05)
    last = recording.usages("stt_audio")[-1]
    assert last.quantity == last.provider_stated == Decimal(1)
