"""`notes`: what was kept, printed; and what has none, said in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from agent.notes.document import (
    Citation,
    NotCovered,
    NotedItem,
    NotedSection,
    Notes,
    NotesStatus,
    read_notes,
    write_notes,
)
from agent.notes.markdown import render_notes
from tests.unit.agent.meetings import keep_meeting

ALICE = Citation(segment_id="SG_1", speaker="alice", name="Alice", start=723.4)
BOB = Citation(segment_id="SG_2", speaker="bob", name="Bob [x](y)", start=3723.0)

MARKDOWN = """\
# Weekly: Minutes

2026-11-20 09:30 UTC

> Not in these notes: 12:03-1:02:03, the LLM failed (APIConnectionError).

## Summary

It was about the roof. [12:03 Alice] It leaks. [1:02:03 Bob \\[x\\](y)]

## Action items

- **Alice**: Call \\<b\\>the roofer\\</b\\>. [12:03 Alice] [1:02:03 Bob \\[x\\](y)]

## Open questions

None.

*Written by a language model from the transcript: what counts is what was said.* \
1 item was left out that pointed at nothing that was said.
"""


def notes(**changes: Any) -> Notes:
    sections = (
        section(
            "summary", "Summary", item("It was about the roof.", ALICE), item("It leaks.", BOB)
        ),
        section(
            "action_items",
            "Action items",
            item("Call <b>the roofer</b>.", ALICE, ALICE, BOB, owner="Alice"),
        ),
        section("open_questions", "Open questions"),
    )
    gap = NotCovered(
        start=723.4, end=3723.0, segments=4, reason="the LLM failed (APIConnectionError)"
    )
    values: dict[str, Any] = {
        "job_id": "AJ_test",
        "title": "Weekly",
        "started_at": datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        "made_at": datetime(2026, 11, 20, 10, 30, tzinfo=UTC),
        "template": "minutes",
        "heading": "Minutes",
        "language": "en",
        "model": "openai/gpt-4.1-mini",
        "status": NotesStatus.PARTIAL,
        "reason": gap.reason,
        "sections": sections,
        "not_covered": (gap,),
        "segments": 9,
        "folds": 1,
        "requests": 2,
        "refused_items": 1,
        "refused_owners": 0,
    }
    return Notes(**values | changes)


def section(key: str, title: str, *items: NotedItem) -> NotedSection:
    return NotedSection(key=key, title=title, prose=key == "summary", items=items)


def item(text: str, *cited: Citation, owner: str | None = None) -> NotedItem:
    return NotedItem(text=text, owner=owner, citations=cited)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TALLYROOM_LLM", raising=False)
    return keep_meeting(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["notes", *arguments])


def refused(*arguments: str) -> str:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


def test_as_people_read_them(folder: Path) -> None:
    write_notes(folder, notes(), render_notes(notes()))
    assert (folder / "notes.md").read_text("utf-8") == MARKDOWN
    result = call("AJ_test")
    assert (result.exit_code, result.stdout) == (0, MARKDOWN)


def test_as_software_reads_them(folder: Path) -> None:
    write_notes(folder, notes(), "")
    assert read_notes(folder) == notes()
    for options in (["--json"], ["--format", "json"]):
        data = json.loads(call("AJ_test", *options).stdout)
        assert data["schema_version"] == 1
        assert data["sections"][1]["items"][0]["citations"][0] == {
            "segment_id": "SG_1",
            "speaker": "alice",
            "name": "Alice",
            "start": 723.4,
        }
        assert data["status"] == "partial"


def test_where_there_are_none_they_say_why() -> None:
    none = notes(status=NotesStatus.NONE, reason="nothing was said", not_covered=(), folds=0)
    assert render_notes(none) == (
        "# Weekly: Minutes\n\n2026-11-20 09:30 UTC\n\n> No notes: nothing was said.\n"
    )


def test_a_meeting_without_notes_says_how_to_have_some(folder: Path) -> None:
    assert refused("AJ_test") == (
        "tallyroom: no notes of job 'AJ_test'; `tallyroom notes AJ_test --again` makes them"
    )
    assert "no transcript of job 'AJ_none'" in refused("AJ_none")
    (folder / "notes.json").write_text('{"schema_version": 1}')
    assert "job_id is not as this version writes it" in refused("AJ_test")


def test_again_needs_an_llm_and_a_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "notes need an LLM; set TALLYROOM_LLM" in refused("AJ_test", "--again")
    monkeypatch.setenv("TALLYROOM_LLM", "openai/gpt-4.1-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    assert "'poem' is no template" in refused("AJ_test", "--again", "--template", "poem")
    assert "is not a BCP 47 tag" in refused("AJ_test", "--again", "--language", "?")
    assert call("AJ_test", "--template", "minutes").exit_code == 2
