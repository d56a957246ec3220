"""`forecast`: from the ledger, as of a day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .commands import run
from .stored import prune, session, settled, stated

pytestmark = pytest.mark.usefixtures("environment")


def foretold(*arguments: str) -> Any:
    result = run("forecast", *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def used(folder: Path, month: str, days: range, minutes: int = 1_000) -> None:
    """A session on each of these days."""
    for day in days:
        settled(
            folder,
            int(month[-2:]) * 100 + day,
            session(minutes, f"{month}-{day:02d}T23:00Z"),
            tenant="acme" if day % 2 else "zeta",
        )


def test_a_running_month(tmp_path: Path) -> None:
    used(tmp_path, "2026-11", range(1, 11))
    answer = foretold("2026-11", "--as-of=2026-11-11")
    assert (answer["so_far"], answer["total"]) == ("100", "300")
    assert (answer["low"], answer["high"], answer["status"]) == ("300", "300", "forecast")
    assert (answer["days_left"], answer["plan"], answer["unrated"]) == (20, "livekit/ship", 0)
    method = answer["method"]
    assert (method["name"], method["replays"]) == ("day bootstrap", 199)
    assert (method["history_days"], method["history_from"], method["history_until"]) == (
        10,
        "2026-11-01",
        "2026-11-10",
    )
    assert len(answer["assumptions"]) == 1
    assert answer == foretold("--as-of=2026-11-11")
    shown = run("forecast", "--as-of=2026-11-11").stdout
    for expected in ("$100.00 so far", "expected $300.00, from $300.00 to $300.00", "assumed:"):
        assert expected in shown


def test_the_weeks_before_and_nothing_after(tmp_path: Path) -> None:
    used(tmp_path, "2026-10", range(1, 32))
    used(tmp_path, "2026-11", range(1, 3), minutes=30_000)
    # As of the first of November, what came later is not known.
    answer = foretold("2026-11", "--as-of=2026-11-01")
    assert (answer["so_far"], answer["total"], answer["high"]) == ("50", "300", "300")
    assert answer["method"]["history_days"] == 31
    later = foretold("2026-11", "--as-of=2026-12-24")
    assert later["total"] == later["low"] == later["high"] == stated("2026-11")["total"]
    assert later["days_left"] == 0


def test_a_tenant(tmp_path: Path) -> None:
    used(tmp_path, "2026-11", range(1, 15))
    everybody = foretold("2026-11", "--as-of=2026-11-15")
    alone = foretold("2026-11", "--as-of=2026-11-15", "--tenant=acme")
    assert (everybody["so_far"], alone["so_far"], alone["tenant"]) == ("140", "70", "acme")


def test_without_history(tmp_path: Path) -> None:
    answer = foretold("2026-11", "--as-of=2026-11-11")
    assert (answer["total"], answer["low"], answer["high"]) == (None, None, None)
    settled(tmp_path, 1, session(6_000, "2026-11-11T03:00Z"))
    answer = foretold("2026-11", "--as-of=2026-11-11T12:00")
    assert (answer["so_far"], answer["total"], answer["assumptions"]) == ("60", None, [])
    assert "no forecast: no whole day" in run("forecast", "--as-of=2026-11-11T12:00").stdout
    shown = run("forecast", "--as-of=2026-11-13").stdout
    assert "from $60.00 up" in shown


def test_history_that_was_pruned(tmp_path: Path) -> None:
    used(tmp_path, "2026-11", range(1, 3), minutes=1)
    used(tmp_path, "2026-12", range(1, 9))
    assert foretold("2026-12", "--as-of=2026-12-09")["method"]["history_days"] == 38
    prune(tmp_path, "AJ_1102")
    answer = foretold("2026-12", "--as-of=2026-12-09")
    # The month's own days are left: 31,000 minutes, 5,000 of them in the fee.
    assert (answer["total"], answer["method"]["history_days"]) == ("310", 8)


def test_an_issued_month(tmp_path: Path) -> None:
    used(tmp_path, "2026-10", range(1, 11))
    assert run("statement", "2026-10", "--issue").exit_code == 0
    answer = foretold("2026-10", "--as-of=2026-10-05")
    assert (answer["status"], answer["total"], answer["low"]) == ("issued", "100", "100")


@pytest.mark.parametrize(
    "arguments", [("2026-13",), ("--timezone=Mars/Phobos",), ("--as-of=yesterday",)]
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run("forecast", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
