"""Short ways to call the commands in these tests, by the prices of one day."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from metering.cli import app

NOTETAKER = ("--meetings=2000", "--minutes=45", "--people=5", "--stt-price=0.006")
WITHOUT_STT = NOTETAKER[1:3]
SCALE = ("--plan=livekit/scale", "--hosting=cloud-agents")
SHIP = ("--plan=livekit/ship", "--hosting=cloud-agents")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def call(*arguments: str) -> Result:
    return run(*arguments, "--on=2026-11-20")


def asked(*arguments: str) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def estimated(*arguments: str) -> Any:
    return asked("estimate", *arguments)


def refused(*arguments: str) -> str:
    """The one line of what could not be done."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    return result.stderr


def line(answer: Any, meter: str) -> Any:
    """The one line of a meter."""
    [found] = [one for one in answer["lines"] if one["meter"] == meter]
    return found
