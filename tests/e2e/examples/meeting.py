"""An example's own worker process, in a room with real people and local providers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from livekit import api

from demo.server import LocalServer
from demo.speaker import Speaker
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.record import CostRecord
from metering.settings import Hosting, MeterSettings
from metering.upkeep.verify import verify
from tests.providers.deepgram import EndpointingDeepgramServer
from tests.providers.inference import InferenceServer
from tests.providers.openai_voice import OpenAIPlatform
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60.0
TAKEN_SECONDS = 4.0
JOIN_SECONDS = 40.0
END_SECONDS = 40.0


@dataclass(frozen=True)
class Providers:
    """Whom the examples buy from, each with a ledger of its own."""

    deepgram: EndpointingDeepgramServer
    openai: OpenAIPlatform
    inference: InferenceServer

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Providers]:
        async with (
            EndpointingDeepgramServer() as deepgram,
            OpenAIPlatform() as openai,
            InferenceServer() as inference,
        ):
            yield cls(deepgram, openai, inference)

    def env(self) -> dict[str, str]:
        return {
            "DEEPGRAM_API_KEY": self.deepgram.api_key,
            "DEEPGRAM_BASE_URL": f"{self.deepgram.origin}/v1/listen",
            "OPENAI_API_KEY": self.openai.realtime.api_key,
            "OPENAI_BASE_URL": f"{self.openai.origin}/v1",
            "LIVEKIT_INFERENCE_URL": f"{self.inference.origin}/v1",
        }


class Example:
    """`python examples/NAME.py dev`, from when it has registered until it is told to go."""

    def __init__(self, name: str, server: LocalServer, providers: Providers, data: Path) -> None:
        # No other worker is ever offered its jobs.
        self.agent_name = f"{name}-{secrets.token_hex(4)}"
        self._program = ROOT / "examples" / f"{name}.py"
        self._env = {
            **{key: text for key, text in os.environ.items() if not key.startswith("TALLYROOM_")},
            **server.env(),
            **providers.env(),
            "LIVEKIT_AGENT_NAME_OVERRIDE": self.agent_name,
            "TALLYROOM_DATA_DIR": str(data),
            "PYTHONPATH": str(ROOT),
        }
        self._lines: list[str] = []
        self._said = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Example]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(self._program), "dev"),
            cwd=ROOT,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        reading = asyncio.create_task(self._read(process))
        try:
            await self.until_logged("registered worker", timeout=START_SECONDS)
            yield self
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            await reading

    async def until_logged(self, *words: str, timeout: float = END_SECONDS) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not any(all(word in line for word in words) for line in self._lines):
                    await self._said.wait()
        except TimeoutError:
            raise AssertionError(f"{words} not in:\n{''.join(self._lines[-40:])}") from None

    async def dispatch(self, livekit: api.LiveKitAPI, room: str) -> None:
        """Until the worker takes it: the server can take seconds to know of one."""
        for _ in range(10):
            asked = await livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(agent_name=self.agent_name, room=room)
            )
            try:
                await self.until_logged(asked.id, timeout=TAKEN_SECONDS)
            except AssertionError:
                await livekit.agent_dispatch.delete_dispatch(asked.id, room)
            else:
                return
        raise AssertionError(f"{self.agent_name} has taken no job")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._lines.append(line.decode(errors="replace"))
            said, self._said = self._said, asyncio.Event()
            said.set()


class Meeting:
    """Examples in a room, and what they have in the store at its end."""

    def __init__(
        self, server: LocalServer, room: str, data: Path, providers: Providers, names: list[str]
    ) -> None:
        self.providers = providers
        self._server = server
        self._room = room
        self._data = data
        self._examples = [Example(name, server, providers, data) for name in names]
        self._people: list[Speaker] = []

    @classmethod
    @asynccontextmanager
    async def held(
        cls, server: LocalServer, room: str, data: Path, *names: str
    ) -> AsyncIterator[Meeting]:
        """With Alice in the room, and every example's agent."""
        async with Providers.running() as providers, AsyncExitStack() as stack:
            meeting = cls(server, room, data, providers, list(names))
            starting = [
                asyncio.create_task(stack.enter_async_context(example.running()))
                for example in meeting._examples
            ]
            await asyncio.gather(*starting)
            stack.push_async_callback(meeting._everyone_leaves)
            alice = await meeting.join("alice")
            async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as livekit:
                for example in meeting._examples:
                    await example.dispatch(livekit, room)
            await until(lambda: _agents(alice) == len(names), timeout=JOIN_SECONDS)
            yield meeting

    @property
    def alice(self) -> Speaker:
        return self._people[0]

    async def join(self, identity: str) -> Speaker:
        person = Speaker(self._server, self._room, identity)
        await person.join()
        self._people.append(person)
        return person

    async def records(self) -> list[CostRecord]:
        """Everyone leaves; what every job has then settled, which the store holds together."""
        await self._everyone_leaves()
        for example in self._examples:
            await example.until_logged("cost_record")
        settings = MeterSettings.model_construct(
            data_dir=self._data, hosting=Hosting.SELF, plan="none"
        )
        async with Ledger(settings.ledger_url) as ledger:
            jobs = await list_jobs(ledger)
            records = [await cost_record(ledger, job.job_id) for job in jobs]
        assert (await verify(settings)).discrepancies == []
        assert [record.status for record in records] == ["complete"] * len(self._examples)
        return records

    async def record(self) -> CostRecord:
        (record,) = await self.records()
        return record

    async def _everyone_leaves(self) -> None:
        people, self._people = self._people, []
        for person in people:
            await person.leave()


def _agents(alice: Speaker) -> int:
    remote = alice.room.remote_participants
    return sum(identity.startswith("agent-") for identity in remote)
