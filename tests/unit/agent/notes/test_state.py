"""Notes so far: what is noted stays, what is replaced is traced."""

from __future__ import annotations

from agent.notes.state import Addition, NotesState, SectionChange
from agent.notes.template import Folding, load_templates

MINUTES = load_templates()["minutes"]


def add(text: str, *numbers: int, replaces: tuple[str, ...] = ()) -> Addition:
    return Addition(text, None, numbers, replaces)


def noted(state: NotesState, key: str) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(item.item_id, item.text, item.numbers) for item in state.items[key]]


def test_items_are_added_replaced_and_closed() -> None:
    state = NotesState(MINUTES)
    state.apply({"decisions": SectionChange([add("one", 1), add("two", 2), add("three", 3)])})
    state.apply(
        {
            "decisions": SectionChange(
                [add("one and two", 9, replaces=("decisions-2", "decisions-1"))]
            )
        }
    )
    assert noted(state, "decisions") == [
        ("decisions-4", "one and two", (1, 2, 9)),
        ("decisions-3", "three", (3,)),
    ]
    state.apply({"decisions": SectionChange(closed=["decisions-3", "decisions-99"])})
    assert noted(state, "decisions") == [("decisions-4", "one and two", (1, 2, 9))]
    state.apply({})
    assert noted(state, "decisions") == [("decisions-4", "one and two", (1, 2, 9))]


def test_prose_is_written_anew_or_left() -> None:
    state = NotesState(MINUTES)
    state.apply({"summary": SectionChange([add("Early.", 1)])})
    state.apply({"summary": SectionChange()})
    assert noted(state, "summary") == [("summary-1", "Early.", (1,))]
    state.apply({"summary": SectionChange([add("All.", 1, 2), add("Late.", 3)])})
    assert noted(state, "summary") == [("summary-2", "All.", (1, 2)), ("summary-3", "Late.", (3,))]


def test_what_is_shown_is_bounded_and_what_is_noted_is_not() -> None:
    small = MINUTES.model_copy(update={"fold": Folding(shown_bytes=1000)})
    state = NotesState(small)
    for number in range(100):
        state.apply(
            {
                "decisions": SectionChange([add(f"decision {number}", number)]),
                "open_questions": SectionChange([add("why?", number)] if number < 3 else []),
            }
        )
    shown = state.shown()
    assert len(state.items["decisions"]) == 100
    assert sum(item.size for items in shown.values() for item in items) <= 1000
    # The newest of each, in order; a section with many does not crowd out another.
    assert [item.numbers for item in shown["open_questions"]] == [(0,), (1,), (2,)]
    newest = [item.numbers[0] for item in shown["decisions"]]
    assert newest == list(range(100 - len(newest), 100))
    assert len(newest) >= 4
