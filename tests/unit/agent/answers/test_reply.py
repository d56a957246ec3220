"""An answer is taken only as far as it stands on words that were said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.answers.prompt import ANSWER_CHARACTERS, RULES
from agent.answers.question import Asked, Citation, ToolCall, ToolResult
from agent.answers.reply import ReplyError, read_reply
from tests.providers.answer_maker import reply
from tests.unit.agent.builders import segment

NOW = datetime(2026, 11, 20, 9, 45, tzinfo=UTC)
ASKED = Asked("carol", "Carol", "What is the budget for 2027?", 900.0, NOW)
SAID = [
    (
        1,
        segment(
            segment_id="SG_1",
            speaker="bob",
            name="Bob",
            text="We decided on 40,000 euros, for the oven.",
            start=723.0,
        ),
    ),
    (2, segment(segment_id="SG_2", text="Fine.", start=730.0)),
]
BOB = Citation("SG_1", "bob", "Bob", 723.0, "we decided on 40,000 euros")
QUOTE = (1, "we decided on 40,000 euros")


def test_an_answer_with_its_words() -> None:
    taken = read_reply(reply("Bob: 40,000 euros.", QUOTE), ASKED, SAID)
    assert (taken.text, taken.citations, taken.problems) == ("Bob: 40,000 euros.", (BOB,), ())


def test_between_fences_and_in_lines_it_is_the_same() -> None:
    answered = reply("Bob:\n40,000 euros.", QUOTE)
    text = f"Here:\n```json\n{answered}\n```"
    assert read_reply(text, ASKED, SAID).text == "Bob: 40,000 euros."


def test_what_was_not_said_has_no_answer() -> None:
    taken = read_reply(reply("I think it is 5.", QUOTE, found=False), ASKED, SAID)
    assert (taken.text, taken.citations, taken.problems) == ("", (), ())


@pytest.mark.parametrize(
    ("cited", "problem"),
    [
        ([], "it cites nothing that was said"),
        ([(9, "we decided on 40,000 euros")], "segment 9 is not among the data"),
        ([(1, "we decided on 50,000 euros")], "the quote of segment 1 is not in it"),
        ([(1, "for the")], "the quote of segment 1 is not in it"),
        ([(1, "")], "the quote of segment 1 is not in it"),
        ([(1, "--")], "the quote of segment 1 is not in it"),
    ],
)
def test_what_nobody_said_is_no_citation(cited: list[tuple[int, str]], problem: str) -> None:
    taken = read_reply(reply("Bob decided it.", *cited), ASKED, SAID)
    assert (taken.text, taken.citations) == ("", ())
    assert problem in "; ".join(taken.problems)


def test_all_that_somebody_said_may_be_short() -> None:
    taken = read_reply(reply("Alice agreed.", (2, "fine")), ASKED, SAID)
    assert [one.segment_id for one in taken.citations] == ["SG_2"]


def test_one_good_citation_is_enough_and_the_other_is_left_out() -> None:
    taken = read_reply(reply("Bob: 40,000.", QUOTE, (7, "no")), ASKED, SAID)
    assert (taken.text, taken.citations) == ("Bob: 40,000.", (BOB,))
    assert taken.problems == ("segment 7 is not among the data",)


@pytest.mark.parametrize("text", ["It is 41,000 euros.", "Bob said it at 12:04."])
def test_a_number_that_nobody_said_is_refused(text: str) -> None:
    taken = read_reply(reply(text, QUOTE), ASKED, SAID)
    assert (taken.text, taken.citations) == ("", ())
    assert "which is in nothing that it cites" in taken.problems[0]


def test_numbers_of_the_question_and_of_the_moment_are_known() -> None:
    text = "For 2027 it is 40,000 euros, Bob said at 12:03."
    assert read_reply(reply(text, QUOTE), ASKED, SAID).text == text


def test_instructions_are_not_given_away() -> None:
    leak = RULES[:200]
    taken = read_reply(reply(leak, QUOTE), ASKED, SAID)
    assert (taken.text, taken.problems) == ("", ("the answer speaks of the rules",))
    said = [(1, segment(segment_id="SG_1", text=leak))]
    words = " ".join(leak.split()[:10])
    assert read_reply(reply(words, (1, words)), ASKED, said).text == words


def test_a_long_answer_is_refused() -> None:
    taken = read_reply(reply("x" * (ANSWER_CHARACTERS + 1), QUOTE), ASKED, SAID)
    assert taken.text == ""
    assert taken.problems == (f"the answer is longer than {ANSWER_CHARACTERS} characters",)


def test_what_was_looked_up_needs_no_citation() -> None:
    results = [ToolResult("calendar", {}, "Monday the 14th")]
    assert read_reply(reply("On the 14th."), ASKED, SAID, results).text == "On the 14th."
    assert read_reply(reply("On the 15th."), ASKED, SAID, results).text == ""


def test_a_call() -> None:
    call = {"tool": "calendar", "arguments": '{"day": 3}'}
    assert read_reply(reply("", called=call), ASKED, SAID).call == ToolCall("calendar", {"day": 3})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not a JSON object"),
        ("I cannot.", "it is not a JSON object"),
        ("{found}", "it is not valid JSON"),
        ("{" * 100_000 + "}", "it is not valid JSON"),
        ('{"answer": "yes"}', "found: Field required"),
        ('{"found": true, "citations": [{}]}', "citations.0.segment: Field required"),
        (reply("", called={"tool": "a", "arguments": "[]"}), "call.arguments is not a JSON object"),
        (reply("", called={"tool": "a", "arguments": "{"}), "call.arguments is not valid JSON"),
    ],
)
def test_what_is_no_reply_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ReplyError) as raised:
        read_reply(text, ASKED, SAID)
    assert str(raised.value) == problem
