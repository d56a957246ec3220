from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.listening.silence import HOLD_SECONDS, SilencePolicy
from metering import StreamingTerms


def policy(increment: float = 0.0, minimum: float = 0.0) -> SilencePolicy:
    return SilencePolicy.for_terms(StreamingTerms(True, False, increment, minimum))


def test_what_is_billed_by_its_audio_stays_open() -> None:
    kept = SilencePolicy.for_terms(StreamingTerms(bills_connection=False, bills_audio=True))
    assert kept.close_after(5.0) is None


@pytest.mark.parametrize("bills_audio", [False, True])
def test_what_is_or_may_be_billed_by_its_connection_is_closed(bills_audio: bool) -> None:
    closed = SilencePolicy.for_terms(StreamingTerms(True, bills_audio))
    assert closed.close_after(5.0) == HOLD_SECONDS


def test_silence_is_sent_for_longer_where_it_is_free() -> None:
    free = SilencePolicy.for_terms(StreamingTerms(bills_connection=False, bills_audio=False))
    paid = SilencePolicy.for_terms(StreamingTerms(bills_connection=False, bills_audio=True))
    assert free.tail_seconds > paid.tail_seconds


def test_a_second_that_has_begun_is_used() -> None:
    assert policy(increment=1.0).close_after(5.3) == pytest.approx(6.75 - 5.3)


def test_a_minute_that_has_begun_is_used() -> None:
    assert policy(increment=60.0).close_after(70.0) == pytest.approx(119.75 - 70.0)


def test_a_minimum_is_used() -> None:
    assert policy(minimum=15.0).close_after(2.0) == pytest.approx(14.75 - 2.0)
    assert policy(minimum=15.0).close_after(20.0) == HOLD_SECONDS


@given(
    age=st.floats(0.0, 10_000.0),
    increment=st.sampled_from([0.0, 0.1, 1.0, 15.0, 60.0]),
    minimum=st.sampled_from([0.0, 10.0, 60.0]),
)
def test_holding_costs_no_more_steps_than_the_hold_itself(
    age: float, increment: float, minimum: float
) -> None:
    chosen = policy(increment, minimum)
    held = chosen.close_after(age)
    assert held is not None
    assert held >= chosen.hold_seconds

    def billed(seconds: float) -> float:
        steps = -(-max(seconds, minimum) // increment) * increment if increment else 0.0
        return max(seconds, minimum, steps)

    assert billed(age + held) <= billed(age + chosen.hold_seconds) + 1e-6
