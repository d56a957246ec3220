"""Every command is found where the command line looks for it, and nothing else is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import typer
from typer.main import get_group
from typer.testing import CliRunner

from agent import cli
from metering import cli as meter_cli

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"aiohttp", "sqlalchemy", "alembic", "numpy", "livekit"}


def registered(package: str) -> set[str]:
    """What the modules of a package of commands register, all of them imported."""
    folder = ROOT.joinpath(*package.split("."))
    modules = [import_module(f"{package}.{one.name}") for one in iter_modules([str(folder)])]
    (app,) = (module.app for module in modules if module.__name__ == f"{package}.app")
    return set(get_group(app).commands)


@pytest.mark.parametrize(
    ("package", "table"),
    [("metering.commands", meter_cli.COMMANDS), ("agent.commands", cli.AFTERWARDS)],
)
def test_every_command_is_in_the_table(package: str, table: Mapping[str, str]) -> None:
    assert registered(package) == set(table)


@pytest.mark.parametrize("app", [meter_cli.app, cli.app])
def test_every_command_has_its_help(app: typer.Typer) -> None:
    commands = [*meter_cli.COMMANDS, *(cli.AFTERWARDS if app is cli.app else ())]
    assert commands
    for command in commands:
        done = CliRunner().invoke(app, [command, "--help"])
        assert done.exit_code == 0, command
        assert f" {command} " in done.output


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (("--version",), set()),
        (("dispatch", "--help"), set()),
        (("estimate", "--help"), set()),
        (("search", "--help"), set()),
        (("show", "--help"), {"sqlalchemy"}),
        (("webhooks", "--help"), {"aiohttp"}),
    ],
)
def test_a_command_waits_for_no_other_ones_imports(
    arguments: tuple[str, ...], heavy: set[str]
) -> None:
    code = (
        "import json, sys; from agent.cli import app; app(sys.argv[1:], standalone_mode=False);"
        "print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    )
    done = subprocess.run(
        (sys.executable, "-c", code, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set(json.loads(done.stdout.splitlines()[-1])) & HEAVY == heavy


def test_what_is_mistyped_is_suggested_from_all_commands() -> None:
    done = CliRunner().invoke(cli.app, ["statment"])
    assert done.exit_code == 2
    assert "'statement'" in done.output


def test_what_both_have_is_the_transcribers() -> None:
    done = CliRunner().invoke(cli.app, ["prune", "--help"])
    assert "transcripts" in done.output
