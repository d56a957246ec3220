"""A transcriber's worker as a process of its own, with its log in reach.

It does not outlive whoever started it. Its job processes end with it by themselves: LiveKit's
framework ends a job whose worker is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .changes import Changes
from .server import LocalServer, RemoteServer
from .tied import tied_to_parent

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20.0
LAST_WORDS = 5

LogEntry = dict[str, Any]


class WorkerError(Exception):
    """The worker did not start, or has ended; the message says which, and its last words."""


class WorkerProcess:
    """`tallyroom start`, as an async context manager: entered once it has registered.

    Args:
        server: the LiveKit server that it registers with.
        data_dir: its `TALLYROOM_DATA_DIR`.
        settings: further environment variables; they win over ours.
        program: what Python runs: the transcriber, or a path of another agent.
        enter: a command to run it through, such as one that enters a network namespace.

    Attributes:
        log: every line of its JSON log so far.
    """

    def __init__(
        self,
        server: LocalServer | RemoteServer,
        data_dir: Path,
        settings: Mapping[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "agent"),
        enter: tuple[str, ...] = (),
    ) -> None:
        self._program = program
        self._enter = (shutil.which(enter[0]) or enter[0], *enter[1:]) if enter else ()
        self.log: list[LogEntry] = []
        self.env = {
            **os.environ,
            **server.env(),
            "TALLYROOM_DATA_DIR": str(data_dir),
            "TALLYROOM_HEALTH_PORT": "0",
            "TALLYROOM_IDLE_PROCESSES": "1",
            # Meeting and transcriber share this machine: its load says nothing of the transcriber.
            "TALLYROOM_LOAD_THRESHOLD": "inf",
            **(settings or {}),
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changes = Changes()
        self._other_output: list[str] = []

    @property
    def pid(self) -> int:
        """The worker's process id, and its process group's."""
        assert self._process is not None
        return self._process.pid

    async def start(self, *, timeout: float = 60.0) -> None:
        """Start it and wait until it has registered.

        Raises:
            WorkerError: it ended instead, or did not register in time.
        """
        self._process = await asyncio.create_subprocess_exec(
            *tied_to_parent(
                *(*self._enter, sys.executable, *self._program, "start", "--log-level", "INFO")
            ),
            cwd=ROOT,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        self._reading.add_done_callback(lambda _: self._changes.notify())
        try:
            await self.until_logged(lambda entry: entry["message"] == "registered worker", timeout)
        except TimeoutError:
            url = self.env["LIVEKIT_URL"]
            raise WorkerError(
                f"the worker did not register with {url} within {timeout:g} s"
            ) from None

    async def until_logged(
        self, matching: Callable[[LogEntry], bool], timeout: float = 30.0
    ) -> LogEntry:
        """Wait for a line of the log, one that is there already included; returns it.

        Raises:
            WorkerError: it has ended without one.
            TimeoutError: there was none within `timeout` seconds.
        """

        def found() -> LogEntry | None:
            entry = next((entry for entry in self.log if matching(entry)), None)
            if entry is None and (self._reading is None or self._reading.done()):
                said = " ".join(self._other_output[-LAST_WORDS:])
                raise WorkerError(f"the worker has ended: {said}")
            return entry

        return await self._changes.until(found, timeout)

    async def stop(self, *, timeout: float = STOP_SECONDS, everyone: bool = False) -> int:
        """Ask it to drain and end, as a deploy does; returns its exit code.

        `everyone` sends the signal to the processes of its jobs, too, as a terminal does.
        """
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            if everyone:
                os.killpg(self.pid, signal.SIGTERM)
            else:
                self._process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            self.kill_all()
            return await self._process.wait()
        finally:
            if self._reading:
                await self._reading

    def kill_all(self) -> None:
        """SIGKILL the worker and every process of its jobs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.kill_all()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                entry = json.loads(line)
            except ValueError:
                self._other_output.append(line.decode(errors="replace").strip())
            else:
                self.log.append(entry)
            self._changes.notify()
