"""A worker that `lk agent dev` reloads relaunches its jobs under the ids that they have.

The test plays the part of the `lk` command: a worker connects to it, and asks which jobs the one
before it had. Each of the two processes that serve the job is a run; the job has one record.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from livekit import api
from livekit.protocol import agent as agent_proto
from livekit.protocol.agent_pb import agent_dev

from demo.server import LocalServer
from demo.tied import tied_to_parent
from metering.journal import SUFFIX
from metering.settings import Hosting, MeterSettings
from tests.e2e.metering.metered import AGENT, AGENT_NAME, Jobs, job_of
from tests.journals import is_free
from tests.waiting import until


class LiveKitCommand:
    """The end of the development channel that `lk agent dev` holds."""

    def __init__(self) -> None:
        self.jobs: list[agent_dev.RunningAgentJobInfo] = []
        self.url = ""
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            lambda reader, writer: self._connected.put_nowait((reader, writer)), "127.0.0.1", 0
        )
        host, port = self._server.sockets[0].getsockname()
        self.url = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def welcome(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A worker has begun: it gets the jobs that were captured of the one before."""
        reader, writer = await self._connected.get()
        self._writers.append(writer)
        assert (await receive(reader)).HasField("server_info")
        assert (await receive(reader)).HasField("get_running_jobs_request")
        await send(
            writer,
            agent_dev.AgentDevMessage(
                get_running_jobs_response=agent_dev.GetRunningAgentJobsResponse(jobs=self.jobs)
            ),
        )
        return reader, writer

    async def capture(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Before a reload: which jobs a worker has."""
        asked = agent_dev.AgentDevMessage(
            get_running_jobs_request=agent_dev.GetRunningAgentJobsRequest()
        )
        await send(writer, asked)
        self.jobs = list((await receive(reader)).get_running_jobs_response.jobs)


async def send(writer: asyncio.StreamWriter, message: agent_dev.AgentDevMessage) -> None:
    data = message.SerializeToString()
    writer.write(struct.pack("!I", len(data)) + data)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> agent_dev.AgentDevMessage:
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    message = agent_dev.AgentDevMessage()
    message.ParseFromString(await reader.readexactly(length))
    return message


@asynccontextmanager
async def dev_worker(server: LocalServer, data: Path, command: str) -> AsyncIterator[None]:
    """A worker in development, gone outright at the end, with all its processes."""
    root = AGENT.parents[3]
    options = ("--dev", "--cli-addr", command)
    process = await asyncio.create_subprocess_exec(
        *tied_to_parent(sys.executable, "-m", "livekit.agents", "start", AGENT, *options),
        cwd=root,
        env={
            **os.environ,
            **server.env(),
            "TALLYROOM_DATA_DIR": str(data),
            "PYTHONPATH": str(root),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_both_runs_of_a_reloaded_job_are_in_its_one_record(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    jobs = Jobs(MeterSettings.model_construct(data_dir=tmp_path, hosting=Hosting.SELF, plan="none"))
    async with (
        LiveKitCommand() as command,
        api.LiveKitAPI(
            livekit_server.url, livekit_server.api_key, livekit_server.api_secret
        ) as livekit,
    ):
        async with dev_worker(livekit_server, tmp_path, command.url):
            channel = await command.welcome()
            job_id = await dispatched(livekit, room_name, jobs)
            first = await jobs.until_beating(job_id)
            await command.capture(*channel)
        assert [agent_proto.Job.FromString(running.job).id for running in command.jobs] == [job_id]
        async with dev_worker(livekit_server, tmp_path, command.url):
            await command.welcome()
            await until(lambda: not first.exists())
            second = await jobs.until_beating(job_id)
            assert not is_free(second)
            await livekit.room.delete_room(api.DeleteRoomRequest(room=room_name))
            await jobs.until_over(job_id)
            record = await jobs.record(job_id)
    assert record.run_ids == [first.stem, second.stem]
    sessions = [item for item in record.usage if item.meter == "agent_session"]
    assert [session.certainty for session in sessions] == ["bounded", "exact"]
    assert record.status == "recovered"


async def dispatched(livekit: api.LiveKitAPI, room: str, jobs: Jobs) -> str:
    """A job in the room, as soon as it keeps a journal."""

    def begun() -> str | None:
        return next(filter(None, map(job_of, jobs.settings.journals_path.glob(f"*{SUFFIX}"))), None)

    for _ in range(10):
        asked = await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=AGENT_NAME, room=room)
        )
        try:
            return await until(begun, timeout=4)
        except TimeoutError:
            await livekit.agent_dispatch.delete_dispatch(asked.id, room)
    raise AssertionError("no agent came")
