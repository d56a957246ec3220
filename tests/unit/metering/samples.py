"""Usages and runs to test with; what a test does not care for is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from metering.journal import Entry, encode
from metering.ledger.store import Ledger
from metering.ledger.writing import NewRating
from metering.pricing.charges import Charge
from metering.run import Run, RunInfo, Status
from metering.settings import Hosting, MeterSettings
from metering.usage import Usage
from tests.recording import run_info

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def usage(**changes: Any) -> Usage:
    """One connection of a minute."""
    values: dict[str, Any] = {
        "instance_id": "server/RM_test/PA_alice/1",
        "meter": "participant_connection",
        "provider": "self-hosted",
        "quantity": Decimal(60),
        "unit": "second",
        "started_at": START,
        "ended_at": START + timedelta(seconds=60),
    }
    return Usage(**values | changes)


def info(**changes: Any) -> RunInfo:
    return run_info(started_at=START, **changes)


def run(*usages: Usage, people: dict[str, str] | None = None, **changes: Any) -> Run:
    """A complete run of a minute; `changes` go to its head, but for `status` and `error`."""
    status = changes.pop("status", Status.COMPLETE)
    error = changes.pop("error", "")
    return Run(
        info=info(**changes),
        status=status,
        ended_at=START + timedelta(seconds=60),
        usages=usages,
        people=people or {},
        error=error,
    )


def opening(
    instance_id: str = "clock",
    *,
    at: int = 0,
    clock: bool = True,
    ending: str = "with_run",
    **changes: Any,
) -> Entry:
    """A journal's line for an instance that begins, `at` microseconds into its run."""
    begins = START + timedelta(microseconds=at)
    values = {
        "instance_id": instance_id,
        "quantity": Decimal(0),
        "started_at": begins,
        "ended_at": begins,
    }
    return {
        "kind": "open",
        "at": at,
        "ending": ending,
        "clock": clock,
        "usage": usage(**values | changes).to_json(),
    }


def beat(at: int, **counts: str) -> Entry:
    """A heartbeat `at` microseconds into the run; `counts` are of downstream data."""
    return {
        "kind": "beat",
        "at": at,
        "counts": [[name, "downstream_data", counted] for name, counted in counts.items()],
    }


def closing(usage: Usage, *, at: int = 0) -> Entry:
    return {"kind": "usage", "at": at, "usage": usage.to_json()}


def end(at: int, status: str = "complete", error: str = "") -> Entry:
    return {"kind": "end", "at": at, "status": status, "error": error}


def settings(folder: Path, **changes: Any) -> MeterSettings:
    """Settings of a self-hosted meter with its data in a folder, whatever the environment says."""
    values: dict[str, Any] = {"data_dir": folder, "hosting": Hosting.SELF, "plan": "none"}
    return MeterSettings.model_construct(**values | changes)


def write_journal(folder: Path, *entries: Entry, name: str = "run_test") -> Path:
    """A journal as a dead run left it."""
    path = folder / "journals" / f"{name}.journal"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode(entry) for entry in entries))
    return path


async def store_rating(
    ledger: Ledger, job_id: str, charges: Sequence[Charge], **terms: Any
) -> int | None:
    """Append one rating; returns its revision, None where it was not stored."""
    stored = await ledger.store_ratings([NewRating(job_id, charges, **terms)])
    return stored.get(job_id)
