"""What a stream is sent, and what can be known to have been heard of it."""

from __future__ import annotations

import operator
from typing import Any, cast

from livekit import rtc

from agent.listening.feed import Feed
from agent.listening.gate import Captured
from tests.unit.agent.scripted import numbered

FLUSH = operator.methodcaller("flush")


class Stream:
    """Keeps what it is told."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.told: list[int | str] = []
        self._is_gone = is_gone

    def push_frame(self, frame: rtc.AudioFrame) -> None:
        self._tell(int(frame.data[0]))

    def flush(self) -> None:
        self._tell("flush")

    def end_input(self) -> None:
        self._tell("end")

    def _tell(self, what: int | str) -> None:
        if self._is_gone:
            raise RuntimeError("the stream is closed")
        self.told.append(what)


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


def captured(*numbers: int) -> list[Captured]:
    """A second for each."""
    return [
        Captured(frame, float(number))
        for number, frame in zip(numbers, numbered(*numbers), strict=True)
    ]


def begin(stream: Stream, *kept: int, now: Clock | None = None) -> Feed:
    return Feed(cast(Any, stream), captured(*kept), now=now or Clock())


def test_what_was_kept_comes_first_and_the_end_is_told_once() -> None:
    stream = Stream()
    feed = begin(stream, 1, 2)
    feed.push(*captured(3))
    feed.pause(FLUSH)
    feed.push(*captured(4))
    assert not feed.ended.is_set()
    feed.end()
    feed.end()
    feed.pause(FLUSH)
    assert stream.told == [1, 2, 3, "flush", 4, "end"]
    assert feed.ended.is_set()
    assert feed.timeline.pushed == 4.0


def test_a_stream_that_has_failed_takes_nothing_and_nobody_minds() -> None:
    feed = begin(Stream(is_gone=True), 1)
    feed.push(*captured(2))
    feed.pause(FLUSH)
    feed.end()
    assert feed.timeline.pushed == 0.0


def test_what_was_given_in_one_go_was_not_sent_before_it_was_given() -> None:
    clock = Clock()
    feed = begin(Stream(), *range(1, 100), now=clock)
    assert feed.sent_before(clock.time - 60.0) == 0.0
    for number in range(100, 170):
        clock.time += 1.0
        feed.push(*captured(number))
    # An hour of notes is not kept: up to five seconds that were sent count for unsent.
    assert 99.0 + 5.0 <= feed.sent_before(clock.time - 60.0) <= 99.0 + 10.0
    for number in range(1000):
        clock.time += 1.0
        feed.push(*captured(number % 100))
    pushed = feed.timeline.pushed
    assert pushed - 65.0 <= feed.sent_before(clock.time - 60.0) <= pushed - 60.0


def test_an_answer_without_a_time_covers_what_time_there_was_to_hear() -> None:
    clock = Clock()
    live = begin(Stream(), 1, 2, now=clock)
    backlog = begin(Stream(), *range(1, 60), now=clock)
    clock.time += 3.0
    live.push(*captured(3, 4)[:1])
    assert live.surely_heard == 3.0
    assert backlog.surely_heard == 3.0


def test_it_is_quiet_since_the_end_or_the_last_answer() -> None:
    clock = Clock()
    feed = begin(Stream(), 1, now=clock)
    clock.time += 10.0
    assert feed.quiet_for(0.0) == 0.0
    feed.end()
    clock.time += 2.0
    assert feed.quiet_for(0.0) == 2.0
    assert feed.quiet_for(clock.time - 0.5) == 0.5
