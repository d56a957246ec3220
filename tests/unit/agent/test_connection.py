"""When a job takes its connection for lost, and what it says of the time it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest
import pytest_asyncio
from livekit import rtc

from agent import arrivals
from agent.connection import AWAY_SECONDS, CUT_OFF_SECONDS, SILENT_SECONDS, Connection

from .arriving import TalkingRoom, pair, report


class Job:
    """A connection with a clock that is set by hand, and what it has told."""

    def __init__(self) -> None:
        self.room = TalkingRoom()
        self.time = 0.0
        self.gaps: list[tuple[float, float]] = []
        self.came_back = 0
        self.gave_up = 0
        self.people_are_there = asyncio.Event()
        self.trouble: Exception | None = None
        self.asked = 0
        self.connection = Connection(
            cast(rtc.Room, self.room),
            now=lambda: self.time,
            until_given_up=self._until_given_up,
            on_back=self._back,
            on_gap=lambda start, end: self.gaps.append((round(start, 3), round(end, 3))),
            on_given_up=self._give_up,
        )

    async def _until_given_up(self) -> None:
        self.asked += 1
        await self.people_are_there.wait()
        if self.trouble:
            raise self.trouble

    async def look(self, at: float, *, packet_at: float) -> None:
        """Its newest packet is of then; returns once that is seen."""
        self.time = at
        await self.room.say(report(pair(at, packet_at=packet_at, answers=0)))

    def _back(self) -> None:
        self.came_back += 1

    def _give_up(self) -> None:
        self.gave_up += 1

    async def is_given_up(self) -> bool:
        """Once the server has said for a while that people are there."""
        self.people_are_there.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.gave_up == 1


@pytest.fixture
def job() -> Iterator[Job]:
    job = Job()
    yield job
    job.connection.close()


@pytest_asyncio.fixture
async def watched(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job that looks all the time at what comes."""
    monkeypatch.setattr(arrivals, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(arrivals, "QUIET_LOOK_SECONDS", 0.0)
    job.connection.watch()
    return job


async def test_time_away_is_a_gap_unless_it_was_a_moment(job: Job) -> None:
    job.time = 10.0
    job.room.emit("reconnecting")
    job.time += AWAY_SECONDS / 2
    job.room.emit("reconnected")
    assert (job.gaps, job.came_back) == ([], 1)

    job.time = 20.0
    job.room.emit("reconnecting")
    job.time = 21.0
    job.room.emit("reconnecting")
    assert job.connection.is_away
    job.time = 29.0
    job.room.emit("reconnected")
    assert (job.gaps, job.came_back) == ([(20.0, 29.0)], 2)
    assert not job.connection.is_away


async def test_a_gap_is_from_what_came_last_to_what_comes_again_and_not_while_it_is_mended(
    watched: Job,
) -> None:
    await watched.look(10.0, packet_at=10.0)
    await watched.look(20.0, packet_at=12.0)
    watched.time = 27.0
    watched.room.emit("reconnecting")
    await watched.look(42.0, packet_at=12.0)
    watched.room.emit("reconnected")
    assert watched.gaps == []
    await watched.look(43.0, packet_at=42.5)
    assert (watched.gaps, watched.came_back) == ([(12.0, 42.0)], 1)


async def test_where_only_signalling_is_lost_everything_is_heard(watched: Job) -> None:
    await watched.look(10.0, packet_at=10.0)
    watched.room.emit("reconnecting")
    for time in (11.0, 13.0, 15.0):
        await watched.look(time, packet_at=time)
    watched.room.emit("reconnected")
    await watched.look(17.0, packet_at=17.0)
    watched.connection.close()
    assert watched.gaps == []


async def test_a_short_time_away_is_a_gap_from_when_nothing_came(watched: Job) -> None:
    await watched.look(10.0, packet_at=10.0)
    await watched.look(12.0, packet_at=10.2)
    watched.time = 13.0
    watched.room.emit("reconnecting")
    await watched.look(14.0, packet_at=10.2)
    watched.room.emit("reconnected")
    await watched.look(15.0, packet_at=14.9)
    assert watched.gaps == [(10.2, 14.0)]


@pytest.mark.parametrize(
    ("lasts", "is_gap"), [(SILENT_SECONDS - 0.1, False), (SILENT_SECONDS, True)]
)
async def test_a_loss_that_nobody_tells_of_is_a_gap(
    watched: Job, lasts: float, is_gap: bool
) -> None:
    await watched.look(10.0, packet_at=10.0)
    await watched.look(10.0 + lasts, packet_at=10.0)
    assert not watched.connection.is_away
    await watched.look(20.0, packet_at=19.9)
    assert watched.gaps == ([(10.0, 10.0 + lasts)] if is_gap else [])
    assert (watched.asked, watched.came_back) == (0, 0)


async def test_a_connection_that_is_back_and_brings_nothing_is_one_gap(watched: Job) -> None:
    await watched.look(10.0, packet_at=10.0)
    await watched.look(20.0, packet_at=10.0)
    watched.room.emit("reconnecting")
    watched.time = 21.0
    watched.room.emit("reconnected")
    await watched.look(29.0, packet_at=10.0)
    await watched.look(30.0, packet_at=30.0)
    assert watched.gaps == [(10.0, 29.0)]


@pytest.mark.parametrize("reason", [rtc.DisconnectReason.ROOM_CLOSED, None])
async def test_after_the_room_is_left_nothing_is_missed(watched: Job, reason: int | None) -> None:
    await watched.look(10.0, packet_at=10.0)
    watched.time = 60.0
    await watched.room.say(RuntimeError("the room isn't connected"))
    if reason is not None:
        watched.room.emit("disconnected", reason)
    watched.time = 80.0
    watched.connection.close()
    assert watched.gaps == []


@pytest.mark.parametrize("is_away", [True, False])
async def test_whoever_is_removed_after_a_loss_has_missed_what_was_until_then(
    watched: Job, is_away: bool
) -> None:
    await watched.look(10.0, packet_at=10.0)
    await watched.look(20.0, packet_at=11.0)
    if is_away:
        watched.room.emit("reconnecting")
    watched.time = 21.0
    watched.room.emit("disconnected", rtc.DisconnectReason.PARTICIPANT_REMOVED)
    watched.time = 40.0
    watched.connection.close()
    assert watched.gaps == [(11.0, 21.0 if is_away else 20.0)]


async def test_whoever_is_lost_to_the_server_has_missed_all_until_the_job_ends(
    watched: Job,
) -> None:
    await watched.look(10.0, packet_at=10.0)
    watched.room.emit("reconnecting")
    await watched.look(20.0, packet_at=11.0)
    watched.room.emit("disconnected", rtc.DisconnectReason.CONNECTION_TIMEOUT)
    watched.time = 40.0
    watched.connection.close()
    assert watched.gaps == [(11.0, 40.0)]


async def test_a_job_that_ends_while_away_has_the_gap_until_then(job: Job) -> None:
    job.room.emit("reconnecting")
    job.time = 7.0
    job.connection.close()
    assert job.gaps == [(0.0, 7.0)]
    assert not await job.is_given_up()


async def test_just_after_it_is_back_it_may_still_be_lost(job: Job) -> None:
    lost = [job.connection.is_lost]
    job.room.emit("reconnecting")
    lost.append(job.connection.is_lost)
    job.time = 5.0
    job.room.emit("reconnected")
    lost.append(job.connection.is_lost)
    job.time += CUT_OFF_SECONDS
    lost.append(job.connection.is_lost)
    assert lost == [False, True, True, False]


@pytest.mark.parametrize(
    ("reason", "is_lost"),
    [
        (rtc.DisconnectReason.ROOM_CLOSED, False),
        (rtc.DisconnectReason.ROOM_DELETED, False),
        (rtc.DisconnectReason.PARTICIPANT_REMOVED, False),
        (rtc.DisconnectReason.DUPLICATE_IDENTITY, False),
        (rtc.DisconnectReason.SERVER_SHUTDOWN, True),
        (rtc.DisconnectReason.CONNECTION_TIMEOUT, True),
        (rtc.DisconnectReason.STATE_MISMATCH, True),
        (rtc.DisconnectReason.UNKNOWN_REASON, True),
        (4_096, True),
    ],
)
async def test_why_the_room_was_left_says_whether_it_goes_on(
    job: Job, reason: int, is_lost: bool
) -> None:
    job.room.emit("reconnecting")
    job.room.emit("disconnected", reason)
    assert job.connection.is_lost is is_lost


async def test_at_the_end_of_a_job_it_is_as_lost_as_it_was_but_for_why_the_room_is_left(
    job: Job,
) -> None:
    job.room.emit("reconnecting")
    job.connection.end()
    job.time = 60.0
    job.room.emit("reconnected")
    job.connection.close()
    assert job.connection.is_lost
    assert (job.gaps, job.came_back) == ([(0.0, 60.0)], 0)
    job.room.emit("disconnected", rtc.DisconnectReason.PARTICIPANT_REMOVED)
    assert not job.connection.is_lost


async def test_what_is_said_after_the_end_of_a_job_begins_nothing(job: Job) -> None:
    job.connection.end()
    job.room.emit("reconnecting")
    job.connection.doubt()
    assert not await job.is_given_up()
    assert (job.asked, job.connection.is_lost) == (0, False)


async def test_why_the_room_is_left_is_waited_for_but_not_for_long(job: Job) -> None:
    await job.connection.until_disconnected(0.01)
    waiting = asyncio.create_task(job.connection.until_disconnected(1000.0))
    await asyncio.sleep(0)
    job.room.emit("disconnected", rtc.DisconnectReason.ROOM_CLOSED)
    await asyncio.wait_for(waiting, 10)


async def test_it_is_given_up_once_while_it_stands_still(job: Job) -> None:
    job.room.emit("reconnecting")
    job.room.emit("reconnecting")
    assert await job.is_given_up()
    assert job.asked == 1


async def test_what_is_given_up_stays_so_whoever_comes(job: Job) -> None:
    job.connection.doubt()
    assert await job.is_given_up()
    job.connection.trust()
    assert job.connection.is_lost


async def test_a_server_that_cannot_be_asked_is_asked_the_next_time(job: Job) -> None:
    job.trouble = RuntimeError("cannot be asked")
    job.connection.doubt()
    assert not await job.is_given_up()
    assert not job.connection.is_lost
    job.trouble = None
    job.room.emit("reconnecting")
    assert await job.is_given_up()
    assert job.asked == 2


async def test_what_comes_back_is_not_given_up(job: Job) -> None:
    job.room.emit("reconnecting")
    await asyncio.sleep(0)
    job.room.emit("reconnected")
    assert not await job.is_given_up()
    assert job.asked == 1


async def test_whoever_sees_nobody_asks_whether_somebody_is_there(job: Job) -> None:
    job.connection.doubt()
    job.connection.doubt()
    assert await job.is_given_up()
    assert job.asked == 1


async def test_whoever_sees_somebody_again_asks_no_more(job: Job) -> None:
    job.connection.doubt()
    job.connection.trust()
    assert not await job.is_given_up()


async def test_who_comes_into_the_room_says_nothing_of_a_connection_that_is_away(job: Job) -> None:
    job.room.emit("reconnecting")
    job.connection.trust()
    assert await job.is_given_up()
