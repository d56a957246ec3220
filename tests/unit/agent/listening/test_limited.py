"""A listener whose provider lets only so many streams be opened, or be open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from agent.listening import listener as listener_module
from agent.listening.listener import Listener
from agent.listening.recognisers import GiveUp, Recogniser, Recognisers
from agent.listening.silence import SilencePolicy
from agent.listening.words import Speaker
from agent.segments import Segment
from metering.control.stream_limiter import StreamLimiter
from metering.control.stream_limits import StreamLimits
from metering.control.stream_pool import Answer, Held, Lease, exchange
from tests.open_gate import OpenGate
from tests.unit.agent.scripted import PATIENCE_SECONDS, ScriptedStream, ScriptedSTT, numbered
from tests.waiting import until


class Pool:
    """A store in memory."""

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.leases: dict[str, Lease] = {}
        self.limiter = StreamLimiter("livekit", limits, exchange=self.exchange)

    async def exchange(self, holder: str, held: Sequence[Held]) -> Answer:
        now = asyncio.get_running_loop().time()
        return exchange(self.leases, self.limits, holder, held, now)


class Room:
    """Several people at one provider."""

    def __init__(self, pool: Pool, silence: SilencePolicy) -> None:
        self.engine = ScriptedSTT()
        self.pool = pool
        self.segments: list[Segment] = []
        limiter = pool.limiter
        self.lent: list[GiveUp] = []
        self._recognisers = Recognisers(
            [
                Recogniser(
                    self.engine,
                    silence=silence,
                    permit=limiter.permit,
                    is_short=limiter.is_short,
                    lend=self._lend,
                )
            ]
        )
        self._people: dict[str, tuple[Listener, asyncio.Task[None]]] = {}

    def _lend(self, give_up: GiveUp) -> Callable[[], None]:
        self.lent.append(give_up)
        take_back = self.pool.limiter.lend(give_up)

        def back() -> None:
            self.lent.remove(give_up)
            take_back()

        return back

    async def _on_segment(self, segment: Segment) -> None:
        self.segments.append(segment)

    async def _on_interim(self, _: object) -> None:
        """Nobody looks."""

    def listener(self, name: str) -> Listener:
        if name not in self._people:
            listener = Listener(
                Speaker(name, lambda: name, f"TR_{name}"),
                self._recognisers,
                now=asyncio.get_running_loop().time,
                on_segment=self._on_segment,
                on_interim=self._on_interim,
                gate=OpenGate(),
                first_pause_seconds=0.001,
            )
            self._people[name] = listener, asyncio.create_task(listener.recognise())
        return self._people[name][0]

    def speak(self, name: str, *numbers: int) -> None:
        for frame in numbered(*numbers):
            self.listener(name).push(frame)

    async def begin(self, name: str, *numbers: int) -> ScriptedStream:
        self.speak(name, *numbers)
        stream = await self.engine.next_stream()
        await stream.heard(*numbers)
        return stream

    def said(self) -> list[tuple[str, str]]:
        return [(segment.speaker, segment.text) for segment in self.segments]

    async def end(self) -> None:
        for _, task in self._people.values():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if pump := self.pool.limiter._pump:
            pump.cancel()


Open = Callable[..., Room]
KEEP = SilencePolicy(closes=False)


@pytest.fixture
async def room() -> AsyncIterator[Open]:
    rooms: list[Room] = []

    def make(limits: StreamLimits, silence: SilencePolicy = KEEP) -> Room:
        rooms.append(Room(Pool(limits), silence))
        return rooms[-1]

    yield make
    for one in rooms:
        await one.end()


def is_closed(stream: ScriptedStream) -> bool:
    return stream.closed


async def test_a_silent_stream_is_given_up_for_who_waits_and_no_word_is_lost(room: Open) -> None:
    people = room(StreamLimits(concurrent=1))
    people.engine.last_words = "goodbye"
    alices = await people.begin("alice", 1)
    people.speak("bob", 2, 3)
    await until(lambda: people.pool.limiter._standing.wanted == 1, timeout=PATIENCE_SECONDS)
    assert not is_closed(alices)
    people.listener("alice").mute()
    bobs = await people.engine.next_stream()
    await bobs.heard(2, 3)
    assert is_closed(alices)
    assert people.said() == [("alice", "goodbye")]


async def test_a_stream_that_is_held_is_given_up_once_somebody_waits(room: Open) -> None:
    people = room(StreamLimits(concurrent=1))
    alices = await people.begin("alice", 1)
    people.listener("alice").mute()
    assert not is_closed(alices)
    await people.begin("bob", 2)
    assert is_closed(alices)
    assert people.lent == []


async def test_who_speaks_is_not_cut_off_for_who_waits(room: Open) -> None:
    people = room(StreamLimits(concurrent=1))
    alices = await people.begin("alice", 1)
    people.listener("alice").mute()
    people.speak("alice", 2)
    people.speak("bob", 3)
    await until(lambda: people.pool.limiter._standing.wanted == 1, timeout=PATIENCE_SECONDS)
    await alices.heard(1, 2)
    assert not is_closed(alices)
    assert people.lent == []


async def test_who_speaks_again_after_giving_up_stands_in_line(room: Open) -> None:
    people = room(StreamLimits(concurrent=1))
    await people.begin("alice", 1)
    people.listener("alice").mute()
    bobs = await people.begin("bob", 2)
    people.speak("alice", 3)
    await until(lambda: people.pool.limiter._standing.wanted == 1, timeout=PATIENCE_SECONDS)
    people.listener("bob").mute()
    again = await people.engine.next_stream()
    await again.heard(3)
    assert is_closed(bobs)


async def test_a_short_window_holds_what_is_open(
    room: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "_SHORT_SECONDS", 0.02)
    limits = StreamLimits(new_streams=2, window_seconds=0.5, arrival_seconds=0.0)
    people = room(limits, SilencePolicy(True, hold_seconds=0.01))
    loop = asyncio.get_running_loop()
    began = loop.time()
    alices = await people.begin("alice", 1)
    await until(people.pool.limiter.is_short, timeout=PATIENCE_SECONDS)
    people.listener("alice").mute()
    await until(lambda: alices.closed, timeout=PATIENCE_SECONDS)
    assert loop.time() - began >= 0.5


async def test_leaving_leaves_nothing_lent(room: Open) -> None:
    people = room(StreamLimits(concurrent=1))
    await people.begin("alice", 1)
    people.listener("alice").mute()
    assert len(people.lent) == 1
    people.listener("alice").end()
    assert people.lent == []
    await until(lambda: not people.pool.leases, timeout=PATIENCE_SECONDS)
