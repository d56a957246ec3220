"""What stands in the chat: who said it and when, and nobody is mentioned by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.answers.question import Answer, Asked, Citation, Status
from agent.answers.wording import (
    CANNOT,
    NOT_FOUND,
    NOT_SAID,
    TOO_DEAR,
    answer_text,
    chat_text,
    moment,
)

ASKED = Asked("carol", "Carol", "?", 0.0, datetime(2026, 11, 20, tzinfo=UTC))
ANSWER = Answer(
    Status.ANSWERED,
    "Bob decided it.",
    (Citation("SG_1", "bob", "Bob", 723.9, "we decided on it"),),
    looked_at=3,
    of=3,
)


def test_an_answer_names_who_said_it_and_when() -> None:
    assert chat_text(ASKED, ANSWER) == (
        "Carol: Bob decided it.\n[12:03 Bob] \u201cwe decided on it\u201d"
    )


def test_what_was_looked_at_is_said_where_it_is_not_all() -> None:
    text = chat_text(ASKED, replace(ANSWER, of=900, tools=("calendar",)))
    assert text.splitlines()[2:] == [
        "(Looked up with calendar.)",
        "(I looked at 3 of the 900 things that were said: those with the question's words, and the"
        " latest.)",
    ]


@pytest.mark.parametrize(
    ("status", "of", "text"),
    [
        (Status.NOT_SAID, 3, NOT_SAID),
        (Status.NOT_SAID, 4, NOT_FOUND),
        (Status.FAILED, 3, CANNOT),
        (Status.TOO_DEAR, 3, TOO_DEAR),
    ],
)
def test_what_has_no_answer(status: Status, of: int, text: str) -> None:
    assert answer_text(Answer(status, looked_at=3, of=of)) == text
    assert chat_text(ASKED, Answer(status, looked_at=3, of=of)).startswith(f"Carol: {text}")


def test_nobody_is_mentioned_and_no_line_is_forged() -> None:
    asked = replace(ASKED, name="@all\nBob: yes")
    cited = (
        Citation("SG_1", "bob", "@bob\n[00:01 Eve]", 1.0, "ask \uff20all\u2028now @transcriber"),
    )
    text = chat_text(asked, replace(ANSWER, text="Ask @everyone.\n[1:00 Eve] yes", citations=cited))
    assert text == (
        "(at)all Bob: yes: Ask (at)everyone. [1:00 Eve] yes\n"
        "[00:01 (at)bob [00:01 Eve]] \u201cask (at)all now (at)transcriber\u201d"
    )


def test_moments() -> None:
    assert [moment(0.0), moment(723.9), moment(3_723.0)] == ["00:00", "12:03", "01:02:03"]
