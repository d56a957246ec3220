from __future__ import annotations

from agent.voices import Voices


def test_each_label_of_a_connection_is_a_voice() -> None:
    number = Voices().of_connection()
    assert [number(label) for label in ("B", "A", "B", "C", "A")] == [1, 2, 1, 3, 2]


def test_no_label_is_no_voice() -> None:
    number = Voices().of_connection()
    assert number(None) is number("") is None
    assert number("S0") == 1


def test_another_connection_knows_nobody_of_the_first() -> None:
    voices = Voices()
    first, second = voices.of_connection(), voices.of_connection()
    assert [first("A"), second("A"), first("B"), second("A"), first("A")] == [1, 2, 3, 2, 1]
