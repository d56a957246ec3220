"""Answers with tools of a real MCP server, over its streams and over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.answers.answerer import Answerer
from agent.answers.assistant import PURPOSE
from agent.answers.question import Answer, Asked, Status
from agent.answers.tool_settings import ToolServer
from agent.answers.tools import NOT_ALLOWED, AllowedTools
from agent.answers.wording import chat_text
from agent.asking import LanguageModel
from agent.settings import AgentSettings, ModelChoice
from demo.worker_process import ROOT
from metering import WorkMeter
from tests.providers.answer_maker import AnswerMaker, data_of, reply
from tests.unit.agent.builders import segment
from tests.waiting import until

pytest.importorskip("mcp", reason="livekit-agents[mcp] is not installed")

PROGRAM = (sys.executable, "-m", "tests.providers.mcp_tickets")
ASKED = Asked("carol", "Carol", "Which ticket?", 900.0, datetime(2026, 11, 20, tzinfo=UTC))
SAID = [segment(text="The oven is broken.")]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{':'.join(sys.path)}")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "not for tools")
    monkeypatch.chdir(ROOT)
    return tmp_path


@pytest.fixture
async def over_http(data: Path) -> AsyncIterator[ToolServer]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, str(data / "ledger"), str(port), cwd=ROOT, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: _answers(port))
        url = f"http://127.0.0.1:{port}/mcp"
        yield ToolServer(name="tickets", url=url, tools=("find_ticket",))
    finally:
        process.terminate()
        await process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def over_streams(data: Path) -> ToolServer:
    return ToolServer(
        name="tickets",
        command=(*PROGRAM, str(data / "ledger")),
        env=("PYTHONPATH",),
        tools=("find_ticket",),
    )


async def answer(llm: AnswerMaker, server: ToolServer) -> Answer:
    from agent.answers.mcp_connection import McpConnection

    settings = AgentSettings(
        llm="openai/gpt-4.1-mini",
        openai_api_key=SecretStr("key"),
        openai_base_url=f"{llm.origin}/v1",
    )
    tools = AllowedTools([server], McpConnection, connect_seconds=30.0)
    async with WorkMeter("AJ_test") as meter:
        model = LanguageModel(settings, ModelChoice("openai", "gpt-4.1-mini"), meter, PURPOSE)
        try:
            return await Answerer(model, tools=tools).answer(ASKED, "Weekly", SAID)
        finally:
            await tools.aclose()
            await model.aclose()


def ledger(data: Path) -> list[dict[str, Any]]:
    path = data / "ledger"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def check_found(llm: AnswerMaker, answered: Answer, data: Path) -> None:
    assert (answered.status, answered.tools) == (Status.ANSWERED, ("tickets.find_ticket",))
    text = chat_text(ASKED, answered)
    assert text.startswith("Carol: It says: Ticket 4711 is about the oven.")
    assert text.endswith("\n(Looked up with tickets.find_ticket.)")
    (entry,) = ledger(data)
    assert (entry["tool"], entry["arguments"]) == ("find_ticket", {"about": "oven"})
    offered = data_of(llm.asked[0])["tools"]
    assert [one["name"] for one in offered] == ["tickets.find_ticket"]


async def test_a_tool_over_streams_that_gets_none_of_our_keys(data: Path) -> None:
    async with AnswerMaker() as llm:
        llm.looks_up = ("tickets.find_ticket", {"about": "oven"})
        await check_found(llm, await answer(llm, over_streams(data)), data)
    (entry,) = ledger(data)
    assert "LIVEKIT_API_SECRET" not in entry["variables"]


async def test_a_tool_over_http(data: Path, over_http: ToolServer) -> None:
    async with AnswerMaker() as llm:
        llm.looks_up = ("tickets.find_ticket", {"about": "oven"})
        await check_found(llm, await answer(llm, over_http), data)


async def test_a_tool_that_the_server_has_and_the_list_has_not_is_never_called(data: Path) -> None:
    async with AnswerMaker() as llm:
        called = {"tool": "tickets.delete_everything", "arguments": "{}"}
        llm.answers.extend([reply("", called=called)] * 4)
        answered = await answer(llm, over_streams(data))
        assert answered.status is Status.NOT_SAID
        assert data_of(llm.asked[1])["tool_results"][0]["result"] == NOT_ALLOWED
    assert ledger(data) == []
