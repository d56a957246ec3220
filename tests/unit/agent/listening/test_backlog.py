from __future__ import annotations

import pytest

from agent.listening.backlog import AudioAllowance, Backlog, portion
from agent.listening.gate import Captured
from tests.sound import frames_of


def filled(seconds: int, longest: float = 60.0) -> Backlog:
    """One frame a second, captured up to 1, 2, 3, ..."""
    backlog = Backlog(longest)
    for second in range(1, seconds + 1):
        (frame,) = frames_of(1.0, frame_seconds=1.0)
        backlog.add(Captured(frame, float(second)))
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
        backlog.add(Captured(frame, number / 100))
    assert backlog.seconds == pytest.approx(1.0)
    backlog.heard(1.0)
    assert backlog.seconds == 0.0


def test_backlogs_share_what_a_job_may_keep_and_say_what_they_lose() -> None:
    allowance = AudioAllowance(5.0)
    lost: list[tuple[float, float]] = []
    (frame,) = frames_of(1.0, frame_seconds=1.0)
    one, two = (
        Backlog(60.0, allowance=allowance, on_lost=lambda seconds, at: lost.append((seconds, at)))
        for _ in range(2)
    )
    for second in range(1, 5):
        one.add(Captured(frame, float(second)))
    for second in range(1, 4):
        two.add(Captured(frame, second + 0.5))
    assert captured(one) == [1.0, 2.0, 3.0, 4.0]
    assert captured(two) == [3.5]
    assert lost == [(1.0, 1.5), (1.0, 2.5)]
    one.heard(4.0)
    two.add(Captured(frame, 4.5))
    assert captured(two) == [3.5, 4.5]


def test_what_nobody_will_hear_is_given_back() -> None:
    allowance = AudioAllowance(3.0)
    (frame,) = frames_of(1.0, frame_seconds=1.0)
    backlog = Backlog(60.0, allowance=allowance)
    for second in range(1, 4):
        backlog.add(Captured(frame, float(second)))
    assert [item.at for item in backlog.clear()] == [1.0, 2.0, 3.0]
    assert backlog.seconds == 0.0
    for second in range(4, 7):
        backlog.add(Captured(frame, float(second)))
    assert captured(backlog) == [4.0, 5.0, 6.0]


def at(*seconds: float) -> list[Captured]:
    """A frame of a second that ends at each."""
    (frame,) = frames_of(1.0, frame_seconds=1.0)
    return [Captured(frame, second) for second in seconds]


@pytest.mark.parametrize(
    ("captured_at", "longest", "count"),
    [
        ([], 3.0, 0),
        ([1, 2, 3], 3.0, 3),
        ([1, 2, 3, 4], 3.0, 3),
        ([1, 2, 60, 61, 62], 4.0, 2),
        ([1, 60, 61, 120, 121], 4.0, 3),
        ([1, 2, 60], 3.0, 3),
        ([1, 2], 0.5, 1),
    ],
)
def test_a_part_of_it_ends_at_a_pause_if_there_is_one(
    captured_at: list[float], longest: float, count: int
) -> None:
    kept = at(*captured_at)
    assert portion(kept, longest) == kept[:count]
