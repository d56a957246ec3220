"""The rules of the pool, with a clock of the test's own."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.control.stream_limits import StreamLimits
from metering.control.stream_pool import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    POLL_SECONDS,
    Answer,
    Held,
    Lease,
    exchange,
)


class Pool:
    """A pool, and jobs that speak to it; a job's streams are known by their numbers."""

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.leases: dict[str, Lease] = {}
        self.now = 1000.0

    def say(self, holder: str, *held: Held) -> Answer:
        return exchange(self.leases, self.limits, holder, held, self.now)


def waits(lease_id: str, seconds: float = 0.0) -> Held:
    return Held(lease_id, seconds)


def is_open(lease_id: str, seconds: float = 0.0) -> Held:
    return Held(lease_id, seconds, seconds)


def released(lease_id: str, seconds: float = 0.0) -> Held:
    return Held(lease_id, seconds, seconds, 0.0)


def test_without_limits_everybody_is_let_in() -> None:
    pool = Pool(StreamLimits())
    everybody = tuple(f"a{number:02d}" for number in range(99))
    assert pool.say("a", *(waits(lease_id) for lease_id in everybody)).granted == everybody


def test_no_more_than_so_many_openings_in_the_window() -> None:
    pool = Pool(StreamLimits(new_streams=2))
    answer = pool.say("a", waits("a1", 3), waits("a2", 2), waits("a3", 1))
    assert answer.granted == ("a1", "a2")
    assert (answer.waiting, answer.wanted, answer.openings) == (1, 0, (0.0, 0.0))
    assert answer.ask_again == HEARTBEAT_SECONDS
    # A stream that is closed makes no room: it has been opened.
    pool.now += 58.0
    answer = pool.say("a", released("a1", 58), released("a2", 58), waits("a3", 59))
    assert answer.granted == ()
    assert answer.ask_again == pytest.approx(3.001)
    pool.now += answer.ask_again
    assert pool.say("a", waits("a3", 62)).granted == ("a3",)


def test_how_long_a_message_took_turns_nobody_of_one_job_round() -> None:
    pool = Pool(StreamLimits(concurrent=1))
    assert pool.say("a", waits("a1")).granted == ("a1",)
    pool.now += 1.0
    # It has come late: by then a2 had waited for longer than it says.
    assert pool.say("a", is_open("a1"), waits("a2")).granted == ()
    answer = pool.say("a", released("a1"), waits("a2", 0.3), waits("a3", 0.2))
    assert answer.granted == ("a2",)


def test_no_more_than_so_many_at_once() -> None:
    pool = Pool(StreamLimits(concurrent=2))
    answer = pool.say("a", waits("a1", 3), waits("a2", 2), waits("a3", 1))
    assert answer.granted == ("a1", "a2")
    assert (answer.waiting, answer.wanted, answer.ask_again) == (1, 1, POLL_SECONDS)
    answer = pool.say("a", is_open("a1"), released("a2"), waits("a3", 1))
    assert (answer.granted, answer.waiting, answer.wanted) == (("a3",), 0, 0)


def test_what_the_window_keeps_back_is_not_had_by_closing() -> None:
    pool = Pool(StreamLimits(new_streams=2, concurrent=1))
    answer = pool.say("a", *(waits(f"a{number}", 9 - number) for number in range(4)))
    assert answer.granted == ("a0",)
    assert (answer.waiting, answer.wanted) == (3, 1)


def test_who_has_waited_longest_comes_first_whichever_job_it_is() -> None:
    pool = Pool(StreamLimits(concurrent=1))
    assert pool.say("a", waits("a1")).granted == ("a1",)
    pool.say("b", waits("b1", 5.0))
    pool.now += 1.0
    # The place that is free is the other job's, which has not asked again yet.
    answer = pool.say("a", released("a1"), waits("a2"))
    assert (answer.granted, answer.waiting, answer.wanted) == ((), 2, 1)
    assert pool.say("b", waits("b1", 6.0)).granted == ("b1",)


def test_of_two_places_the_second_in_line_may_take_one_before_the_first_asks() -> None:
    pool = Pool(StreamLimits(concurrent=2))
    pool.say("a", waits("a1"), waits("a2"))
    pool.say("b", waits("b1", 9.0))
    answer = pool.say("a", released("a1"), released("a2"), waits("a3"), waits("a4"))
    assert answer.granted == ("a3",)
    assert pool.say("b", waits("b1", 9.0)).granted == ("b1",)


def test_a_job_that_was_killed_is_forgotten_but_for_what_it_opened() -> None:
    pool = Pool(StreamLimits(new_streams=2, concurrent=1))
    assert pool.say("a", waits("a1"), waits("a2")).granted == ("a1",)
    pool.now += LEASE_SECONDS - 0.5
    assert pool.say("b", waits("b1")).granted == ()
    pool.now += 0.5
    answer = pool.say("b", waits("b1"))
    assert answer.granted == ("b1",)
    assert answer.openings == (LEASE_SECONDS, 0.0)
    assert set(pool.leases) == {"a1", "b1"}


def test_who_goes_on_saying_so_keeps_what_is_open() -> None:
    pool = Pool(StreamLimits(concurrent=1))
    assert pool.say("a", waits("a1")).granted == ("a1",)
    for _ in range(10):
        pool.now += LEASE_SECONDS - 1.0
        assert pool.say("a", is_open("a1")).granted == ()
        assert pool.say("b", waits("b1")).granted == ()


def test_a_grant_whose_answer_was_lost_is_counted_from_when_it_is_taken_up() -> None:
    pool = Pool(StreamLimits(new_streams=1))
    assert pool.say("a", waits("a1")).granted == ("a1",)
    pool.now += 10.0
    assert pool.say("a", waits("a1", 10.0)).granted == ("a1",)
    pool.now += 60.5
    assert pool.say("b", waits("b1")).granted == ()
    pool.now += 0.5
    assert pool.say("b", waits("b1")).granted == ("b1",)


def test_what_was_opened_while_the_store_was_away_counts_once_it_is_told() -> None:
    pool = Pool(StreamLimits(new_streams=2))
    answer = pool.say("a", is_open("a1", 10.0), released("a2", 50.0), waits("a3"))
    assert answer.granted == ()
    assert answer.openings == (50.0, 10.0)


def test_whoever_stops_waiting_leaves_nothing_behind() -> None:
    pool = Pool(StreamLimits(concurrent=1))
    pool.say("a", waits("a1"))
    pool.say("b", waits("b1"))
    pool.say("b", Held("b1", 1.0, None, 0.0))
    assert set(pool.leases) == {"a1"}
    pool.say("a", released("a1"))
    assert pool.leases == {}


@dataclass
class Job:
    """A job as it may be: it opens, closes, is slow to ask, and is killed."""

    name: str
    waiting: deque[tuple[str, float]] = field(default_factory=deque)
    open: dict[str, float] = field(default_factory=dict)
    gone: dict[str, tuple[float, float]] = field(default_factory=dict)
    number: int = 0

    def ask(self, now: float) -> None:
        self.number += 1
        self.waiting.append((f"{self.name}-{self.number:04d}", now))

    def close(self, now: float) -> None:
        if self.open:
            lease_id = next(iter(self.open))
            self.gone[lease_id] = (self.open.pop(lease_id), now)

    def says(self, now: float) -> list[Held]:
        return [
            *(Held(lease_id, now - asked) for lease_id, asked in self.waiting),
            *(Held(lease_id, now - at, now - at) for lease_id, at in self.open.items()),
            *(
                Held(lease_id, now - at, now - at, now - closed)
                for lease_id, (at, closed) in self.gone.items()
            ),
        ]


MOVES = st.tuples(
    st.sampled_from(["ask", "ask", "close", "speak", "speak", "speak", "kill"]),
    st.integers(0, 3),
    st.floats(0.0, 4.0),
)


@settings(max_examples=300, deadline=None)
@given(
    moves=st.lists(MOVES, min_size=1, max_size=120),
    new_streams=st.none() | st.integers(1, 6),
    concurrent=st.none() | st.integers(1, 4),
)
def test_the_limits_hold_and_nobody_overtakes(
    moves: list[tuple[str, int, float]], new_streams: int | None, concurrent: int | None
) -> None:
    limits = StreamLimits(new_streams, concurrent)
    pool = Pool(limits)
    jobs = [Job(name) for name in "abcd"]
    opened: list[float] = []
    for move, index, seconds in moves:
        pool.now += seconds
        job = jobs[index]
        if move == "ask":
            job.ask(pool.now)
        elif move == "close":
            job.close(pool.now)
        elif move == "kill":
            jobs[index] = Job(f"{job.name}'")
        else:
            # Only whoever speaks often enough is alive; nobody here is slower than that.
            for other in jobs:
                if other is not job:
                    renew(pool, other)
            ahead = queue_before(pool, job)
            answer = pool.say(job.name, *job.says(pool.now))
            order = [lease_id for lease_id, _ in job.waiting]
            assert tuple(order[: len(answer.granted)]) == answer.granted
            for lease_id in answer.granted:
                job.open[lease_id] = pool.now
                opened.append(pool.now)
            job.waiting = deque(one for one in job.waiting if one[0] not in answer.granted)
            if answer.granted and new_streams is not None:
                before = len(opened) - len(answer.granted)
                used = sum(at > pool.now - 60.0 for at in opened[:before])
                first = ahead[answer.granted[0]]
                assert used + first + 1 <= new_streams
        if concurrent is not None:
            alive = [lease for lease in pool.leases.values() if lease.opened_at is not None]
            now_open = [
                one for one in alive if one.released_at is None and one.expires_at > pool.now
            ]
            assert len(now_open) <= concurrent
        if new_streams is not None:
            for at in opened:
                assert sum(at <= other < at + 60.0 for other in opened) <= new_streams


def renew(pool: Pool, job: Job) -> None:
    """A job's heartbeat, as far as it changes nothing: what it has open goes on."""
    for lease_id in job.open:
        if known := pool.leases.get(lease_id):
            values: dict[str, Any] = {"expires_at": pool.now + LEASE_SECONDS}
            pool.leases[lease_id] = Lease(
                **{name: getattr(known, name) for name in Lease.__slots__} | values
            )


def queue_before(pool: Pool, job: Job) -> Counter[str]:
    """How many of other jobs' living streams stand in line before each of this job's."""
    others = [
        lease
        for lease in pool.leases.values()
        if lease.opened_at is None and lease.holder != job.name and lease.expires_at > pool.now
    ]
    return Counter(
        {
            lease_id: sum((other.asked_at, other.lease_id) < (asked, lease_id) for other in others)
            for lease_id, asked in job.waiting
        }
    )
