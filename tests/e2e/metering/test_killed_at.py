"""A job killed at any instant: one record, no instance twice, and bounds that hold."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from demo.server import LocalServer
from demo.speaker import Speaker
from metering.journal import HEARTBEAT_SECONDS
from metering.line import Turn
from metering.settings import MeterSettings
from tests.e2e.metering.metered import Metered, metered, seconds_of
from tests.e2e.processes import kill_job

RECOVERED = ("before it has joined", "entrypoint cancelled", "session end", "shutdown callbacks")
EITHER = ("end is not flushed",)
COMPLETE = (
    "end is flushed",
    "waiting in line",
    "before it is stored",
    "stored, not rated",
    "rated, not logged",
    "logged, not retired",
    "retired",
)
LATE_SECONDS = 1.5
"""How late a heartbeat can be on a machine that does much else."""


async def test_at_every_step_of_its_end(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    statuses = {}
    async with metered(livekit_server, tmp_path) as on:
        for number, step in enumerate((*RECOVERED, *EITHER, *COMPLETE)):
            room = f"{room_name}-{number}"
            job_id = await on.dispatch(room, kill_at=step)
            if step != "before it has joined":
                await on.until_beating(job_id)
                with _everybody_else(tmp_path) if step == "waiting in line" else nullcontext():
                    await on.end_room(room)
                    await _until_gone(on, job_id)
            await on.until_over(job_id)
            await _until_gone(on, job_id)
            record = await on.record(job_id)
            statuses[step] = record.status
            assert (record.revision, record.error) == (1, "")
            sessions = [item for item in record.usage if item.meter == "agent_session"]
            if step == "before it has joined":
                assert record.usage == []
            else:
                # That the room had ended was seen; the line that says so may not have been flushed.
                allowed = {"exact"} if step in COMPLETE else {"exact", "bounded"}
                assert len(sessions) == 1
                assert sessions[0].certainty in allowed
                assert seconds_of(record, "agent_session") > HEARTBEAT_SECONDS - LATE_SECONDS
    assert {step: statuses[step] for step in RECOVERED} == dict.fromkeys(RECOVERED, "recovered")
    assert {step: statuses[step] for step in COMPLETE} == dict.fromkeys(COMPLETE, "complete")
    assert {statuses[step] for step in EITHER} <= {"recovered", "complete"}


@contextmanager
def _everybody_else(data: Path) -> Iterator[None]:
    """All places in the machine's line are taken: which one is tried is chance."""
    turns = [Turn(MeterSettings(data_dir=data).journals_path) for _ in range(100)]
    try:
        yield
    finally:
        for turn in turns:
            turn.give_up()


async def _until_gone(on: Metered, job_id: str) -> None:
    """The worker has seen its process die: it was killed, and did not end."""
    await on.worker.until_logged(
        lambda entry: entry.get("job_id") == job_id and "non-zero exit code -9" in entry["message"]
    )


@pytest.mark.parametrize("seed", [1971])
async def test_at_random_instants(
    livekit_server: LocalServer, room_name: str, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    async with metered(livekit_server, tmp_path) as on:
        for number in range(6):
            room = f"{room_name}-{number}"
            async with Speaker(livekit_server, room, "alice"):
                job_id = await on.dispatch(room)
                await on.until_beating(job_id, beats=0)
                # Any instant: there is no event to wait for.
                await asyncio.sleep(rng.uniform(0, 3))
                killed_at = await kill_job(tmp_path)
            record = await on.record(job_id)
            assert record.status == "recovered"
            (session,) = [item for item in record.usage if item.meter == "agent_session"]
            lived = (killed_at - session.started_at).total_seconds()
            assert session.quantity_lower is not None
            assert session.quantity_upper is not None
            assert float(session.quantity_lower) <= lived + 0.05
            assert lived - LATE_SECONDS <= float(session.quantity_upper)
            assert (
                lived - HEARTBEAT_SECONDS - LATE_SECONDS <= float(session.quantity) <= lived + 0.05
            )


async def test_a_worker_that_is_killed_takes_its_jobs_with_it(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    """The framework ends the jobs of a worker that has gone; the next worker settles them."""
    async with metered(livekit_server, tmp_path) as on:
        job_id = await on.dispatch(room_name)
        await on.until_beating(job_id)
        os.kill(on.worker.pid, signal.SIGKILL)
        await on.until_over(job_id)
    async with metered(livekit_server, tmp_path) as after:
        await after.worker.until_logged(
            lambda entry: entry.get("cost_record", {}).get("job_id") == job_id
        )
        record = await after.record(job_id, swept=False)
    assert record.status in ("recovered", "complete")
    assert seconds_of(record, "agent_session") > HEARTBEAT_SECONDS - LATE_SECONDS
