"""How much one person may ask, and how often they are told that it was too much."""

from __future__ import annotations

from agent.answers.allowance import Allowance, Allowed


def test_a_person_has_so_many_questions_a_minute() -> None:
    now = 0.0
    allowance = Allowance(2, now=lambda: now)
    assert [allowance.take("a") for _ in range(4)] == [
        Allowed.YES,
        Allowed.YES,
        Allowed.NO,
        Allowed.SILENTLY_NO,
    ]
    assert allowance.take("b") is Allowed.YES
    now = 59.9
    assert allowance.take("a") is Allowed.SILENTLY_NO
    now = 60.0
    assert [allowance.take("a") for _ in range(3)] == [Allowed.YES, Allowed.YES, Allowed.NO]
