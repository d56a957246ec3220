"""Each benchmark runs and prints its table; how fast anything is, is no test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("program", "options", "rows"),
    [
        (
            "overhead",
            [],
            [
                "audio message sent",
                "result received",
                "socket opened and closed",
                "heartbeat: written and synced",
                "heartbeat: look around the room",
                "participant comes or goes",
                "LLM request's metrics",
                "metering, a minute",
                "share",
                "RSS",
                "PSS",
            ],
        ),
        ("end_of_job", ["--no-postgres"], ["Tallyroom on SQLite", "bare sqlite3"]),
        ("growth", [], ["20", "40"]),
        ("rating", [], ["Tallyroom, with its charges", "genai-prices, calc_price", "200"]),
        ("statement", [], ["10", "100", "1,000"]),
    ],
)
def test_a_benchmark_prints_its_table(program: str, options: list[str], rows: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}", "--quick", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    printed = [line.strip("│ ").split("│")[0].strip() for line in ended.stdout.splitlines()]
    assert [row for row in rows if row not in printed] == []
    assert "machine: " in ended.stdout
    assert "python " in ended.stdout


def test_nothing_is_lost_in_a_crowd() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.end_of_job", "--quick", "--no-postgres"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    lines = [line for line in ended.stdout.splitlines() if "Tallyroom on SQLite" in line]
    # Of one job after another, and of all at once.
    assert len(lines) == 2
    assert lines[1].split("│")[7].strip() == "0"
