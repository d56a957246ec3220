"""Meetings at providers with limits, by the providers' own ledgers: never over, and all heard."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit.agents import stt
from livekit.plugins import assemblyai, deepgram

from agent.listening.listener import Listener
from agent.listening.recognisers import Recogniser, Recognisers
from agent.listening.silence import SilencePolicy
from agent.listening.words import Interim, Speaker
from agent.segments import Segment
from metering import MeterSettings, StreamLimiter, StreamLimits
from metering.ledger.store import Ledger
from metering.meters.connections import ConnectionMeter
from tests.open_gate import OpenGate
from tests.providers.assemblyai import AssemblyAIServer
from tests.providers.deepgram import DeepgramServer
from tests.providers.speech import BilledConnection
from tests.recording import Recording
from tests.sound import tone
from tests.waiting import until

SPOKEN_SECONDS = 0.5
WINDOW_SECONDS = 2.0
CLOSING_SECONDS = 0.1
"""A provider sees a connection close a moment after its client has."""


class Job:
    """One job's people, at one provider."""

    def __init__(
        self, engine: stt.STT[Any], limits: StreamLimits, silence: SilencePolicy, store: Path
    ) -> None:
        settings = MeterSettings.model_construct(database_url=f"sqlite:///{store}")
        # A slow machine is no reason to decide alone.
        self.limiter = StreamLimiter("x", limits, settings=settings, patience_seconds=60.0)
        self.heard: dict[str, float] = {}
        self._recognisers = Recognisers(
            [
                Recogniser(
                    engine,
                    silence=silence,
                    permit=self.limiter.permit,
                    is_short=self.limiter.is_short,
                    lend=self.limiter.lend,
                )
            ]
        )
        self._people: dict[str, tuple[Listener, asyncio.Task[None]]] = {}

    async def _on_segment(self, segment: Segment) -> None:
        _, seconds, _ = segment.text.split()
        self.heard[segment.speaker] = self.heard.get(segment.speaker, 0.0) + float(seconds)

    async def _on_interim(self, _: Interim) -> None:
        """The local servers say no interims."""

    def take_turn(self, name: str) -> None:
        """Somebody says something short."""
        if name not in self._people:
            listener = Listener(
                Speaker(name, lambda: name, f"TR_{name}"),
                self._recognisers,
                now=time.monotonic,
                on_segment=self._on_segment,
                on_interim=self._on_interim,
                gate=OpenGate(),
                first_pause_seconds=0.05,
            )
            self._people[name] = listener, asyncio.create_task(listener.recognise())
        listener, _ = self._people[name]
        for frame in tone(SPOKEN_SECONDS):
            listener.push(frame)
        listener.mute()

    async def end(self) -> None:
        for _, task in self._people.values():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        pump = self.limiter._pump
        assert pump is not None
        if self.limiter._store_is_away:
            pump.cancel()
            return
        # The last thing that it has to say is that nothing is open.
        async with asyncio.timeout(30):
            await pump


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with ConnectionMeter(Recording().recorder).http_session() as session:
        yield session


Open = Callable[..., Job]


@pytest.fixture
async def open_job(tmp_path: Path) -> AsyncIterator[Open]:
    jobs: list[Job] = []
    async with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite3"):
        """It is made once, as by a worker at its start."""

    def make(engine: stt.STT[Any], limits: StreamLimits, silence: SilencePolicy) -> Job:
        jobs.append(Job(engine, limits, silence, tmp_path / "ledger.sqlite3"))
        return jobs[-1]

    yield make
    for job in jobs:
        await job.end()


def most_opened(connections: Sequence[BilledConnection], window_seconds: float) -> int:
    """How many connections were opened within one window, at most."""
    opened = [billed.opened_at for billed in connections]
    return max(sum(at <= other < at + window_seconds for other in opened) for at in opened)


def most_at_once(connections: Sequence[BilledConnection]) -> int:
    """How many connections were open at the same moment, at most."""
    lives = [
        (billed.opened_at, (billed.closed_at or float("inf")) - CLOSING_SECONDS)
        for billed in connections
    ]
    return max(sum(since <= at < until for since, until in lives) for at, _ in lives)


async def all_heard(jobs: Sequence[Job], expected: dict[str, float]) -> None:
    def heard() -> dict[str, float]:
        return {name: seconds for job in jobs for name, seconds in job.heard.items()}

    await until(lambda: sum(heard().values()) >= sum(expected.values()) - 0.001, timeout=60.0)
    assert heard() == pytest.approx(expected)


async def test_twelve_people_of_two_jobs_at_assemblyai_with_five_new_sessions_a_window(
    session: aiohttp.ClientSession, open_job: Open
) -> None:
    limits = StreamLimits(5, window_seconds=WINDOW_SECONDS, arrival_seconds=1.0)
    async with AssemblyAIServer() as server:
        engine = assemblyai.STT(
            api_key=server.api_key, base_url=server.origin, http_session=session
        )
        silence = SilencePolicy(True, hold_seconds=0.05, tail_seconds=0.0)
        jobs = [open_job(engine, limits, silence) for _ in range(2)]
        names = [f"person{number}" for number in range(12)]
        for turn in range(2):
            for number, name in enumerate(names):
                jobs[number % 2].take_turn(name)
                await asyncio.sleep(0.02)
            if turn == 0:
                await until(lambda: len(server.connections) >= 5, timeout=60.0)
        await all_heard(jobs, dict.fromkeys(names, 2 * SPOKEN_SECONDS))
        assert most_opened(server.connections, WINDOW_SECONDS) <= 5
        # Openings were short, so some were spared.
        assert 12 <= len(server.connections) < 24


@pytest.mark.parametrize("jobs_count", [1, 2])
async def test_five_people_at_deepgram_with_three_connections_at_once(
    session: aiohttp.ClientSession, open_job: Open, jobs_count: int
) -> None:
    limits = StreamLimits(concurrent=3)
    async with DeepgramServer() as server:
        engine = deepgram.STT(
            api_key=server.api_key,
            base_url=f"{server.origin}/v1/listen",
            http_session=session,
        )
        # Silence costs nothing here: but for the limit every stream would be kept for good.
        silence = SilencePolicy(closes=False)
        jobs = [open_job(engine, limits, silence) for _ in range(jobs_count)]
        names = [f"person{number}" for number in range(5)]
        for number, name in enumerate(names):
            jobs[number % jobs_count].take_turn(name)
        await all_heard(jobs, dict.fromkeys(names, SPOKEN_SECONDS))
        assert most_at_once(server.connections) <= 3
        assert len(server.connections) == 5


def replace_by_a_folder(store: Path) -> None:
    for file in store.parent.glob(f"{store.name}*"):
        file.unlink()
    store.mkdir()


async def test_without_a_store_the_limit_holds_for_the_job(
    session: aiohttp.ClientSession, open_job: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replace_by_a_folder(tmp_path / "ledger.sqlite3")
    async with DeepgramServer() as server:
        engine = deepgram.STT(
            api_key=server.api_key,
            base_url=f"{server.origin}/v1/listen",
            http_session=session,
        )
        job = open_job(engine, StreamLimits(concurrent=2), SilencePolicy(closes=False))
        names = [f"person{number}" for number in range(3)]
        for name in names:
            job.take_turn(name)
        await all_heard([job], dict.fromkeys(names, SPOKEN_SECONDS))
        assert most_at_once(server.connections) <= 2
    ours = [one for one in caplog.messages if "kept by this job alone" in one]
    assert len(ours) == 1
