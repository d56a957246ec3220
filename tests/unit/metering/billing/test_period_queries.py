"""What is read of a month, in every kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from metering.errors import LedgerError
from metering.ledger import schema
from metering.ledger.period_queries import PeriodJob, jobs_with_usage
from metering.ledger.store import Ledger
from tests.unit.metering.ledger.test_store import charge
from tests.unit.metering.samples import START, run, store_rating, usage

LATER = START + timedelta(hours=1)


@pytest.fixture
async def ledger(store_url: str) -> AsyncIterator[Ledger]:
    async with Ledger(store_url) as ledger:
        yield ledger


async def stored(ledger: Ledger, number: int, ended_at: datetime, **head: Any) -> None:
    measured = usage(instance_id=f"one-{number}", started_at=START, ended_at=ended_at)
    await ledger.store_run(run(measured, job_id=f"AJ_{number}", run_id=f"run_{number}", **head))


def prune(connection: Connection, job_id: str) -> None:
    row = {"job_id": job_id, "pruned_at": LATER, "instances": 1}
    connection.execute(insert(schema.prunings), [row])


async def test_a_period_holds_its_start_and_not_its_end(ledger: Ledger) -> None:
    millisecond = timedelta(milliseconds=1)
    ends = [START, LATER - millisecond, LATER]
    for number, ended_at in enumerate(ends):
        await stored(ledger, number, ended_at)
    found = await jobs_with_usage(ledger, START, LATER)
    assert [job.job_id for job in found] == ["AJ_0", "AJ_1"]
    found = await jobs_with_usage(ledger, LATER, LATER + millisecond)
    assert [job.job_id for job in found] == ["AJ_2"]


async def test_a_job_is_as_it_was_last_rated(ledger: Ledger) -> None:
    about: dict[str, Any] = {
        "tenant": "acme",
        "room_name": "r",
        "tags": ("b", "a"),
        "hosting": "self",
    }
    await stored(ledger, 1, START, plan="none", **about)
    [job] = await jobs_with_usage(ledger, START, LATER)
    assert job == PeriodJob("AJ_1", "acme", "r", ("b", "a"), "self", "none")
    for hosting, plan in (("cloud", "livekit/ship"), ("cloud-agents", "livekit/scale")):
        await store_rating(
            ledger,
            "AJ_1",
            [charge("1")],
            rate_card="",
            hosting=hosting,
            plan=plan,
            rated_runs=["run_1"],
        )
    [job] = await jobs_with_usage(ledger, START, LATER)
    assert (job.hosting, job.plan) == ("cloud-agents", "livekit/scale")


async def test_one_tenants(ledger: Ledger) -> None:
    for number, tenant in enumerate(["acme", "zeta", "acme", ""]):
        await stored(ledger, number, START, tenant=tenant)
    found = {
        tenant: [job.job_id for job in await jobs_with_usage(ledger, START, LATER, tenant)]
        for tenant in ("acme", "", "nobody")
    }
    assert found == {"acme": ["AJ_0", "AJ_2"], "": ["AJ_3"], "nobody": []}


async def test_pruned_usage_is_refused_rather_than_left_out(ledger: Ledger) -> None:
    for number in (1, 2):
        await stored(ledger, number, START, tenant=f"tenant-{number}")
        await ledger.write(partial(prune, job_id=f"AJ_{number}"))
    with pytest.raises(LedgerError, match="the usage of AJ_1 and 1 more in this period"):
        await jobs_with_usage(ledger, START, LATER)
    with pytest.raises(LedgerError, match="the usage of AJ_2 in this period was pruned"):
        await jobs_with_usage(ledger, START, LATER, "tenant-2")
    day = timedelta(days=1)
    assert await jobs_with_usage(ledger, START - 2 * day, START - day) == []
