from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.listening.timeline import Timeline


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def speak(timeline: Timeline, clock: Clock, seconds: float) -> None:
    """Audio in frames of 10 ms, each there when its end is reached."""
    for _ in range(round(seconds * 100)):
        clock.time += 0.01
        timeline.push(0.01)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timeline(clock: Clock) -> Timeline:
    return Timeline(clock)


def test_before_any_audio_it_is_now(clock: Clock, timeline: Timeline) -> None:
    clock.time = 7.0
    assert timeline.at(0.0) == timeline.end_at(3.0) == 7.0


def test_a_late_joiner_begins_when_they_speak(clock: Clock, timeline: Timeline) -> None:
    clock.time = 100.0
    speak(timeline, clock, 2.0)
    assert timeline.at(0.0) == pytest.approx(100.0)
    assert timeline.at(1.5) == pytest.approx(101.5)
    assert timeline.pushed == pytest.approx(2.0)


def test_a_mute_keeps_position_and_time_together(clock: Clock, timeline: Timeline) -> None:
    speak(timeline, clock, 2.0)
    clock.time += 30.0
    speak(timeline, clock, 2.0)
    clock.time += 5.0
    speak(timeline, clock, 1.0)
    assert timeline.at(1.0) == pytest.approx(1.0)
    assert timeline.at(3.0) == pytest.approx(33.0)
    assert timeline.at(4.5) == pytest.approx(39.5)


def test_what_begins_at_a_gap_begins_after_it_and_what_ends_there_before(
    clock: Clock, timeline: Timeline
) -> None:
    speak(timeline, clock, 2.0)
    clock.time += 30.0
    speak(timeline, clock, 2.0)
    assert timeline.at(timeline.pushed / 2 + 0.001) == pytest.approx(32.001)
    assert timeline.end_at(timeline.pushed / 2 - 0.001) == pytest.approx(1.999)
    (gap,) = {position for position in timeline._positions if position}
    assert timeline.at(gap) == pytest.approx(32.0)
    assert timeline.end_at(gap) == pytest.approx(2.0)


def test_audio_that_was_only_late_makes_no_gap(clock: Clock, timeline: Timeline) -> None:
    for _ in range(5):
        speak(timeline, clock, 1.0)
        clock.time += 1.0
        for _ in range(100):
            timeline.push(0.01)
    assert timeline.at(timeline.pushed) == pytest.approx(clock.time)
    speak(timeline, clock, 1.0)
    assert timeline.at(timeline.pushed) == pytest.approx(clock.time)


def test_kept_audio_lies_where_it_was_captured(clock: Clock, timeline: Timeline) -> None:
    clock.time = 50.0
    for captured_at in (10.0, 11.0, 20.0):
        timeline.push_captured(1.0, captured_at)
    clock.time = 50.5
    timeline.push(0.5)
    assert [timeline.at(position) for position in (0.0, 1.5, 2.0, 3.0)] == [9.0, 10.5, 19.0, 50.0]


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0, 60)), min_size=1, max_size=8))
def test_time_never_runs_backwards(stretches: list[tuple[int, float]]) -> None:
    clock = Clock()
    timeline = Timeline(clock)
    for frames, pause in stretches:
        speak(timeline, clock, frames / 100)
        clock.time += pause
    end = timeline.pushed
    times = [timeline.at(end * step / 100) for step in range(101)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= clock.time + 1e-6


@given(st.lists(st.floats(0, 0.25), min_size=1, max_size=300))
def test_without_gaps_there_is_no_drift(delays: list[float]) -> None:
    """Each frame comes a little late, by the network's mood: the lateness never adds up."""
    clock = Clock()
    timeline = Timeline(clock)
    for number, delay in enumerate(delays, start=1):
        clock.time = max(clock.time, number * 0.01 + delay)
        timeline.push(0.01)
    assert len(timeline._positions) == 1
    exact = len(delays) * 0.01
    assert exact - 1e-6 <= timeline.at(timeline.pushed) <= exact + min(delays) + 0.25
