from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from metering.cli import app
from tests.unit.metering.test_settings import VARIABLES

HEADING = "job_id,meter,provider,model,quantity,started_at\n"
GOOD = HEADING + "AJ_1,llm_input_tokens,openai,gpt-4o,1000,2026-11-20T09:00:00Z\n"
BAD = HEADING + "AJ_1,llm_input_tokens,openai,gpt-4o,-1,2026-11-20T09:00:00Z\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "300")


def call(*arguments: str, sent: str | None = None) -> Result:
    return CliRunner().invoke(app, ["import", *arguments], input=sent)


def write(folder: Path, content: str, name: str = "usage.csv") -> str:
    path = folder / name
    path.write_text(content)
    return str(path)


def test_import(tmp_path: Path) -> None:
    result = call(write(tmp_path, GOOD))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("list cost $0.0025\nimported 1 instances of 1 jobs\n")
    result = call(write(tmp_path, GOOD))
    assert result.stdout.endswith("imported 0 instances of 1 jobs; 1 were in the ledger already\n")
    shown = CliRunner().invoke(app, ["show", "AJ_1", "--json"])
    assert json.loads(shown.stdout)["list_cost"] == "0.0025"


def test_import_as_json(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    result = call(file, "--json", "--dry-run")
    assert result.exit_code == 0
    imported = json.loads(result.stdout)
    assert len(imported.pop("rate_card")) > 0
    assert imported == {
        "file": file,
        "format": "csv",
        "dry_run": True,
        "jobs": 1,
        "instances": 1,
        "new_instances": 1,
        "repeated": 0,
        "started_at": "2026-11-20T09:00:00.000Z",
        "ended_at": "2026-11-20T09:00:00.000Z",
        "list_cost": [{"currency": "USD", "list_cost": "0.0025"}],
        "charges": [
            {
                "meter": "llm_input_tokens",
                "provider": "openai",
                "model": "gpt-4o",
                "state": "priced",
                "reason": "",
                "instances": 1,
                "consumed_quantity": "1000",
                "consumed_unit": "token",
                "list_cost": "0.0025",
                "currency": "USD",
            }
        ],
    }
    jobs = CliRunner().invoke(app, ["jobs", "--json"])
    assert json.loads(jobs.stdout) == []


def test_import_from_standard_input() -> None:
    result = call("-", "--format", "csv", "--dry-run", sent=GOOD)
    assert result.exit_code == 0
    assert result.stdout.endswith("would import 1 instances of 1 jobs\n")
    refused = call("-", sent=GOOD)
    assert refused.exit_code == 2
    assert "say jsonl or csv" in refused.stderr


def test_a_file_that_is_wrong(tmp_path: Path) -> None:
    file = write(tmp_path, BAD)
    result = call(file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"{file}:2: quantity '-1': must be finite, not negative, and of a plausible size",
        f"tallyroom: {file}: one row is wrong, and nothing was stored; correct them and repeat",
    ]
    result = call(file, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "file": file,
        "rows": 1,
        "problems": [
            {
                "line": 2,
                "field": "quantity",
                "value": "'-1'",
                "problem": "must be finite, not negative, and of a plausible size",
            }
        ],
    }


def test_many_problems_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    file = write(tmp_path, BAD + BAD.splitlines()[1] + "\n")
    lines = call(file, "--max-problems", "1").stderr.splitlines()
    assert lines[1:] == [
        "and 1 more",
        f"tallyroom: {file}: 2 rows are wrong, and nothing was stored; correct them and repeat",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = call(str(tmp_path / "none.csv"))
    assert result.exit_code == 1
    assert (
        result.stderr == f"tallyroom: cannot read {tmp_path}/none.csv: No such file or directory\n"
    )
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    result = call(str(folder))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
