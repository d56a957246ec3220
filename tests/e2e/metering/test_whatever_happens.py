"""Whatever happens to a job, its record is there, once, and says how certain it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.metering.metered import metered, seconds_of

PRESENT_SECONDS = 2.0


async def test_a_job_that_ends_well_settles_itself(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with (
        Speaker(livekit_server, room_name, "alice") as alice,
        metered(livekit_server, tmp_path) as on,
    ):
        job_id = await on.dispatch(room_name)
        await on.until_beating(job_id)
        await alice.leave()
        await on.worker.until_logged(lambda entry: "cost_record" in entry)
        record = await on.record(job_id, swept=False)
    assert record.status == "complete"
    joins = livekit_server.timeline(room_name).participants
    (agent,) = [join for join in joins if join.identity.startswith("agent-")]
    assert agent.seconds is not None
    assert abs(seconds_of(record, "agent_session") - agent.seconds) < 0.5


async def test_a_job_whose_entrypoint_raises_settles_itself_as_failed(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with metered(livekit_server, tmp_path) as on:
        job_id = await on.dispatch(room_name, misbehave="crash")
        await on.worker.until_logged(lambda entry: "cost_record" in entry)
        record = await on.record(job_id, swept=False)
    assert (record.status, record.error) == ("failed", "job crashed")
    assert seconds_of(record, "agent_session") > 0


@pytest.mark.parametrize(
    ("misbehave", "window"),
    [("raise", "10"), ("hang", "4"), ("", "1")],
    ids=["another callback raises", "another callback hangs", "a window of 1 s"],
)
async def test_a_job_that_is_cut_short_while_it_shuts_down(
    livekit_server: LocalServer, room_name: str, tmp_path: Path, misbehave: str, window: str
) -> None:
    """Whether it had the time to settle itself or not: its end stands in the journal."""
    async with metered(livekit_server, tmp_path, {"SHUTDOWN_SECONDS": window}) as on:
        job_id = await on.dispatch(room_name, misbehave=misbehave)
        await on.until_beating(job_id)
        await on.end_room(room_name)
        await on.until_over(job_id)
        record = await on.record(job_id)
    assert record.status == "complete"
    (session,) = [item for item in record.usage if item.meter == "agent_session"]
    assert session.certainty == "exact"
    assert float(session.quantity) > PRESENT_SECONDS - 0.5


async def test_a_worker_that_is_told_to_end_lets_its_meetings_end_first(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with metered(livekit_server, tmp_path) as on:
        job_id = await on.dispatch(room_name)
        await on.until_beating(job_id)
        stopping = asyncio.create_task(on.worker.stop(timeout=30))
        await on.worker.until_logged(lambda entry: "draining" in entry["message"])
        beats_before = 2
        await on.until_beating(job_id, beats=2 * beats_before)
        await on.end_room(room_name)
        await stopping
        record = await on.record(job_id, swept=False)
    assert record.status == "complete"
    assert seconds_of(record, "agent_session") > 2 * PRESENT_SECONDS - 1.5


async def test_a_signal_to_the_whole_process_group(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    """It kills job processes outright: what they had is recovered."""
    async with metered(livekit_server, tmp_path) as on:
        job_id = await on.dispatch(room_name)
        await on.until_beating(job_id)
        await on.worker.stop(timeout=15, everyone=True)
        record = await on.record(job_id)
    assert record.status in ("recovered", "complete")
    assert seconds_of(record, "agent_session") > PRESENT_SECONDS - 1.5


async def test_a_job_that_passes_the_frameworks_memory_limit(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with metered(livekit_server, tmp_path, {"MEMORY_LIMIT_MB": "400"}) as on:
        job_id = await on.dispatch(room_name, misbehave="grow")
        await on.until_beating(job_id)
        await on.until_over(job_id)
        record = await on.record(job_id)
    assert record.status == "recovered"
    (session,) = [item for item in record.usage if item.meter == "agent_session"]
    assert session.certainty == "bounded"
    assert float(session.quantity) > PRESENT_SECONDS - 1.5


@pytest.mark.parametrize("hours", ["1", "-1"])
async def test_a_wall_clock_that_is_stepped_in_the_middle_of_a_meeting(
    livekit_server: LocalServer, room_name: str, tmp_path: Path, hours: str
) -> None:
    async with metered(livekit_server, tmp_path, {"CLOCK_STEP_HOURS": hours}) as on:
        async with Speaker(livekit_server, room_name, "alice"):
            job_id = await on.dispatch(room_name, misbehave="step the clock")
            await on.until_beating(job_id)
        await on.until_over(job_id)
        record = await on.record(job_id)
    assert (record.status, record.error) == ("complete", "")
    joins = {
        join.identity: join.seconds for join in livekit_server.timeline(room_name).participants
    }
    metered_seconds = {
        item.participant: float(item.quantity)
        for item in record.usage
        if item.meter == "participant_connection"
    }
    assert metered_seconds.keys() == joins.keys()
    for identity, seconds in joins.items():
        assert seconds is not None
        assert abs(metered_seconds[identity] - seconds) < 0.5
    for item in record.usage:
        assert record.started_at <= item.ended_at <= record.ended_at
