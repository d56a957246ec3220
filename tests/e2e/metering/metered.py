"""A worker whose only agent is metered, and what the tests need to know of its jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from livekit import api

from demo.server import LocalServer
from demo.worker_process import WorkerProcess
from metering.errors import MeteringError
from metering.journal import SUFFIX, read_entries
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.record import CostRecord
from metering.run import RunInfo
from metering.settings import Hosting, MeterSettings
from metering.sweeping import sweep
from metering.upkeep.verify import verify
from tests.journals import is_free
from tests.waiting import until

T = TypeVar("T")

AGENT = Path(__file__).parent / "metered_agent.py"
AGENT_NAME = "metered"
BEATS = 2
"""So long must a job have lived for there to be something to recover."""


class Jobs:
    """What a data folder and its store know of jobs."""

    def __init__(self, settings: MeterSettings) -> None:
        self.settings = settings

    def journals(self, job_id: str) -> list[Path]:
        """The job's journals that are not settled."""
        return [
            path
            for path in sorted(self.settings.journals_path.glob(f"*{SUFFIX}"))
            if job_of(path) == job_id
        ]

    async def until_beating(self, job_id: str, beats: int = BEATS) -> Path:
        """Wait until the job has joined, and its heart has beaten; returns its journal."""

        def beating() -> Path | None:
            for path in self.journals(job_id):
                kinds = [entry.get("kind") for entry in _entries(path)]
                if "open" in kinds and kinds[kinds.index("open") :].count("beat") >= beats:
                    return path
            return None

        return await until(beating)

    async def until_over(self, job_id: str) -> None:
        """Wait until the job has settled itself, or nobody holds its journal any more."""
        await until(lambda: all(is_free(path) for path in self.journals(job_id)))

    async def record(self, job_id: str, *, swept: bool = True) -> CostRecord:
        """The job's one record, settled by itself or by a sweep; all that is stored adds up."""
        if swept:
            await sweep(self.settings)
            # Where the worker's sweeper was first, it may not be done yet.
            await until(lambda: not self.journals(job_id))
        async with Ledger(self.settings.ledger_url) as ledger:
            record = await cost_record(ledger, job_id)
            listed = [job for job in await list_jobs(ledger) if job.job_id == job_id]
        assert len(listed) == 1
        assert (await verify(self.settings)).discrepancies == []
        return record


class Metered(Jobs):
    """A running worker, and its jobs."""

    def __init__(
        self, worker: WorkerProcess, livekit: api.LiveKitAPI, settings: MeterSettings
    ) -> None:
        super().__init__(settings)
        self.worker = worker
        self.livekit = livekit

    async def dispatch(self, room: str, **metadata: Any) -> str:
        """A job in a room, as soon as a worker has it: the server can take seconds to know one."""
        for _ in range(10):
            asked = await self.livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(
                    agent_name=AGENT_NAME, room=room, metadata=json.dumps(metadata)
                )
            )
            try:
                taken = await self.worker.until_logged(
                    lambda entry, asked_id=asked.id: entry.get("dispatch_id") == asked_id,  # type: ignore[misc]
                    timeout=4,
                )
            except TimeoutError:
                await self.livekit.agent_dispatch.delete_dispatch(asked.id, room)
            else:
                return str(taken["job_id"])
        raise AssertionError("no agent came")

    async def end_room(self, room: str) -> None:
        await self.livekit.room.delete_room(api.DeleteRoomRequest(room=room))


def seconds_of(record: CostRecord, meter: str) -> float:
    """The one instance that the record has of a meter."""
    (usage,) = [item for item in record.usage if item.meter == meter]
    return float(usage.quantity)


def _entries(journal: Path) -> list[dict[str, Any]]:
    try:
        return list(read_entries(journal)[0])
    except MeteringError:
        return []


def job_of(journal: Path) -> str | None:
    """The job that a journal is of, once it says so."""
    entries = _entries(journal)
    return RunInfo.from_entry(entries[0]).job_id if entries else None


@asynccontextmanager
async def metered(
    server: LocalServer, data: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Metered]:
    """A worker with the metered agent; at the end it is gone."""
    root = {"PYTHONPATH": str(AGENT.parents[3])}
    worker = WorkerProcess(server, data, root | dict(env or {}), program=(str(AGENT),))
    settings = MeterSettings.model_construct(data_dir=data, hosting=Hosting.SELF, plan="none")
    if env and "TALLYROOM_DATABASE_URL" in env:
        settings.database_url = env["TALLYROOM_DATABASE_URL"]
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as livekit:
        await worker.start()
        try:
            yield Metered(worker, livekit, settings)
        finally:
            await worker.stop(timeout=5)
