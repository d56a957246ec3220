"""Folding: every word once, whatever the LLM does, and whatever is left out is known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.asking import DATA_FOLLOWS, Question
from agent.ceiling import Ceiling
from agent.errors import LanguageModelError
from agent.notes.conclusion import notes_of
from agent.notes.rolling import NOT_USABLE, TOO_LATE, Patience, RollingNotes
from agent.notes.template import Folding, load_templates
from agent.segments import Segment
from metering import RequestPrices, RequestTokens, TokenPrice
from tests.unit.agent.builders import meeting, segment

MINUTES = load_templates()["minutes"]
SMALL = MINUTES.model_copy(update={"fold": Folding(bytes=500)})
QUICK = Patience(pause_seconds=0.0, rest_seconds=60.0)
PRICES = RequestPrices("EUR", (TokenPrice(-1, Decimal(0)),), (TokenPrice(-1, Decimal("0.01")),))
DOWN = LanguageModelError("the LLM failed (APIConnectionError)")
REFUSED = LanguageModelError("the LLM refused the request (HTTP 401)", status=401)

Reply = str | LanguageModelError


class Model:
    """Answers as it is told, then with a decision for each segment that it is given."""

    sees_all = True

    def __init__(self, *replies: Reply, then: Reply | None = None) -> None:
        self.replies = list(replies)
        self.then = then
        self.asked: list[Question] = []
        self.hangs: asyncio.Event | None = None

    async def ask(self, question: Question, *, timeout: float) -> str:
        self.asked.append(question)
        if self.hangs:
            await self.hangs.wait()
        reply = self.replies.pop(0) if self.replies else self.then
        if isinstance(reply, LanguageModelError):
            raise reply
        return decided(question) if reply is None else reply

    def given(self) -> list[tuple[int, str]]:
        """All that it was shown as segments, request by request."""
        shown = [one for asked in self.asked for one in data(asked)["segments"]]
        return [(one["number"], one["text"]) for one in shown]


def data(asked: Question) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked.messages[1].content.removeprefix(DATA_FOLLOWS))
    return found


def decided(asked: Question) -> str:
    items = [
        {"text": one["text"], "segments": [one["number"]], "owner": None, "replaces": []}
        for one in data(asked)["segments"]
    ]
    sections: dict[str, Any] = {
        key: {"items": [], "closed": []} for key in data(asked)["notes_so_far"]
    }
    return json.dumps({"sections": sections | {"decisions": {"items": items, "closed": []}}})


def rolling(model: Model, **how: Any) -> RollingNotes:
    given: dict[str, Any] = {"language": "en", "patience": QUICK} | how
    return RollingNotes(given.pop("template", SMALL), model, **given)


def said(number: int, text: str | None = None, **changes: Any) -> Segment:
    values = {"start": 10.0 * number, "end": 10.0 * number + 5} | changes
    return segment(segment_id=f"SG_{number}", text=text or f"thing {number}", **values)


def noted(notes: RollingNotes) -> list[str]:
    return [item.text for item in notes.state.items["decisions"]]


async def test_it_folds_when_there_is_enough_and_the_rest_at_the_end() -> None:
    model = Model()
    notes = rolling(model)
    for number in range(1, 5):
        notes.add(said(number))
        await notes.fold_due()
    assert model.asked == []
    while not model.asked:
        notes.add(said(len(notes.segments) + 1))
        await notes.fold_due()
    during = len(notes.segments)
    notes.add(said(during + 1))
    await notes.finish(within=30)
    assert len(model.asked) in (2, 3)
    assert noted(notes) == [f"thing {number}" for number in range(1, during + 2)]
    assert notes.left == []
    assert notes.counts["folds"] == notes.counts["requests"] == len(model.asked)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("abc ", min_size=1, max_size=1500), max_size=30),
    finals=st.randoms(use_true_random=False),
)
def test_every_word_goes_through_one_fold(texts: list[str], finals: Any) -> None:
    segments = [
        said(number, f"w{number} {text}", start=float(finals.randrange(300)))
        for number, text in enumerate(texts, start=1)
    ]
    model = Model()
    notes = rolling(model)

    async def hold() -> None:
        for one in segments:
            notes.add(one)
            notes.add(one)
            await notes.fold_due()
        await notes.finish(within=30)

    asyncio.run(hold())
    given_text: dict[int, str] = {}
    for number, text in model.given():
        given_text[number] = f"{given_text.get(number, '')} {text}"
    assert {number: text.split() for number, text in given_text.items()} == {
        number: one.text.split() for number, one in enumerate(segments, start=1)
    }
    assert notes.left == []
    assert notes.counts["requests"] == notes.counts["folds"] == len(model.asked)


async def test_a_segment_longer_than_a_fold_is_split_and_not_cut() -> None:
    words = " ".join(f"word{number}" for number in range(400))
    model = Model()
    notes = rolling(model)
    notes.add(said(1, words))
    await notes.finish(within=30)
    assert len(model.asked) > 5
    assert {number for number, _ in model.given()} == {1}
    assert " ".join(text for _, text in model.given()) == words


async def test_words_are_in_the_order_in_which_they_were_said() -> None:
    model = Model()
    notes = rolling(model)
    notes.add(said(1, "second", start=9.0))
    notes.add(said(2, "first", start=3.0))
    await notes.finish(within=30)
    assert model.given() == [(2, "first"), (1, "second")]


async def test_the_notes_so_far_are_shown_and_may_be_cited() -> None:
    model = Model()
    notes = rolling(model)
    notes.add(said(1))
    await notes.finish(within=30)
    notes.add(said(2))
    await notes.finish(within=30)
    shown = data(model.asked[1])
    assert shown["notes_so_far"]["decisions"] == [
        {"id": "decisions-1", "text": "thing 1", "owner": None, "segments": [1]}
    ]
    assert [one["number"] for one in shown["segments"]] == [2]


async def test_what_is_wrong_is_told_and_asked_again() -> None:
    model = Model("Sorry?")
    notes = rolling(model)
    notes.add(said(1))
    await notes.finish(within=30)
    assert noted(notes) == ["thing 1"]
    first, again = model.asked
    assert again.messages[:2] == first.messages
    assert [message.role for message in again.messages[2:]] == ["assistant", "user"]
    assert again.messages[2].content == "Sorry?"
    assert "it is not a JSON object" in again.messages[3].content
    assert notes.counts["requests"] == 2


async def test_an_invented_citation_is_refused_then_left_out_and_counted() -> None:
    model = Model(then=decided_once(1, cite=99))
    notes = rolling(model)
    notes.add(said(1))
    await notes.finish(within=30)
    assert len(model.asked) == 3
    assert noted(notes) == []
    assert notes.counts["refused"] == 1
    assert notes.left == []


def decided_once(number: int, *, cite: int) -> str:
    item = {"text": f"thing {number}", "segments": [cite], "owner": None, "replaces": []}
    empty: dict[str, Any] = {"items": [], "closed": []}
    sections: dict[str, Any] = {section.key: empty for section in MINUTES.section}
    return json.dumps({"sections": sections | {"decisions": {"items": [item], "closed": []}}})


async def test_words_whose_answers_are_of_no_use_are_left_and_the_next_are_not() -> None:
    model = Model("", "no", "{}")
    notes = rolling(model)
    for number in (1, 2):
        notes.add(said(number, f"thing {number} " + "x" * 400))
    await notes.finish(within=30)
    assert [left.piece.number for left in notes.left] == [1]
    assert {left.reason for left in notes.left} == {NOT_USABLE}
    assert [text[:7] for text in noted(notes)] == ["thing 2"]


async def test_a_moment_without_the_llm_costs_nothing() -> None:
    model = Model(DOWN, DOWN)
    notes = rolling(model)
    notes.add(said(1))
    await notes.finish(within=30)
    assert noted(notes) == ["thing 1"]
    assert len(model.asked) == 3


async def test_while_it_is_away_words_wait_and_it_is_left_alone() -> None:
    model = Model(then=DOWN)
    clock = [0.0]
    notes = rolling(model, now=lambda: clock[0])
    for number in range(1, 40):
        notes.add(said(number))
        await notes.fold_due()
    assert len(model.asked) == 3
    clock[0], model.then = 60.0, None
    await notes.fold_due()
    await notes.finish(within=30)
    assert noted(notes) == [f"thing {number}" for number in range(1, 40)]
    assert notes.left == []


async def test_an_llm_that_stays_away_is_the_reason() -> None:
    model = Model(then=DOWN)
    notes = rolling(model)
    for number in range(1, 40):
        notes.add(said(number))
    await notes.finish(within=30)
    assert len(model.asked) == 3
    assert [left.piece.number for left in notes.left] == list(range(1, 40))
    assert {left.reason for left in notes.left} == {str(DOWN)}


async def test_a_refusal_is_not_asked_again() -> None:
    model = Model(then=REFUSED)
    notes = rolling(model)
    notes.add(said(1))
    await notes.finish(within=30)
    assert len(model.asked) == 1
    assert [left.reason for left in notes.left] == [str(REFUSED)]


async def test_the_end_does_not_wait_for_ever() -> None:
    model = Model()
    model.hangs = asyncio.Event()
    notes = rolling(model)
    notes.add(said(1))
    await notes.finish(within=0.01)
    assert [left.reason for left in notes.left] == [TOO_LATE]


async def test_a_fold_that_is_cancelled_loses_no_words() -> None:
    model = Model()
    model.hangs = asyncio.Event()
    notes = rolling(model)
    for number in range(1, 10):
        notes.add(said(number))
    folding = asyncio.create_task(notes.fold_due())
    while not model.asked:  # noqa: ASYNC110
        await asyncio.sleep(0)
    folding.cancel()
    await asyncio.gather(folding, return_exceptions=True)
    model.hangs = None
    await notes.finish(within=30)
    assert noted(notes) == [f"thing {number}" for number in range(1, 10)]


def spending(model: Model, tokens: int) -> Callable[[], list[RequestTokens]]:
    return lambda: [RequestTokens(0, tokens)] * len(model.asked)


async def test_the_ceiling_holds_before_a_request_and_not_after() -> None:
    """A request can cost 40 EUR at most, and costs 1: of 43.5 EUR there are four."""
    model = Model()
    notes = rolling(model, ceiling=Ceiling(Decimal("43.5"), PRICES, spending(model, 100)))
    for number in range(1, 60):
        notes.add(said(number))
    await notes.finish(within=30)
    assert len(model.asked) == 4
    assert notes.counts["folds"] == 4
    assert {left.reason for left in notes.left} == {"another request could cost more than 43.5 EUR"}
    covered = {number for number, _ in model.given()}
    assert covered | {left.piece.number for left in notes.left} == set(range(1, 60))
    assert not covered & {left.piece.number for left in notes.left}


async def test_what_no_meter_sees_counts_with_all_that_it_can_be() -> None:
    model = Model(then=DOWN)
    model.sees_all = False
    notes = rolling(model, ceiling=Ceiling(Decimal(81), PRICES, list))
    notes.add(said(1))
    await notes.finish(within=30)
    assert len(model.asked) == 2
    model = Model(then=REFUSED)
    model.sees_all = False
    ceiling = Ceiling(Decimal(41), PRICES, list)
    for _ in range(3):
        notes = rolling(model, ceiling=ceiling)
        notes.add(said(1))
        await notes.finish(within=30)
    assert len(model.asked) == 3


@pytest.mark.parametrize(
    ("replies", "status", "stretches"),
    [
        ([], "complete", []),
        (["", "", ""], "partial", [(10.0, 15.0, 1, NOT_USABLE)]),
        ([REFUSED], "none", [(10.0, 35.0, 3, str(REFUSED))]),
        ([None, "", "", "", None], "partial", [(20.0, 25.0, 1, NOT_USABLE)]),
        ([None, REFUSED], "partial", [(20.0, 35.0, 2, str(REFUSED))]),
    ],
)
async def test_what_is_not_in_the_notes_is_said(
    replies: list[Any], status: str, stretches: list[Any]
) -> None:
    model = Model(*replies)
    notes = rolling(model)
    for number in (1, 2, 3):
        notes.add(said(number, "x" * 400))
    await notes.finish(within=30)
    kept = notes_of(meeting(), notes, "openai/gpt-4.1-mini")
    assert kept.status == status
    found = [(gap.start, gap.end, gap.segments, gap.reason) for gap in kept.not_covered]
    assert found == stretches
    assert kept.reason == (stretches[0][3] if stretches else "")


async def test_a_silent_meeting_has_no_notes_and_asks_nobody() -> None:
    model = Model()
    notes = rolling(model)
    await notes.finish(within=30)
    kept = notes_of(meeting(), notes, "m")
    assert (kept.status, kept.reason, kept.sections[0].items) == ("none", "nothing was said", ())
    assert model.asked == []
