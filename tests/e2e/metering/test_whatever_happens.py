"""Whatever happens to a job, its record is there, once, and says how certain it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from livekit import api

from demo.server import LocalServer
from demo.speaker import Speaker
from demo.worker_process import WorkerProcess
from metering.journal import SUFFIX, try_lock
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.record import CostRecord
from metering.settings import Hosting, MeterSettings
from metering.settle import sweep
from metering.verify import verify

AGENT = str(Path(__file__).parent / "metered_agent.py")
PRESENT_SECONDS = 2.5


class Scene:
    """A metered job with Alice in its room."""

    def __init__(self, worker: WorkerProcess, alice: Speaker, data: Path) -> None:
        self.worker = worker
        self.alice = alice
        self.settings = MeterSettings.model_construct(
            data_dir=data, hosting=Hosting.SELF, plan="none"
        )

    async def until_settled_or_dead(self) -> None:
        """Wait until the job's journal is retired, or its process gone."""
        journals = self.settings.journals_path
        async with asyncio.timeout(30):
            # Another process does either: there is no event in this one to wait for.
            while (live := list(journals.glob(f"*{SUFFIX}"))) and not _is_free(live[0]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def record(self, *, swept: bool = False) -> CostRecord:
        """The one record that there is, settled by the job itself or by a sweep."""
        if swept:
            await sweep(self.settings)
        async with Ledger(self.settings.ledger_url) as ledger:
            (job,) = await list_jobs(ledger)
            record = await cost_record(ledger, job.job_id)
        verdict = await verify(self.settings)
        assert verdict.discrepancies == []
        assert (verdict.jobs, verdict.journals) == (1, 1)
        return record


def _is_free(journal: Path) -> bool:
    lock = try_lock(journal)
    if lock:
        lock.close()
    return lock is not None


@asynccontextmanager
async def scene(
    server: LocalServer, room: str, data: Path, settings: Mapping[str, str]
) -> AsyncIterator[Scene]:
    env = {"PYTHONPATH": str(Path(AGENT).parents[3]), **settings}
    worker = WorkerProcess(server, data, env, program=(AGENT,))
    async with Speaker(server, room, "alice") as alice:
        await worker.start()
        try:
            async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as livekit:
                await _dispatch(livekit, room, worker)
            # What is to be recovered must have lived: two heartbeats.
            await asyncio.sleep(PRESENT_SECONDS)
            yield Scene(worker, alice, data)
        finally:
            await worker.stop(timeout=5)


async def _dispatch(livekit: api.LiveKitAPI, room: str, worker: WorkerProcess) -> None:
    """Until a worker takes it: the server can take seconds to know of one."""
    for _ in range(10):
        asked = await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name="metered", room=room)
        )
        try:
            await worker.until_logged(
                lambda entry, asked_id=asked.id: entry.get("dispatch_id") == asked_id,  # type: ignore[misc]
                timeout=4,
            )
        except TimeoutError:
            await livekit.agent_dispatch.delete_dispatch(asked.id, room)
        else:
            return
    raise AssertionError("no agent came")


def seconds_of(record: CostRecord, meter: str) -> float:
    (usage,) = [item for item in record.usage if item.meter == meter]
    return float(usage.quantity)


async def test_a_job_that_ends_well_settles_itself(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with scene(livekit_server, room_name, tmp_path, {}) as on:
        await on.alice.leave()
        await on.worker.until_logged(lambda entry: "cost_record" in entry)
        record = await on.record()
    assert record.status == "complete"
    joins = livekit_server.timeline(room_name).participants
    (agent,) = [join for join in joins if join.identity.startswith("agent-")]
    assert agent.seconds is not None
    assert abs(seconds_of(record, "agent_session") - agent.seconds) < 0.5


async def test_a_job_whose_entrypoint_raises_settles_itself_as_failed(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with scene(livekit_server, room_name, tmp_path, {"MISBEHAVE": "crash"}) as on:
        await on.worker.until_logged(lambda entry: "cost_record" in entry)
        record = await on.record()
    assert (record.status, record.error) == ("failed", "job crashed")
    assert seconds_of(record, "agent_session") > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"MISBEHAVE": "raise"},
        {"MISBEHAVE": "hang", "SHUTDOWN_SECONDS": "4"},
        {"SHUTDOWN_SECONDS": "1"},
    ],
    ids=["another callback raises", "another callback hangs", "a window of 1 s"],
)
async def test_a_job_that_is_cut_short_while_it_shuts_down(
    livekit_server: LocalServer, room_name: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    """Whether it had the time to settle itself or not: its end stands in the journal."""
    async with scene(livekit_server, room_name, tmp_path, settings) as on:
        await on.alice.leave()
        await on.until_settled_or_dead()
        record = await on.record(swept=True)
    assert record.status == "complete"
    (session,) = [item for item in record.usage if item.meter == "agent_session"]
    assert session.certainty == "exact"
    assert float(session.quantity) > PRESENT_SECONDS - 0.5


async def test_a_signal_to_the_whole_process_group(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    """It kills job processes outright: what they had is recovered."""
    async with scene(livekit_server, room_name, tmp_path, {}) as on:
        await on.worker.stop(timeout=15, everyone=True)
        record = await on.record(swept=True)
    assert record.status in ("recovered", "complete")
    assert seconds_of(record, "agent_session") > PRESENT_SECONDS - 1.5
