"""`python -m demo` ends as it should, whoever ends it, and says at once what it cannot do."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from demo.server import LocalServer
from demo.worker_process import ROOT

PATIENCE_SECONDS = 50.0
STOPPED = "stopped; what was metered is in the ledger or its journal"

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ties a process to its parent"
)


async def start(data: Path, *options: str, **env: str) -> Process:
    """The demo, with its data in a folder by which its processes are known."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *options, "-m", "demo"),
        cwd=ROOT,
        env={**outside, "TALLYROOM_DATA_DIR": str(data), **env},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )


async def until_line(stream: asyncio.StreamReader | None, part: str) -> None:
    assert stream is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in stream:
            if part in line.decode():
                return
    raise AssertionError(f"it ended without {part!r}")


def processes_of(data: Path) -> list[psutil.Process]:
    """Every living process that was started with this data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TALLYROOM_DATA_DIR") == str(data):
                found.append(process)
        except psutil.Error:
            continue
    return found


async def until_dead(process: psutil.Process) -> None:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    died = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, died.set)
    try:
        await died.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


@linux_only
@pytest.mark.parametrize(
    ("end", "code", "said_last"),
    [
        (lambda pid: os.kill(pid, signal.SIGTERM), 130, STOPPED),
        (lambda pid: os.killpg(pid, signal.SIGTERM), 130, STOPPED),
        (lambda pid: os.killpg(pid, signal.SIGINT), 130, STOPPED),
        (lambda pid: os.kill(pid, signal.SIGKILL), -signal.SIGKILL, ""),
    ],
    ids=["SIGTERM", "SIGTERM to its group", "Ctrl-C", "SIGKILL"],
)
async def test_whoever_ends_it_no_process_is_left(
    end: Callable[[int], None], code: int, said_last: str, tmp_path: Path
) -> None:
    demo = await start(tmp_path)
    try:
        await until_line(demo.stdout, "Alice: ")
        names = [process.name() for process in processes_of(tmp_path)]
        assert any("livekit-server" in name for name in names)
        assert len(names) > 4  # the demo, its server, its worker, and what that has started
        end(demo.pid)
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, said = await demo.communicate()
            # A process that is about to end can have started another one.
            while left := processes_of(tmp_path):
                await asyncio.gather(*map(until_dead, left))
    finally:
        for process in processes_of(tmp_path):
            process.kill()
    assert (demo.returncode, said.decode().strip()) == (code, said_last)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_while_it_loads(number: signal.Signals, tmp_path: Path) -> None:
    demo = await start(tmp_path / "data", "-X", "importtime")
    await until_line(demo.stderr, "asyncio")
    demo.send_signal(number)
    out, said = await asyncio.wait_for(demo.communicate(), PATIENCE_SECONDS)
    lines = [
        line for line in said.decode().splitlines() if line and not line.startswith("import time:")
    ]
    assert (demo.returncode, out, lines) == (130, b"", ["stopped; nothing had been started"])
    assert not (tmp_path / "data").exists()


async def refusal(data: Path, **env: str) -> str:
    """The one line that it says why it cannot be held."""
    demo = await start(data, **env)
    _, said = await asyncio.wait_for(demo.communicate(), PATIENCE_SECONDS)
    assert demo.returncode == 1
    (line,) = said.decode().splitlines()
    return line


async def test_a_data_folder_that_cannot_be_written_is_found_first(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert await refusal(file / "data", LIVEKIT_URL="ws://127.0.0.1:1") == (
        f"demo: {file / 'data'} cannot be written (Not a directory); set TALLYROOM_DATA_DIR"
    )


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        line = await refusal(
            tmp_path, LIVEKIT_URL=url, LIVEKIT_API_KEY="key", LIVEKIT_API_SECRET="s" * 32
        )
    assert line.startswith(f"demo: {url} cannot be reached")
    assert "check LIVEKIT_URL" in line


async def test_keys_that_the_server_does_not_know(
    livekit_server: LocalServer, tmp_path: Path
) -> None:
    wrong = livekit_server.env() | {"LIVEKIT_API_SECRET": "s" * 32}
    line = await refusal(tmp_path, **wrong)
    assert line.startswith(f"demo: {livekit_server.url}")
    assert "check LIVEKIT_API_KEY and LIVEKIT_API_SECRET" in line
