"""A shared store that is away when a job ends: its record waits on the disk, and is stored once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from demo.server import LocalServer
from metering.errors import LedgerError
from metering.sweeping import sweep
from tests.e2e.metering.metered import Metered, metered
from tests.postgres import NoPostgres, own_cluster

SWEEPS_AN_HOUR = 60


async def test_a_store_that_is_away_for_an_hour(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    try:
        with own_cluster() as cluster:
            url = cluster.url.format("postgres")
            env = {"TALLYROOM_DATABASE_URL": url}
            async with metered(livekit_server, tmp_path, env) as on:
                job_id = await on.dispatch(room_name)
                await on.until_beating(job_id)
                await asyncio.to_thread(cluster.stop)
                await on.end_room(room_name)
                await on.until_over(job_id)
                await on.worker.until_logged(
                    lambda entry: entry["message"].startswith("this job is not settled yet")
                )
                await _sweep_in_vain(on)
                assert len(on.journals(job_id)) == 1
                await asyncio.to_thread(cluster.start)
                record = await on.record(job_id)
                assert await sweep(on.settings) == []
    except NoPostgres as error:
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")
    assert record.status == "complete"
    assert record.revision == 1
    assert {item.meter for item in record.usage} >= {"agent_session", "participant_connection"}


async def _sweep_in_vain(on: Metered) -> None:
    """As often as a worker does in an hour, without the minutes between."""
    for _ in range(SWEEPS_AN_HOUR):
        with pytest.raises(LedgerError, match=r"connection.*failed"):
            await sweep(on.settings)
