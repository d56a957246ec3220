"""When something has come, by what a connection says of itself."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from livekit import rtc

from agent import arrivals
from agent.arrivals import LOOK_SECONDS, QUIET_LOOK_SECONDS, Arrivals, traffic

from .arriving import TalkingRoom, pair, report


class Look:
    """Arrivals with a clock that is set by hand, and what they have told."""

    def __init__(self, room: TalkingRoom | None = None) -> None:
        self.time = 0.0
        self.quiet: list[tuple[float, float]] = []
        self.arrivals = Arrivals(
            cast(rtc.Room, room),
            now=lambda: self.time,
            on_quiet=lambda since, until: self.quiet.append((round(since, 3), round(until, 3))),
        )

    def at(self, time: float, *, packet_at: float | None, answers: int = 0) -> float:
        """Look then; returns when the newest has come."""
        self.time = time
        self.arrivals.see(traffic([pair(time, packet_at=packet_at, answers=answers)]))
        assert self.arrivals.last_at is not None
        return round(self.arrivals.last_at, 3)


@pytest.fixture
def look() -> Look:
    return Look()


def test_what_comes_all_the_time_is_never_quiet(look: Look) -> None:
    for number in range(10):
        time = number * LOOK_SECONDS
        assert look.at(time, packet_at=time - 0.02 * bool(number)) == pytest.approx(time, abs=0.03)
    assert look.quiet == []


def test_it_was_quiet_from_the_last_packet_to_the_last_look_that_saw_none(look: Look) -> None:
    look.at(4, packet_at=4)
    assert [look.at(time, packet_at=5.5) for time in (6, 8, 9, 10, 11)] == [5.5] * 5
    assert look.quiet == []
    assert look.at(12, packet_at=11.9) == 11.9
    assert look.quiet == [(5.5, 11.0)]


def test_of_an_answer_it_is_known_that_it_came_after_the_last_look(look: Look) -> None:
    for time in (2, 4, 6):
        last_at = look.at(time, packet_at=1.0, answers=time)
    assert last_at == 4.0
    assert [look.at(time, packet_at=1.0, answers=6) for time in (7, 8, 9)] == [4.0] * 3


def test_where_everybody_is_muted_it_is_never_quiet_for_longer_than_answers_take(
    look: Look,
) -> None:
    for number in range(60):
        time = number * QUIET_LOOK_SECONDS
        look.at(time, packet_at=1.0, answers=int(time / 2.5))
    assert look.quiet
    assert all(until - since <= 3.0 for since, until in look.quiet)


def test_counters_that_begin_again_are_something_new(look: Look) -> None:
    look.at(2, packet_at=2, answers=100)
    assert look.at(20, packet_at=19.9, answers=1) == 19.9


def test_a_path_that_is_taken_down_is_nothing_new_nor_when_it_is_seen_again(look: Look) -> None:
    look.at(2, packet_at=2, answers=100)
    look.time = 9.0
    look.arrivals.see(None)
    assert look.at(10, packet_at=2.5, answers=100) == 2.5
    assert look.arrivals.looked_at == 10


def test_a_look_that_was_late_is_not_quiet(look: Look) -> None:
    look.at(2, packet_at=2)
    look.at(22, packet_at=22)
    assert look.quiet == []


def test_an_answer_on_a_path_that_takes_no_audio_says_nothing() -> None:
    other = pair(9.0, packet_at=None, answers=50, nominated=False)
    assert traffic([other]) is None
    path = pair(9.0, packet_at=8.0, answers=3)
    assert traffic([other, path]) == traffic([path])


def test_a_path_that_is_chosen_counts_before_its_first_packet(look: Look) -> None:
    look.at(2, packet_at=2, answers=9)
    look.at(4, packet_at=None, answers=1)
    assert look.at(6, packet_at=None, answers=2) == 4.0


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look follows the other."""
    monkeypatch.setattr(arrivals, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(arrivals, "QUIET_LOOK_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_to_have_no_answer_says_nothing_of_what_comes() -> None:
    room = TalkingRoom()
    look = Look(room)
    look.arrivals.watch()
    for time, said in (
        (1.0, report(pair(1.0, packet_at=1.0, answers=1))),
        (30.0, RuntimeError("the room isn't connected")),
        (40.0, AssertionError("handle is invalid")),
        (50.0, report(pair(50.0, packet_at=49.9, answers=1))),
    ):
        look.time = time
        await room.say(said)
    look.arrivals.close()
    assert look.arrivals.last_at == pytest.approx(49.9)
    assert look.quiet == []


@pytest.mark.usefixtures("at_once")
async def test_a_connection_that_never_answers_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "ANSWER_SECONDS", 0.01)
    room = TalkingRoom()
    look = Look(room)
    look.arrivals.watch()
    for _ in range(3):
        await asyncio.wait_for(room.is_asked.wait(), 10)
        room.is_asked.clear()
    look.arrivals.close()
    assert look.arrivals.last_at is None


async def test_it_can_be_looked_at_now() -> None:
    room = TalkingRoom()
    look = Look(room)
    look.arrivals.watch()
    look.arrivals.look()
    await asyncio.wait_for(room.is_asked.wait(), LOOK_SECONDS / 2)
    look.arrivals.close()


@pytest.mark.usefixtures("at_once")
async def test_what_people_say_comes_by_the_subscriber_where_there_are_two() -> None:
    room = TalkingRoom()
    look = Look(room)
    look.arrivals.watch()
    for time in (2.0, 4.0, 6.0):
        look.time = time
        ours = pair(time, packet_at=time, answers=0)
        theirs = pair(time, packet_at=2.0, answers=0)
        await room.say(report(ours, subscriber=[theirs]))
    look.arrivals.close()
    assert look.arrivals.last_at == 2.0
