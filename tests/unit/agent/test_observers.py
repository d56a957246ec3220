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

    def on_speech(self, speaker: str) -> None:
        self.seen.append(speaker)

    async def on_end(self) -> None:
        self.seen.append("end")


class Failing(MeetingObserver):
    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        raise RuntimeError("what Alice said")

    def on_segment(self, segment: Segment) -> None:
        raise RuntimeError(segment.text)

    def on_speech(self, speaker: str) -> None:
        raise RuntimeError(speaker)

    def is_own_voice(self, segment: Segment) -> bool:
        raise RuntimeError(segment.text)

    async def on_end(self) -> None:
        raise RuntimeError("what Alice said")


class Speaking(MeetingObserver):
    def is_own_voice(self, segment: Segment) -> bool:
        return segment.text == "ours"


def test_words_are_ours_where_one_of_them_says_so() -> None:
    observers = Observers([MeetingObserver(), Failing(), Speaking()])
    assert observers.is_own_voice(segment(text="ours"))
    assert not observers.is_own_voice(segment(text="theirs"))


async def test_who_fails_is_logged_without_words_and_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, after = Seeing(), Seeing()
    observers = Observers([before, Failing(), after, MeetingObserver()])
    said = segment(text="secret words")
    with caplog.at_level(logging.DEBUG):
        await observers.on_start(MEETING, [said])
        observers.on_segment(said)
        observers.on_speech("alice")
        await observers.on_end()
    assert before.seen == after.seen == [(MEETING, (said,)), said, "alice", "end"]
    assert [record.getMessage() for record in caplog.records] == [
        "Failing failed: RuntimeError"
    ] * 4
