"""Since when nothing has come, by what a connection says of itself."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from livekit import rtc

from agent import arrivals
from agent.arrivals import LOOK_SECONDS, STOPPED_SECONDS, Arrivals, traffic

from .arriving import pair, report


class Look:
    """Arrivals whose clock is set by hand, and which is told what has come."""

    def __init__(self) -> None:
        self.time = 0.0
        self.arrivals = Arrivals(
            cast(rtc.Room, None), now=lambda: self.time, on_look=lambda stopped_at: None
        )

    def at(self, time: float, *, packet_at: float, answers: int, packets: int = 9) -> float | None:
        self.time = time
        path = pair(time, packet_at=packet_at, packets=packets, answers=answers)
        self.arrivals.see(traffic([path]))
        return self.arrivals.stopped_at


@pytest.fixture
def look() -> Look:
    return Look()


def test_what_comes_has_not_stopped(look: Look) -> None:
    for number in range(10):
        time = number * LOOK_SECONDS
        assert look.at(time, packet_at=time - 0.02, answers=0) is None


def test_it_has_stopped_with_its_last_packet(look: Look) -> None:
    stopped = [
        look.at(time, packet_at=min(time, 5.5), answers=2) for time in (4, 6, 8, 10, 11.5, 12, 14)
    ]
    assert stopped == [None] * 4 + [pytest.approx(5.5)] * 3


def test_where_everybody_is_muted_answers_come(look: Look) -> None:
    for number in range(30):
        time = number * LOOK_SECONDS
        assert look.at(time, packet_at=1.0, answers=int(time / 2.5)) is None


def test_there_it_has_stopped_since_the_look_before_the_last_answer(look: Look) -> None:
    for time in (2, 4, 6):
        look.at(time, packet_at=1.0, answers=time)
    stopped = [look.at(time, packet_at=1.0, answers=6) for time in (8, 10, 12)]
    assert stopped == [None, 4.0, 4.0]


def test_it_comes_again(look: Look) -> None:
    look.at(2, packet_at=2, answers=1)
    assert look.at(12, packet_at=2, answers=1) is not None
    assert look.at(13, packet_at=12.9, answers=1) is None


def test_counters_that_begin_again_are_something_new(look: Look) -> None:
    look.at(2, packet_at=2, answers=100, packets=1000)
    assert look.at(20, packet_at=19.9, answers=1, packets=3) is None


def test_a_path_that_is_taken_down_is_nothing_new(look: Look) -> None:
    look.at(2, packet_at=2, answers=100)
    look.time = 2 + STOPPED_SECONDS
    look.arrivals.see(None)
    assert look.arrivals.stopped_at == 2.0


def test_a_connection_that_has_never_said_anything_of_itself_has_not_stopped(look: Look) -> None:
    look.time = 10 * STOPPED_SECONDS
    look.arrivals.see(None)
    assert look.arrivals.stopped_at is None


def test_an_answer_on_a_path_that_takes_no_audio_says_nothing() -> None:
    other = pair(9.0, packet_at=0.0, packets=0, answers=50)
    assert traffic([other]) is None
    assert traffic([other, pair(9.0, packet_at=8.0, packets=5, answers=3)]) == (
        pytest.approx(traffic([pair(9.0, packet_at=8.0, packets=5, answers=3)]))
    )


def test_a_look_that_was_late_is_not_a_loss(look: Look) -> None:
    look.at(2, packet_at=2, answers=1)
    assert look.at(2 + 10 * LOOK_SECONDS, packet_at=2 + 10 * LOOK_SECONDS, answers=9) is None


class Room:
    """Says what it is told to say, in order."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[rtc.RtcStats | Exception] = asyncio.Queue()

    async def get_rtc_stats(self) -> rtc.RtcStats:
        said = await self.says.get()
        if isinstance(said, Exception):
            raise said
        return said


async def test_a_connection_that_says_nothing_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(arrivals, "_STOPPED_LOOK_SECONDS", 0.0)
    room, clock = Room(), [0.0]
    looks: asyncio.Queue[float | None] = asyncio.Queue()
    watched = Arrivals(cast(rtc.Room, room), now=clock.pop, on_look=looks.put_nowait)
    watched.watch()
    seen = []
    for at, said in (
        (1.0, report(pair(1.0, packet_at=1.0, packets=5, answers=1))),
        (3.0, RuntimeError("the room isn't connected")),
        (9.0, TimeoutError()),
        (10.0, report(pair(10.0, packet_at=9.9, packets=6, answers=1))),
    ):
        clock.append(at)
        room.says.put_nowait(said)
        seen.append(await asyncio.wait_for(looks.get(), 10))
    watched.close()
    assert seen == [None, None, pytest.approx(1.0), None]
