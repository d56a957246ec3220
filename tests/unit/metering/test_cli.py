from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from metering.cli import app
from metering.journal import JournalWriter
from metering.ledger.store import Ledger
from metering.settle import settle_run
from metering.usage import Usage
from tests.unit.metering.samples import (
    beat,
    info,
    opening,
    run,
    settings,
    usage,
    write_journal,
)
from tests.unit.metering.test_record import CHARGE_FIELDS, OF_OURS, RECORD_FIELDS, USAGE_FIELDS
from tests.unit.metering.test_settings import VARIABLES
from tests.unit.metering.test_settle import MY_PRICE, tokens

SUMMARY_FIELDS = {
    "job_id",
    "status",
    "tenant",
    "title",
    "room_name",
    "hosting",
    "plan",
    "started_at",
    "ended_at",
    "list_cost",
    "currency",
    "unrated",
    "error",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def asked(*arguments: str) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    """The one line on stderr of what could not be done."""
    result = call(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("tallyroom: ")
    return result.stderr


def settled(folder: Path, *usages: Usage, **head: Any) -> None:
    async def work() -> None:
        mine = settings(folder)
        async with Ledger(mine.ledger_url) as ledger:
            await settle_run(run(*usages, **head), ledger, mine)

    asyncio.run(work())


def test_no_jobs(tmp_path: Path) -> None:
    result = call("jobs")
    assert result.exit_code == 0
    assert result.stdout == f"no jobs in {tmp_path}\n"
    assert asked("jobs") == []


def test_jobs(tmp_path: Path) -> None:
    settled(tmp_path, usage(), room_name="straße 🦄", tenant="acme")
    settled(tmp_path, tokens(), job_id="AJ_2", run_id="run_2", tenant="zeta")
    found = asked("jobs")
    assert {job["job_id"] for job in found} == {"AJ_test", "AJ_2"}
    assert all(job.keys() == SUMMARY_FIELDS for job in found)
    (acme,) = asked("jobs", "--tenant", "acme")
    assert (acme["room_name"], acme["list_cost"], acme["unrated"]) == ("straße 🦄", "0", 0)
    (zeta,) = asked("jobs", "--tenant", "zeta")
    assert zeta["unrated"] == 1
    assert len(asked("jobs", "--limit", "1")) == 1
    assert len(asked("jobs", "--status", "complete")) == 2
    assert asked("jobs", "--status", "failed") == []

    table = call("jobs").stdout
    for expected in ("AJ_test", "AJ_2", "straße 🦄", "$0.00 + 1 unrated"):
        assert expected in table


def test_jobs_that_run_now(tmp_path: Path) -> None:
    settled(tmp_path, usage())
    journal = JournalWriter(tmp_path / "journals" / "run_2.journal", beat=tuple)
    journal.append(info(run_id="run_2", job_id="AJ_2", tenant="acme", title="Weekly").to_entry())
    journal.append(beat(5_000_000))
    journal.finish()
    try:
        going, done = asked("jobs")
        assert going.keys() == SUMMARY_FIELDS
        assert (going["job_id"], going["status"], going["title"]) == ("AJ_2", "running", "Weekly")
        assert going["list_cost"] is None
        assert going["ended_at"] == "2026-11-20T09:00:05.000Z"
        assert done["status"] == "complete"
        assert [job["job_id"] for job in asked("jobs", "--status", "running")] == ["AJ_2"]
        assert asked("jobs", "--status", "running", "--tenant", "zeta") == []
        assert [job["job_id"] for job in asked("jobs", "--status", "complete")] == ["AJ_test"]
    finally:
        journal.release()


def test_show(tmp_path: Path) -> None:
    settled(tmp_path, usage(participant="alice"), tokens(), people={"alice": "Alice"})
    record = asked("show", "AJ_test")
    assert record.keys() == RECORD_FIELDS
    assert record["usage"][0].keys() == USAGE_FIELDS
    assert record["charges"][0].keys() == CHARGE_FIELDS | OF_OURS
    assert record["status"] == "complete"
    (missing,) = record["unrated"]
    assert missing["quantity"] == "1500"
    states = {charge["meter"]: charge["state"] for charge in record["charges"]}
    assert states == {"participant_connection": "priced", "llm_input_tokens": "unrated"}

    text = call("show", "AJ_test").stdout
    assert "+ unrated: llm_input_tokens, acme m-1, 1500 tokens" in text
    assert "alice" not in text
    assert "alice" in call("show", "AJ_test", "--usage").stdout


def test_rerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(tmp_path, tokens())
    (tmp_path / "mine.toml").write_text(MY_PRICE)
    monkeypatch.setenv("TALLYROOM_RATES", str(tmp_path / "mine.toml"))
    record = asked("rerate", "AJ_test")
    assert (record["revision"], record["list_cost"], record["unrated"]) == (2, "0.003", [])
    assert asked("show", "AJ_test") == record
    assert "$0.003" in call("rerate", "AJ_test").stdout
    assert asked("show", "AJ_test")["revision"] == 3


def test_rerate_with_a_rate_file_that_is_broken_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(tmp_path, tokens())
    before = asked("show", "AJ_test")
    (tmp_path / "mine.toml").write_text("[[rate]]\nmeter = 3\n")
    monkeypatch.setenv("TALLYROOM_RATES", str(tmp_path / "mine.toml"))
    assert str(tmp_path / "mine.toml") in refused("rerate", "AJ_test")
    assert asked("show", "AJ_test") == before


def test_recover(tmp_path: Path) -> None:
    assert asked("recover") == []
    write_journal(tmp_path, info().to_entry(), opening(), beat(2_000_000))
    (record,) = asked("recover")
    assert record.keys() == RECORD_FIELDS
    assert record["status"] == "recovered"
    assert Decimal(record["usage"][0]["quantity"]) == 2

    write_journal(tmp_path, info(run_id="run_2", job_id="AJ_2").to_entry(), name="run_2")
    assert call("recover").stdout == "AJ_2 recovered\n1 settled\n"
    assert call("recover").stdout == "0 settled\n"


@pytest.mark.parametrize("command", ["show", "rerate"])
def test_a_job_that_is_not_there(tmp_path: Path, command: str) -> None:
    message = refused(command, "AJ\n\x1b[31mno")
    assert r"no job 'AJ\n\x1b[31mno'" in message
    assert str(tmp_path) in message


COMMANDS = [("jobs",), ("show", "AJ_1"), ("rerate", "AJ_1"), ("recover",)]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_store_that_is_corrupt(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"a letter to my mother\n" * 100)
    assert "corrupt" in refused(*arguments)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_data_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path / "file" / "data"))
    assert "Not a directory" in refused(*arguments)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_setting_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TALLYROOM_HOSTING", "moon")
    assert "TALLYROOM_HOSTING='moon'" in refused(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("jobs", "--status", "triumphant"),
        ("jobs", "--limit", "0"),
        ("jobs", "--limit", "many"),
        ("jobs", "--colour"),
        ("explain",),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


def test_the_meter_runs_without_the_transcriber(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metering", "jobs", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
