"""Runs of a year that has long been over, whatever the clock says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metering.journal import encode
from metering.run import Run
from metering.usage import Usage
from tests.unit.metering.samples import closing, end, run, usage

OLD = datetime(2025, 3, 31, 23, 58, tzinfo=UTC)


def old_usage(**changes: Any) -> Usage:
    """One connection of a minute."""
    return usage(**{"started_at": OLD, "ended_at": OLD + timedelta(seconds=60)} | changes)


def old_run(*usages: Usage, lasting: float = 60, people: Any = None, **head: Any) -> Run:
    one = run(*(usages or (old_usage(),)), people=people, **head)
    return replace(
        one,
        info=replace(one.info, started_at=OLD),
        ended_at=OLD + timedelta(seconds=lasting),
    )


def journal_of(one: Run, folder: Path) -> Path:
    """A run's journal as it left it, in a folder of its own choice."""
    lasted = (one.ended_at - one.info.started_at) // timedelta(microseconds=1)
    entries = [one.info.to_entry(), *map(closing, one.usages), end(lasted)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{one.info.run_id}.journal"
    path.write_bytes(b"".join(encode(entry) for entry in entries))
    return path
