"""A real worker against the real server, and the command line beside it."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from demo.server import LocalServer
from demo.worker_process import ROOT, WorkerProcess


@dataclass(frozen=True)
class Ran:
    """What a command has said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Tallyroom:
    """A worker, its data folder, and `tallyroom` on the same settings."""

    def __init__(self, worker: WorkerProcess, data: Path) -> None:
        self.worker = worker
        self.data = data

    async def run(self, *arguments: str, **env: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", *arguments),
            cwd=ROOT,
            env=self.worker.env | env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def dispatch(self, room: str, **metadata: Any) -> str:
        """Send a transcriber into a room; returns its job's id."""
        ran = await self.run("dispatch", room, "--json", "--metadata", json.dumps(metadata))
        return str(ran.json["job_id"])

    async def record(self, job_id: str, *, timeout: float = 40) -> Any:
        """The job's cost record, as soon as the worker has logged it."""
        await self.worker.until_logged(
            lambda entry: entry.get("cost_record", {}).get("job_id") == job_id, timeout
        )
        return (await self.run("show", job_id, "--json")).json

    def transcript(self, job_id: str) -> Any:
        folder = self.data / "transcripts" / job_id
        return json.loads((folder / "transcript.json").read_text("utf-8"))


def own_worker(
    server: LocalServer, data: Path, settings: Mapping[str, str] | None = None
) -> WorkerProcess:
    """A worker of one test's own, by a name of its own: no other worker is offered its jobs."""
    name = f"transcriber-{secrets.token_hex(4)}"
    return WorkerProcess(server, data, {"TALLYROOM_AGENT_NAME": name, **(settings or {})})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all of them, because one worker serves all that do not kill it."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tallyroom(
    livekit_server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Tallyroom]:
    data = tmp_path_factory.mktemp("tallyroom") / "data"
    # So that no test waits for the process that the one before it has used up.
    async with WorkerProcess(livekit_server, data, {"TALLYROOM_IDLE_PROCESSES": "2"}) as worker:
        yield Tallyroom(worker, data)
