"""Words and names are kept for as long as their tenant said, and not a day longer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.retention import retain
from metering.errors import SettingsError
from metering.journal import JournalWriter
from metering.retention import Retention
from tests.unit.agent.builders import segment
from tests.unit.agent.meetings import keep_meeting
from tests.unit.agent.test_forget import hold
from tests.unit.metering.old import OLD
from tests.unit.metering.samples import info
from tests.unit.metering.test_settings import VARIABLES

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))


def test_by_tenant() -> None:
    retention = Retention.parse("90, acme=7, a=b=30, lab=forever")
    ended = NOW - timedelta(days=30)
    tenants = ("", "acme", "a=b", "lab")
    assert [one for one in tenants if retention.is_over(one, ended, NOW)] == ["acme", "a=b"]
    assert retention.is_over("", NOW - timedelta(days=90), NOW)
    assert not retention.is_over("lab", OLD, NOW)
    assert (retention.shortest, retention.is_forever) == (7, False)
    assert Retention.parse("").is_forever
    assert Retention.parse("forever").is_forever
    assert not Retention.parse("acme=1").is_over("", OLD, NOW)


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "acme=", "=3", "1,2", "a=1,a=2", "99999"])
def test_what_is_no_retention(text: str) -> None:
    with pytest.raises(SettingsError, match="TALLYROOM_RETENTION_DAYS"):
        Retention.parse(text)


def test_a_setting_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYROOM_RETENTION_DAYS", "soon")
    result = CliRunner().invoke(app, ["prune"])
    assert result.exit_code == 1
    assert "TALLYROOM_RETENTION_DAYS" in result.stderr


def test_transcripts_go_a_number_of_days_after_their_meetings_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYROOM_RETENTION_DAYS", "7,lab=forever")
    began = NOW - timedelta(days=7)
    said = [segment(start=0.0, end=60.0)]
    keep_meeting(tmp_path, said, job_id="AJ_over", started_at=began - timedelta(seconds=60))
    keep_meeting(tmp_path, said, job_id="AJ_not_yet", started_at=began - timedelta(seconds=59))
    keep_meeting(tmp_path, said, job_id="AJ_lab", started_at=OLD, tenant="lab")
    assert retain(now=NOW, dry_run=True) == ["AJ_over"]
    assert retain(now=NOW) == ["AJ_over"]
    left = sorted(path.name for path in (tmp_path / "transcripts").iterdir())
    assert left == ["AJ_lab", "AJ_not_yet"]


def test_a_meeting_that_goes_on_is_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYROOM_RETENTION_DAYS", "7")
    keep_meeting(tmp_path, job_id="AJ_alive", started_at=OLD)
    journal = JournalWriter(tmp_path / "journals" / "run_alive.journal", beat=lambda: ())
    try:
        journal.append(info(job_id="AJ_alive", run_id="run_alive").to_entry())
        journal.finish()
        assert retain(now=NOW) == []
    finally:
        journal.release()
    assert retain(now=NOW) == ["AJ_alive"]


def test_prune_does_it_and_the_names_go_with_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id, tenant in (("AJ_1", "acme"), ("AJ_2", "lab")):
        hold(
            tmp_path,
            job_id,
            people={f"{tenant}-eve": "Eve"},
            room_name=f"room-{tenant}",
            title="Talk",
            tenant=tenant,
            said=[segment(speaker=f"{tenant}-eve", name="Eve", text="Plum.")],
        )
    result = CliRunner().invoke(app, ["prune"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "TALLYROOM_RETENTION_DAYS" in result.stderr
    monkeypatch.setenv("TALLYROOM_RETENTION_DAYS", "30,lab=forever")
    for dry, left in ((["--dry-run"], True), ([], False)):
        result = CliRunner().invoke(app, ["prune", *dry, "--json"])
        assert json.loads(result.stdout) == {
            "dry_run": left,
            "jobs": ["AJ_1"],
            "transcripts": ["AJ_1"],
        }
        assert (tmp_path / "transcripts" / "AJ_1").exists() is left
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for gone, kept in (("acme-eve", "lab-eve"), ("room-acme", "room-lab")):
        assert [path for path in files if gone.encode() in path.read_bytes()] == []
        assert [path for path in files if kept.encode() in path.read_bytes()] != []
    again = CliRunner().invoke(app, ["prune"])
    assert again.stdout == "0 transcripts removed, names of 0 jobs forgotten\n"
