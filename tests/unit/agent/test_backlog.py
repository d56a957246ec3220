from __future__ import annotations

import pytest

from agent.backlog import Backlog
from tests.sound import frames_of


def filled(seconds: int, longest: float = 60.0) -> Backlog:
    """One frame a second, captured up to 1, 2, 3, ..."""
    backlog = Backlog(longest)
    for second in range(1, seconds + 1):
        (frame,) = frames_of(1.0, frame_seconds=1.0)
        backlog.add(frame, float(second))
    return backlog


def captured(backlog: Backlog) -> list[float]:
    return [item.at for item in backlog.restart()]


def test_it_is_empty_at_first() -> None:
    assert Backlog(60.0).seconds == 0.0
    assert Backlog(60.0).restart() == []


def test_what_a_transcript_covers_is_dropped() -> None:
    backlog = filled(5)
    backlog.heard(2.0)
    assert backlog.seconds == 3.0
    backlog.heard(3.5)
    assert captured(backlog) == [4.0, 5.0]


def test_nothing_is_dropped_twice() -> None:
    backlog = filled(5)
    backlog.heard(2.0)
    backlog.heard(2.0)
    backlog.heard(1.0)
    assert captured(backlog) == [3.0, 4.0, 5.0]


def test_past_its_length_the_oldest_goes_and_positions_stay_right() -> None:
    backlog = filled(10, longest=4.0)
    assert backlog.seconds == 4.0
    backlog.heard(7.0)
    assert captured(backlog) == [8.0, 9.0, 10.0]


def test_positions_begin_anew_with_each_stream() -> None:
    backlog = filled(5)
    backlog.heard(2.0)
    assert captured(backlog) == [3.0, 4.0, 5.0]
    backlog.heard(1.0)
    assert captured(backlog) == [4.0, 5.0]


def test_all_of_it_can_be_heard() -> None:
    backlog = Backlog(60.0)
    for number, frame in enumerate(frames_of(1.0), start=1):
        backlog.add(frame, number / 100)
    assert backlog.seconds == pytest.approx(1.0)
    backlog.heard(1.0)
    assert backlog.seconds == 0.0
