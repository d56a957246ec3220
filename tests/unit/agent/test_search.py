"""Search: what is found, that the index follows the transcripts, and hostile words and names."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.search_index import INDEX, SearchIndex
from tests.unit.agent.builders import segment
from tests.unit.agent.meetings import keep_meeting


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))


def found(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["search", *arguments, "--json"])
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def ids(*arguments: str) -> list[tuple[str, str]]:
    return [(hit["job_id"], hit["segment_id"]) for hit in found(*arguments)]


def test_a_hit_says_where_who_and_when(tmp_path: Path) -> None:
    keep_meeting(tmp_path, tenant="acme")
    assert found("budget") == [
        {
            "job_id": "AJ_test",
            "tenant": "acme",
            "title": "Weekly",
            "room_name": "weekly-room",
            "meeting_started_at": "2026-11-20T09:30:15.250Z",
            "segment_id": "SG_1",
            "speaker": "alice",
            "name": "Alice",
            "start": 1.0,
            "end": 2.5,
            "at": "2026-11-20T09:30:16.250Z",
            "text": "The budget is twelve thousand.",
            "snippet": "The budget is twelve thousand.",
        }
    ]


def test_all_words_in_any_order_and_case_or_as_they_stand(tmp_path: Path) -> None:
    keep_meeting(tmp_path, [segment(segment_id="SG_1", text="Der Entwurf für Zürich ist fertig.")])
    assert ids("FERTIG", "zurich") == [("AJ_test", "SG_1")]
    assert ids("fertig", "Genf") == []
    assert ids("für Zürich") == [("AJ_test", "SG_1")]
    assert ids("Zürich für") == []


def test_by_tenant_day_and_number(tmp_path: Path) -> None:
    keep_meeting(tmp_path, job_id="AJ_1", tenant="acme")
    later = datetime(2026, 11, 25, tzinfo=UTC)
    keep_meeting(tmp_path, job_id="AJ_2", tenant="other", started_at=later)
    assert ids("roof") == [("AJ_2", "SG_2"), ("AJ_1", "SG_2")]
    assert ids("roof", "--tenant", "acme") == [("AJ_1", "SG_2")]
    assert ids("roof", "--tenant", "") == []
    assert ids("roof", "--since", "2026-11-21") == [("AJ_2", "SG_2")]
    assert ids("roof", "--limit", "1") == [("AJ_2", "SG_2")]


@pytest.mark.parametrize("hostile", ['"', '" OR roof', "roof*", "text: roof", "?", "", "NEAR(a b)"])
def test_words_are_words_and_no_query_language(hostile: str, tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    expected = [("AJ_test", "SG_2")] if hostile == "roof*" else []
    assert ids(hostile) == expected


def test_corrected_text_is_found_and_the_original_is_not(tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    assert ids("twelve") == [("AJ_test", "SG_1")]
    done = CliRunner().invoke(app, ["correct", "AJ_test", "SG_1", "Twenty thousand."])
    assert done.exit_code == 0
    assert ids("twelve") == []
    assert ids("twenty") == [("AJ_test", "SG_1")]


def test_only_what_has_changed_is_read_again(tmp_path: Path) -> None:
    keep_meeting(tmp_path, job_id="AJ_1")
    keep_meeting(tmp_path, job_id="AJ_2")
    with SearchIndex(tmp_path / "transcripts") as index:
        assert index.refresh() == 2
        assert index.refresh() == 0
        keep_meeting(tmp_path, [segment(segment_id="SG_3", text="One more.")], job_id="AJ_2")
        assert index.refresh() == 1
        assert [hit.job_id for hit in index.search(["more"])] == ["AJ_2"]
        assert len(index.search(["budget"])) == 2
        shutil.rmtree(tmp_path / "transcripts" / "AJ_2")
        assert index.refresh() == 1
        assert [hit.job_id for hit in index.search(["budget"])] == ["AJ_1"]


@pytest.mark.parametrize("content", [b"", b"no database, but long enough " * 40])
def test_a_broken_index_is_made_anew(content: bytes, tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    (tmp_path / INDEX).write_bytes(content)
    assert ids("roof") == [("AJ_test", "SG_2")]


def test_an_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    connection = sqlite3.connect(tmp_path / INDEX)
    connection.execute("CREATE TABLE lines (other)")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert ids("roof") == [("AJ_test", "SG_2")]


def test_an_unreadable_transcript_keeps_no_other_from_being_found(tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    broken = keep_meeting(tmp_path, job_id="AJ_broken")
    (broken / "meeting.json").write_text("{")
    assert ids("roof") == [("AJ_test", "SG_2")]


def test_where_there_is_no_transcript_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found("roof") == []
    assert not (tmp_path / "transcripts").exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path / "file"))
    result = CliRunner().invoke(app, ["search", "roof"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "search.sqlite3" in result.stderr


def test_hostile_text_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    keep_meeting(
        tmp_path,
        [
            segment(
                name="Eve\x1b[2J\n[00:00:09] Bob",
                text="the [bold]roof[/bold] \x1b]0;x\x07 \x02is\x03 \u202eon\nfire \x9b31m",
            )
        ],
        title="A\x1b[31m title",
    )
    result = CliRunner().invoke(app, ["search", "roof"])
    assert result.stdout == (
        "AJ_test 2026-11-20 A[31m title\n"
        "  [00:00:01] Eve[2J [00:00:09] Bob: the [bold]roof[/bold] ]0;x is on fire 31m\n"
    )
