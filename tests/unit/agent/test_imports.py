"""What may know of what, and how the package is run."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import metering

ROOT = Path(__file__).resolve().parents[3]

PUBLIC_MODULES = {
    "metering.cli": {"COMMANDS", "CommandsOnDemand", "fail", "print_json", "AsJson"},
    "metering.commands.forget": {
        "Backups",
        "IdArgument",
        "KindArgument",
        "Yes",
        "ask",
        "print_forgotten",
        "tell_missing",
    },
    "metering.commands.upkeep": {"Before", "DryRun", "PruneWhat", "prune", "retained"},
    "metering.billing.instance_costs": {"InstanceCost", "instance_costs"},
    "metering.billing.sharing": {"add_up", "share"},
    "metering.display.records": {"money"},
    "metering.ledger.queries": {"cost_record", "list_jobs"},
    "metering.ledger.store": {"Ledger"},
    "metering.pricing.loading": {"load_card"},
    "metering.pricing.plans": {"find_plan", "load_plans"},
    "metering.record": {"PSEUDONYM_PREFIX", "CostRecord", "RecordCharge", "RecordUsage"},
    "metering.retention": {"Retention"},
    "metering.sweeping": {"running"},
    "metering.upkeep.forget": {"Forgotten", "Kind", "forget"},
    "metering.upkeep.prune": {"What"},
    "metering.usage": {"format_decimal", "format_stamp"},
    "metering.webhooks.endpoints": {"endpoints"},
    "metering.upkeep.scrubbing": {"FORGOTTEN", "REMOVED", "Scrub"},
}
"""What the command line uses besides `metering`'s own names; a job uses none of it."""

IN_A_JOB = {"session", "listener", "captions", "transcript", "providers", "worker", "whisper_stt"}


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every module that a file imports, with each name from it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                yield node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""


def test_the_agent_uses_the_meters_public_names_only() -> None:
    used = {
        (path.stem, module, name)
        for path in (ROOT / "agent").rglob("*.py")
        for module, name in imports(path)
        if module.split(".")[0] == "metering"
    }
    assert used
    wrong = set()
    for file, module, name in used:
        if module == "metering":
            module, name = (f"metering.{name}", "") if name in {"cli"} else (module, name)
        if module == "metering":
            allowed = name in metering.__all__
        else:
            allowed = file not in IN_A_JOB and (not name or name in PUBLIC_MODULES.get(module, ()))
            allowed = allowed and module in PUBLIC_MODULES
        if not allowed:
            wrong.add((file, module, name))
    assert wrong == set()


def test_the_names_that_the_cli_takes_from_the_meters_are_listed() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse((ROOT / "agent" / "cli.py").read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "meter_cli"
    }
    assert used == PUBLIC_MODULES["metering.cli"]


def test_the_meter_knows_nothing_of_the_agent() -> None:
    knows = {
        (path.name, module)
        for path in (ROOT / "metering").rglob("*.py")
        for module, _ in imports(path)
        if module.split(".")[0] in {"agent", "demo", "tests"}
    }
    assert knows == set()


def test_a_job_loads_neither_sql_nor_prices_nor_another_providers_plugin() -> None:
    code = (
        "import sys, json, agent.worker;"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules}"
        " | {name for name in sys.modules if name.startswith('livekit.plugins.')})))"
    )
    loaded = set(json.loads(run(sys.executable, "-c", code, cwd=ROOT).stdout))
    assert "livekit" in loaded
    assert not loaded & {
        "sqlalchemy",
        "aiosqlite",
        "alembic",
        "genai_prices",
        "faster_whisper",
        "livekit.plugins.deepgram",
        "livekit.plugins.openai",
        "livekit.plugins.assemblyai",
    }


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LIVEKIT_", "DEEPGRAM_", "OPENAI_", "TALLYROOM_", "PYTHON"))
    }
    environment |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_by_package_and_by_path_from_anywhere(tmp_path: Path) -> None:
    by_package = run(sys.executable, "-m", "agent", "--help", cwd=ROOT)
    by_path = run(sys.executable, str(ROOT / "agent" / "__main__.py"), "--help", cwd=tmp_path)
    for done in (by_package, by_path):
        assert (done.returncode, done.stderr) == (0, "")
        for command in ("start", "dev", "dispatch", "doctor", "jobs", "show"):
            assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["dispatch"],
        ["dispatch", "room", "--timeout", "0"],
        ["dispatch", "room", "--leave-after-minutes", "soon"],
        ["dispatch", "room", "--metadata", "{}", "--title", "x"],
        ["dispatch", "room", "--metadata", "@no-such-file.json"],
        ["dispatch", "room", "--participant-language", "anna"],
        ["dispatch", "room", "--participant-language", "=de"],
        ["dispatch", "room", "--diarize", "--diarize-participant", "anna"],
        ["dispatch", "room", "--numerals", "--metadata", "{}"],
        ["doctor", "--no-such-option"],
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from agent.cli import app

    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--language", "?"], "language: "),
        (["--participant-language", "a=b=?"], "languages: '?' is not a BCP 47 tag"),
        (["--metadata", "[]"], "metadata is not a JSON object"),
        (["--transcript-format", "pdf"], "transcript_formats.0: "),
        ([], "set LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exits_with_1(
    arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from agent.cli import app

    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["dispatch", "room", *arguments])
    assert done.exit_code == 1
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert line in said
