"""Who is spoken to: the transcriber only where it is called by its name."""

from __future__ import annotations

import pytest

from agent.answers.addressing import PENDING_SECONDS, Names, SpokenCalls
from tests.unit.agent.builders import segment

NAMES = Names(("transcriber-7", "Transcriber"))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("@transcriber what did we decide?", "what did we decide?"),
        ("@Transcriber: what did we decide?", "what did we decide?"),
        ("@TRANSCRIBER-7, what?", "what?"),
        ("what did we decide, @transcriber", "what did we decide,"),
        ("@transcriber\n who\t said it?", "who said it?"),
        ("@transcriber", ""),
        ("transcriber what did we decide?", None),
        ("@transcribers what?", None),
        ("@transcriber-8 what?", None),
        ("bob@transcriber.example what?", None),
        ("@alice what?", None),
        ("", None),
    ],
)
def test_a_mention_in_the_chat(text: str, asked: str | None) -> None:
    assert NAMES.typed(text) == asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Transcriber, what did we decide?", "what did we decide?"),
        ("Hey transcriber what did we decide?", "what did we decide?"),
        ("So, hey, Transcriber, the budget?", "the budget?"),
        ("transcriber what did we decide", "what did we decide"),
        ("We will see. Transcriber, who said that?", "who said that?"),
        ("Transcriber 7, who said that?", "who said that?"),
        ("Transcriber.", ""),
        ("transcriber", ""),
        ("Hey transcriber!", ""),
        ("The transcriber is listening.", None),
        ("Transcriber is a long word.", None),
        ("I asked the transcriber, what did we decide?", None),
        ("What did we decide?", None),
        ("Transcribers, what?", None),
        ("", None),
    ],
)
def test_a_call_aloud(text: str, asked: str | None) -> None:
    assert NAMES.spoken(text) == asked


def test_what_was_said_before_a_call_is_not_the_question() -> None:
    assert NAMES.before_call("We pay forty. Transcriber, who said that?") == "We pay forty."
    assert NAMES.before_call("Transcriber, who said that?") == ""


def test_a_pause_may_part_the_name_from_the_question_of_the_same_person() -> None:
    calls = SpokenCalls(NAMES)
    assert calls.question(segment(text="Hey Transcriber.", end=10.0)) is None
    assert calls.question(segment(speaker="bob", text="What about us?", start=11.0)) is None
    assert calls.question(segment(text="What did we decide?", start=12.0)) == "What did we decide?"
    assert calls.question(segment(text="And who pays?", start=14.0)) is None


def test_a_call_without_a_question_is_forgotten_after_a_while() -> None:
    calls = SpokenCalls(NAMES)
    assert calls.question(segment(text="Transcriber.", end=10.0)) is None
    late = 10.0 + PENDING_SECONDS + 0.1
    assert calls.question(segment(text="What did we decide?", start=late)) is None


@pytest.mark.parametrize("text", ["stop", "Thank you very much.", "be quiet please", "never mind"])
def test_to_stop_it_is_no_question(text: str) -> None:
    assert SpokenCalls(NAMES).question(segment(text=f"Transcriber, {text}")) is None


def test_a_name_is_no_pattern() -> None:
    names = Names(("a.b (c)",))
    assert names.typed("@a.b (c) what?") == "what?"
    assert names.typed("@axb (c) what?") is None
