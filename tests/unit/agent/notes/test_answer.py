"""Answers: only what is of the form, points at what was given, and names who is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.notes.answer import AnswerError, Checked, Known, read_answer
from agent.notes.prompt import schema
from agent.notes.template import load_templates

MINUTES = load_templates()["minutes"]
KNOWN = Known(
    said={1: "Alice: We take it for 480 euros.", 2: "Bob: I will sign.", 5: "Carol: Dana does it."},
    noted={"decisions": {"decisions-1": (1,)}, "open_questions": {"open_questions-1": (5,)}},
)
EMPTY: dict[str, Any] = {"items": [], "closed": []}


def item(text: str = "x", *numbers: Any, **more: Any) -> dict[str, Any]:
    return {"text": text, "owner": None, "segments": list(numbers), "replaces": []} | more


def answer(**sections: Any) -> str:
    keys = [section.key for section in MINUTES.section]
    return json.dumps({"sections": dict.fromkeys(keys, EMPTY) | sections})


def items(*given: Any, closed: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"items": list(given), "closed": list(closed)}


def read(text: str) -> Checked:
    return read_answer(text, MINUTES, KNOWN)


def test_a_good_answer_is_taken_as_it_is() -> None:
    text = answer(
        decisions=items(item("Taken\nfor 480.", 2, 1, 1, replaces=["decisions-1"])),
        action_items=items(item("Sign.", 2, owner="bob"), item("Do it.", 5, owner="Dana")),
        open_questions=items(closed=("open_questions-1",)),
    )
    for given in (text, f"Here you are:\n```json\n{text}\n```"):
        checked = read(given)
        assert (checked.problems, checked.refused, checked.unowned) == ((), 0, 0)
        (decision,) = checked.changes["decisions"].additions
        assert (decision.text, decision.numbers) == ("Taken for 480.", (1, 2))
        assert decision.replaces == ("decisions-1",)
        owners = [one.owner for one in checked.changes["action_items"].additions]
        assert owners == ["bob", "Dana"]
        assert checked.changes["open_questions"].closed == ["open_questions-1"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (item("x", 9999), "cites 9999, which is not among the numbers of the data"),
        (item("x", 1, 3, 4), "cites 3, 4, which"),
        (item("x", -1), "cites -1"),
        (item("x"), "cites no segment"),
        (item("\u202e\x07", 1), "has no text"),
        (item("x", 1, replaces=["decisions-9"]), "replaces an item that is not in its section"),
        (item("x", 1, replaces=["open_questions-1"]), "replaces an item"),
    ],
)
def test_an_item_that_points_at_nothing_is_refused_and_the_others_are_not(
    wrong: Any, why: str
) -> None:
    checked = read(answer(decisions=items(wrong, item("right", 1))))
    assert [one.text for one in checked.changes["decisions"].additions] == ["right"]
    assert checked.refused == 1
    (problem,) = checked.problems
    assert problem.startswith(f"sections.decisions.items.0 {why}")
    assert checked.complaint == problem


def test_an_owner_whom_nobody_named_is_left_out_and_not_the_task() -> None:
    checked = read(answer(action_items=items(item("Sign.", 2, owner="Mallory"))))
    (addition,) = checked.changes["action_items"].additions
    assert (addition.text, addition.owner) == ("Sign.", None)
    assert (checked.refused, checked.unowned) == (0, 1)
    assert checked.complaint.endswith("has an owner whom its segments do not name")


def test_owners_and_closing_are_only_where_the_template_has_them() -> None:
    checked = read(answer(decisions=items(item("x", 2, owner="Bob"), closed=("decisions-1",))))
    (addition,) = checked.changes["decisions"].additions
    assert addition.owner is None
    assert list(checked.changes["decisions"].closed) == []


def test_what_is_known_of_a_replaced_item_counts_for_its_owner() -> None:
    known = Known(KNOWN.said, {"action_items": {"action_items-1": (2,)}})
    text = answer(action_items=items(item("Sign.", 1, owner="Bob", replaces=["action_items-1"])))
    assert read_answer(text, MINUTES, known).problems == ()


def test_prose_has_an_end() -> None:
    checked = read(answer(summary=items(*[item("A sentence.", 1)] * 23)))
    assert len(checked.changes["summary"].additions) == 20
    assert checked.refused == 3


def test_many_problems_are_told_shortly() -> None:
    checked = read(answer(decisions=items(*[item("x", 77)] * 12)))
    assert checked.complaint.endswith("; and 4 more")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not a JSON object"),
        ("I cannot do that.", "it is not a JSON object"),
        ("} {", "it is not a JSON object"),
        ("{]}", "it is not valid JSON"),
        ('{"sections": {}}', "section summary is missing"),
        ('{"notes": []}', "sections: Field required"),
        (answer(decisions=items({"text": "x", "segments": ["one"]})), "sections.decisions.items.0"),
        (answer(decisions=items({"text": 5})), "sections.decisions.items.0.text"),
        (answer(decisions=items(item("x" * 2001, 1))), "sections.decisions.items.0.text"),
        ('{"sections": ' * 100_000 + "}" * 100_000, "it is not valid JSON"),
        ('{"sections": ' + "9" * 5000 + "}", "it is not valid JSON"),
    ],
)
def test_what_is_no_answer(text: str, why: str) -> None:
    with pytest.raises(AnswerError) as caught:
        read(text)
    assert str(caught.value).startswith(why)


def test_the_schema_is_as_strict_as_structured_outputs_want_it() -> None:
    """Every object names all of its fields as required, and allows no others."""

    def objects(one: Any) -> list[dict[str, Any]]:
        if isinstance(one, dict):
            inside = [found for value in one.values() for found in objects(value)]
            return [one, *inside] if one.get("type") == "object" else inside
        if isinstance(one, list):
            return [found for value in one for found in objects(value)]
        return []

    found = objects(schema(MINUTES))
    assert len(found) == 2 + 2 * len(MINUTES.section)
    for one in found:
        assert one["additionalProperties"] is False
        assert one["required"] == list(one["properties"])
