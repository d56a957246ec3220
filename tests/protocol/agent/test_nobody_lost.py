"""Deepgram away for minutes, flapping, replaced and back: every second becomes words."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from livekit import rtc
from pydantic import SecretStr

from agent.listening.backlog import AudioAllowance
from agent.listening.gate import PREROLL_SECONDS, TAIL_SECONDS, Gate
from agent.listening.listener import Listener
from agent.listening.recognisers import Recogniser, Recognisers, StreamTraits
from agent.listening.silence import SilencePolicy
from agent.listening.speech_detector import SileroModel
from agent.listening.words import Speaker
from agent.providers import Warm, build_stt, stream_traits
from agent.request import TranscriptionRequest
from agent.segments import Gap, Segment
from agent.settings import AgentSettings, ModelChoice
from metering.meters.connections import ConnectionMeter
from tests.providers.assemblyai import AssemblyAIServer, BilledSession
from tests.providers.deepgram import DeepgramServer
from tests.providers.server import Fault
from tests.providers.speech import BilledConnection, SpeechServer
from tests.recording import Recording
from tests.sound import RATE, spoken
from tests.waiting import until

PATIENCE_SECONDS = 60.0
FRAME = RATE // 20
USUAL = StreamTraits()


def sound(seconds: float) -> Iterator[rtc.AudioFrame]:
    """A tone in frames of 50 ms, which the local server takes for speech."""
    wave = (6000 * np.sin(np.arange(FRAME) * 2 * np.pi * 220 / RATE)).astype(np.int16).tobytes()
    for _ in range(round(seconds * 20)):
        yield rtc.AudioFrame(wave, RATE, 1, FRAME)


def settings_of(server: SpeechServer) -> AgentSettings:
    """What has a provider's plugin speak to its local server."""
    if isinstance(server, AssemblyAIServer):
        return AgentSettings(
            assemblyai_api_key=SecretStr(server.api_key),
            assemblyai_base_url=server.origin,
            stt="assemblyai/universal-streaming-english",
        )
    return AgentSettings(
        deepgram_api_key=SecretStr(server.api_key),
        deepgram_base_url=server.origin,
        stt="deepgram/nova-3",
    )


class Hearing:
    """Somebody who is listened to through one or more providers."""

    def __init__(
        self,
        session: object,
        *servers: SpeechServer,
        gate: Gate | None = None,
        traits: StreamTraits,
        closes: bool,
    ) -> None:
        self.segments: list[Segment] = []
        self.gaps: list[Gap] = []
        began = time.monotonic()
        policy = SilencePolicy(closes, hold_seconds=0.1)
        self.recognisers = Recognisers(
            [
                Recogniser(
                    build_stt(
                        settings_of(server),
                        TranscriptionRequest(),
                        Warm(),
                        lambda: session,  # type: ignore[arg-type, return-value]
                    ),
                    silence=policy,
                    traits=traits,
                )
                for server in servers
            ]
        )
        self.listener = Listener(
            Speaker("alice", lambda: "Alice", "TR_alice"),
            self.recognisers,
            now=lambda: time.monotonic() - began,
            on_segment=self._keep,
            on_interim=self._ignore,
            on_gap=self.gaps.append,
            gate=gate,
            allowance=AudioAllowance(3600.0),
            first_pause_seconds=0.02,
        )
        self.task = asyncio.create_task(self.listener.recognise())

    async def _keep(self, segment: Segment) -> None:
        self.segments.append(segment)

    async def _ignore(self, _: object) -> None:
        """The local server says no interims."""

    def speak(self, frames: Iterator[rtc.AudioFrame]) -> None:
        for frame in frames:
            self.listener.push(frame)

    def pause(self) -> None:
        take = self.listener._take
        assert take is not None
        take.pause()

    @property
    def heard(self) -> float:
        """Seconds of speech that have become words."""
        return sum(
            float(number)
            for segment in self.segments
            for number in re.findall(r"heard ([\d.]+) seconds", segment.text)
        )

    async def over(self) -> None:
        self.listener.end()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.task


@pytest.fixture
async def session() -> AsyncIterator[object]:
    async with ConnectionMeter(Recording().recorder).http_session() as session:
        yield session


@contextlib.asynccontextmanager
async def hearing(
    session: object,
    *servers: SpeechServer,
    gate: Gate | None = None,
    traits: StreamTraits = USUAL,
    closes: bool = True,
) -> AsyncIterator[Hearing]:
    someone = Hearing(session, *servers, gate=gate, traits=traits, closes=closes)
    try:
        yield someone
    finally:
        someone.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await someone.task


async def test_ten_minutes_without_an_answer_are_heard_when_it_is_back(session: object) -> None:
    async with DeepgramServer() as server, hearing(session, server) as someone:
        server.refusals.extend([503] * 5)
        for _ in range(10):
            someone.speak(sound(60.0))
            await until(lambda: server.refused >= 1)
        await until(lambda: bool(server.connections), timeout=PATIENCE_SECONDS)
        await someone.over()
        assert someone.heard == pytest.approx(600.0, abs=0.1)
        assert someone.gaps == []


@pytest.mark.parametrize("lead", [math.inf, 2.0])
async def test_a_backlog_is_sent_in_parts_that_its_provider_takes(
    session: object, lead: float
) -> None:
    async with (
        AssemblyAIServer() as server,
        hearing(session, server, traits=StreamTraits(lead=lead)) as someone,
    ):
        server.longest_lead = 4.0
        server.refusals.append(503)
        someone.speak(sound(9.0))
        await until(lambda: bool(server.connections), timeout=PATIENCE_SECONDS)
        if math.isinf(lead):
            await until(lambda: all(map(was_too_fast, server.connections)))
            return
        await someone.over()
        assert someone.heard == pytest.approx(9.0, abs=0.1)
        assert someone.gaps == []
        assert len(server.connections) == 5
        assert not any(map(was_too_fast, server.connections))


async def test_a_turn_at_assemblyai_ends_with_the_speech_where_the_session_is_kept(
    session: object,
) -> None:
    traits = stream_traits(ModelChoice("assemblyai", "universal-streaming-english"))
    async with (
        AssemblyAIServer() as server,
        hearing(session, server, traits=traits, closes=False) as someone,
    ):
        for number in range(1, 3):
            someone.speak(sound(1.0))
            await until(
                lambda least=number: (  # type: ignore[misc]
                    bool(server.connections) and server.connections[0].audio_seconds >= least
                )
            )
            someone.pause()
            await until(lambda least=number: someone.heard >= least - 0.05)  # type: ignore[misc]
        assert len(server.connections) == 1
        assert server.connections[0].closed_at is None


def was_too_fast(connection: BilledConnection) -> bool:
    assert isinstance(connection, BilledSession)
    return connection.was_too_fast


async def test_a_flapping_provider_costs_no_word_and_none_comes_twice(session: object) -> None:
    async with DeepgramServer() as server, hearing(session, server) as someone:
        # Each connection hears a second, and is cut in the middle of the next.
        server.faults.extend([Fault(drop_after=48_000)] * 8)
        for count in range(1, 9):
            someone.speak(sound(1.0))
            await until(lambda least=count: len(server.connections) >= least)  # type: ignore[misc]
            someone.pause()
            await until(lambda least=count: someone.heard >= least - 0.05)  # type: ignore[misc]
        await someone.over()
        assert len(server.connections) == 8
        assert someone.heard == pytest.approx(8.0, abs=0.1)
        assert someone.gaps == []


async def test_one_provider_stands_in_for_another_until_it_is_back(
    session: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.listening.recognisers.FIRST_REST_SECONDS", 0.5)
    async with (
        DeepgramServer() as wanted,
        DeepgramServer() as other,
        hearing(session, wanted, other) as someone,
    ):
        wanted.refusals.append(503)
        someone.speak(sound(1.0))
        await until(lambda: bool(other.connections))
        assert (wanted.refused, len(wanted.connections)) == (1, 0)
        seconds = 1.0
        while not wanted.connections:
            someone.speak(sound(0.5))
            seconds += 0.5
            someone.pause()
            # Whoever stands in is left after its words, once the other may be back.
            least = seconds - 0.05
            await until(lambda: bool(wanted.connections) or someone.heard >= least)  # noqa: B023
        someone.speak(sound(1.0))
        await someone.over()
        assert someone.heard == pytest.approx(seconds + 1.0, abs=0.1)
        assert sum(connection.finals for connection in other.connections) >= 1
        # The words before the last pause are either's: whoever has not answered is asked again.
        assert wanted.connections[-1].finals in (1, 2)
        assert someone.gaps == []


async def test_speech_is_sent_in_stretches_and_all_of_it_is_heard(session: object) -> None:
    clip = spoken("austen_0890")
    gate = Gate(SileroModel.load().detector())
    silence = np.zeros(2 * RATE, np.int16)
    async with DeepgramServer() as server, hearing(session, server, gate=gate) as someone:
        for number in range(3):
            samples = np.concatenate((clip, silence))
            for start in range(0, len(samples) - FRAME + 1, FRAME):
                part = samples[start : start + FRAME].tobytes()
                someone.listener.push(rtc.AudioFrame(part, RATE, 1, FRAME))
            await until(lambda least=number: len(someone.segments) > least)  # type: ignore[misc]
            await until(
                lambda: all(one.closed_at is not None for one in server.connections),
                timeout=PATIENCE_SECONDS,
            )
        await someone.over()
        assert len(server.connections) == 3
        for connection in server.connections:
            around = float(connection.audio_seconds) - len(clip) / RATE
            assert -0.5 < around < PREROLL_SECONDS + TAIL_SECONDS + 0.2
        assert [segment.speaker for segment in someone.segments] == ["alice"] * 3
