"""A worker that cannot work says so in one line, before the framework begins to retry."""

from __future__ import annotations

import asyncio
import socket

import pytest

from demo.server import LocalServer
from tests.e2e.agent.conftest import Ran, Tallyroom, own_worker


def refusal(ran: Ran) -> str:
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("command", "env", "options", "named"),
    [
        ("start", {"LIVEKIT_API_SECRET": "wrong" * 8}, (), "LIVEKIT_API_SECRET"),
        ("dev", {"LIVEKIT_URL": "ws://127.0.0.1:9"}, (), "check LIVEKIT_URL"),
        ("start", {"LIVEKIT_URL": "nonsense"}, (), "LIVEKIT_URL='nonsense' is no URL"),
        ("start", {"TALLYROOM_WEBHOOK_URL": "https://x.example"}, (), "TALLYROOM_WEBHOOK_SECRET"),
        ("start", {"TALLYROOM_STT": "faster-whisper/nope"}, (), "speech model 'nope'"),
        ("start", {}, ("--url", "ws://127.0.0.1:9"), "ws://127.0.0.1:9 cannot be reached"),
        ("start", {}, ("--api-secret=" + "wrong" * 8,), "LIVEKIT_API_SECRET"),
    ],
)
async def test_a_server_or_model_that_it_cannot_work_with(
    livekit_server: LocalServer,
    tmp_path_factory: pytest.TempPathFactory,
    command: str,
    env: dict[str, str],
    options: tuple[str, ...],
    named: str,
) -> None:
    data = tmp_path_factory.mktemp("data")
    tallyroom = Tallyroom(own_worker(livekit_server, data), data)
    # The framework's sixteen tries take two minutes.
    async with asyncio.timeout(45):
        line = refusal(await tallyroom.run(command, *options, **env))
    assert line.startswith("tallyroom: ")
    assert named in line


async def test_a_worker_that_fails_later_ends_with_exit_code_1(
    livekit_server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("data")
    tallyroom = Tallyroom(own_worker(livekit_server, data), data)
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        async with asyncio.timeout(45):
            ran = await tallyroom.run("start", TALLYROOM_HEALTH_PORT=str(port))
    assert ran.code == 1
    assert "address already in use" in ran.out
