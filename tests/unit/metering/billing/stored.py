"""Jobs in the ledger of a test's folder, its rate file, and what is stated of them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from metering.ledger import schema
from metering.ledger.store import Ledger
from metering.settle import settle_run
from metering.usage import Usage
from tests.unit.metering.pricing.builders import usage
from tests.unit.metering.samples import START, settings
from tests.unit.metering.samples import run as a_run

from .builders import at
from .commands import run

ON_SHIP = {"hosting": "cloud-agents", "plan": "livekit/ship"}


def settled(folder: Path, number: int, *usages: Usage, **head: Any) -> None:
    """One job, settled on Ship unless its head says otherwise."""

    async def work() -> None:
        mine = settings(folder)
        names = {"job_id": f"AJ_{number}", "run_id": f"run_{number}"}
        async with Ledger(mine.ledger_url) as ledger:
            await settle_run(a_run(*usages, **ON_SHIP | names | head), ledger, mine)

    asyncio.run(work())


def lasting(
    meter: str, provider: str, minutes: int, ended_at: str = "2026-11-20T10:00Z", **fields: Any
) -> Usage:
    """One instance of a meter of time."""
    end = at(ended_at)
    start = end - timedelta(minutes=minutes)
    return usage(meter, provider, minutes * 60, started_at=start, ended_at=end, **fields)


def session(minutes: int, ended_at: str = "2026-11-20T10:00Z", **fields: Any) -> Usage:
    """One agent session."""
    return lasting("agent_session", "livekit-cloud", minutes, ended_at, **fields)


def speech(minutes: int, ended_at: str = "2026-11-20T10:00Z", **fields: Any) -> Usage:
    """Audio that Deepgram was sent."""
    return lasting("stt_audio", "deepgram", minutes, ended_at, model="nova-3", **fields)


def rates_file(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch | None = None) -> Path:
    """A rate file; the one in force where a monkeypatch is given."""
    path = folder / ("rates.toml" if monkeypatch else "new.toml")
    path.write_text(text, "utf-8")
    if monkeypatch is not None:
        monkeypatch.setenv("TALLYROOM_RATES", str(path))
    return path


def stated(*arguments: str) -> Any:
    """A statement, as it is printed."""
    result = run("statement", *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def prune(folder: Path, job_id: str) -> None:
    """Say that a job's usage is gone."""

    async def work() -> None:
        pruning = {"job_id": job_id, "pruned_at": START, "instances": 1}
        async with Ledger(settings(folder).ledger_url) as ledger:
            await ledger.write(
                lambda connection: connection.execute(insert(schema.prunings), [pruning])
            )

    asyncio.run(work())
