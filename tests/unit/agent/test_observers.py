"""Observers: each is told of everything, whatever another of them does."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from agent.observers import MeetingObserver, Observers
from agent.segments import Meeting, Segment
from tests.unit.agent.builders import meeting, segment

MEETING = meeting()


class Seeing(MeetingObserver):
    def __init__(self) -> None:
        self.seen: list[object] = []

    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        self.seen.append((meeting, tuple(said)))

    def on_segment(self, segment: Segment) -> None:
        self.seen.append(segment)

    async def on_end(self) -> None:
        self.seen.append("end")


class Failing(MeetingObserver):
    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        raise RuntimeError("what Alice said")

    def on_segment(self, segment: Segment) -> None:
        raise RuntimeError(segment.text)

    async def on_end(self) -> None:
        raise RuntimeError("what Alice said")


async def test_who_fails_is_logged_without_words_and_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, after = Seeing(), Seeing()
    observers = Observers([before, Failing(), after, MeetingObserver()])
    said = segment(text="secret words")
    with caplog.at_level(logging.DEBUG):
        await observers.on_start(MEETING, [said])
        observers.on_segment(said)
        await observers.on_end()
    assert before.seen == after.seen == [(MEETING, (said,)), said, "end"]
    assert [record.getMessage() for record in caplog.records] == [
        "Failing failed: RuntimeError"
    ] * 3
