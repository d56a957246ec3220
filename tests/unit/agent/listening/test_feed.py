"""What a stream is sent, when, and in which order."""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

import pytest
from livekit import rtc

from agent.listening import feed as feed_module
from agent.listening.feed import Feed
from agent.listening.gate import Captured
from tests.unit.agent.scripted import PATIENCE_SECONDS, numbered
from tests.waiting import until


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


def begin(stream: Stream, *kept: int, now: Clock | None = None, lead: float = math.inf) -> Feed:
    return Feed(cast(Any, stream), captured(*kept), now=now or Clock(), lead=lead)


async def test_what_was_kept_comes_first_and_at_once() -> None:
    stream = Stream()
    feed = begin(stream, 1, 2)
    feed.push(*captured(3))
    feed.pause()
    feed.push(*captured(4))
    feed.end()
    assert stream.told == [1, 2, 3, "flush", 4, "end"]
    assert feed.ended.is_set()
    assert feed.timeline.pushed == 4.0


async def test_no_more_is_sent_ahead_of_time_than_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "_LATER_SECONDS", 0.001)
    stream, clock = Stream(), Clock()
    feed = begin(stream, 1, 2, 3, 4, 5, now=clock, lead=2.0)
    feed.push(*captured(6))
    feed.pause()
    feed.end()
    for sent in range(2, 6):
        await until(lambda least=sent: len(stream.told) >= least, timeout=PATIENCE_SECONDS)  # type: ignore[misc]
        await asyncio.sleep(0.01)
        assert stream.told == list(range(1, sent + 1))
        assert feed.is_behind
        assert not feed.ended.is_set()
        clock.time += 1.0
    await asyncio.wait_for(feed.ended.wait(), PATIENCE_SECONDS)
    assert stream.told == [1, 2, 3, 4, 5, 6, "end"]
    assert not feed.is_behind


async def test_the_end_can_be_taken_back_until_it_has_been_told() -> None:
    stream, clock = Stream(), Clock()
    feed = begin(stream, 1, 2, now=clock, lead=1.0)
    feed.end()
    assert feed.resume()
    clock.time += 1.0
    feed.push(*captured(3))
    clock.time += 1.0
    feed.push(*captured(4))
    assert stream.told == [1, 2, 3]
    clock.time += 1.0
    feed.end()
    feed.push(*captured(5))
    feed.close()
    clock.time += 9.0
    ended = begin(stream)
    ended.end()
    assert not ended.resume()


async def test_a_closed_feed_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_LATER_SECONDS", 0.001)
    stream, clock = Stream(), Clock()
    feed = begin(stream, 1, 2, now=clock, lead=1.0)
    feed.close()
    clock.time += 9.0
    await asyncio.sleep(0.01)
    assert stream.told == [1]


async def test_a_stream_that_has_failed_takes_nothing_and_nobody_minds() -> None:
    feed = begin(Stream(is_gone=True), 1)
    feed.push(*captured(2))
    feed.pause()
    feed.end()
    assert feed.timeline.pushed == 0.0
