"""Jobs in a ledger, and what is stated of them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

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
    async def work() -> None:
        mine = settings(folder)
        names = {"job_id": f"AJ_{number}", "run_id": f"run_{number}"}
        async with Ledger(mine.ledger_url) as ledger:
            await settle_run(a_run(*usages, **ON_SHIP | names | head), ledger, mine)

    asyncio.run(work())


def session(minutes: int, ended_at: str = "2026-11-20T10:00Z", **fields: Any) -> Usage:
    end = at(ended_at)
    return usage(
        "agent_session",
        "livekit-cloud",
        minutes * 60,
        started_at=end - timedelta(minutes=minutes),
        ended_at=end,
        **fields,
    )


def stated(*arguments: str) -> Any:
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
