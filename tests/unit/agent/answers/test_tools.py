"""Tools: only those on the list exist, whatever an LLM asks for, and one that fails says so."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from agent.answers.question import ToolCall
from agent.answers.tool_settings import ToolServer, load_tool_servers
from agent.answers.tools import (
    AGAIN_SECONDS,
    FAILED,
    NOT_ALLOWED,
    RESULT_CHARACTERS,
    AllowedTools,
)
from agent.errors import SettingsError

TICKETS = ToolServer(name="tickets", command=("tickets",), tools=("find", "missing"))


class Has:
    """A server with tools of which only one is allowed; `asked` is its ledger."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.connected = 0
        self.closed = 0
        self.is_away = False
        self.result = "ticket 7"

    async def tools(self) -> list[dict[str, Any]]:
        self.connected += 1
        if self.is_away:
            raise ConnectionError("secret words")
        schema = {"type": "object"}
        return [
            {"name": "find", "description": "Finds.", "parameters": schema},
            {"name": "delete", "description": "Deletes.", "parameters": schema},
        ]

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        self.asked.append((tool, arguments))
        if self.result == "fail":
            raise RuntimeError("secret words")
        if self.result == "hang":
            await asyncio.Event().wait()
        return self.result

    async def aclose(self) -> None:
        self.closed += 1


async def test_what_is_on_the_list_and_there_is_offered_and_asked() -> None:
    server = Has()
    tools = AllowedTools([TICKETS], lambda _: server)
    assert server.connected == 0
    offered = [{"name": "tickets.find", "description": "Finds.", "parameters": {"type": "object"}}]
    assert await tools.offered() == offered
    assert await tools.offered() == offered
    assert server.connected == 1
    result = await tools.call(ToolCall("tickets.find", {"id": 7}))
    assert (result.tool, result.text) == ("tickets.find", "ticket 7")
    assert server.asked == [("find", {"id": 7})]
    assert tools.calls == {"tickets.find": 1}
    await tools.aclose()
    assert server.closed == 1


@pytest.mark.parametrize(
    "name", ["tickets.delete", "tickets.missing", "delete", "find", "other.find", "", "."]
)
async def test_what_is_not_on_the_list_is_never_called(name: str) -> None:
    server = Has()
    tools = AllowedTools([TICKETS], lambda _: server)
    await tools.offered()
    assert (await tools.call(ToolCall(name, {}))).text == NOT_ALLOWED
    assert (server.asked, tools.calls) == ([], {})


async def test_before_anything_was_offered_nothing_is_called() -> None:
    server = Has()
    tools = AllowedTools([TICKETS], lambda _: server)
    assert (await tools.call(ToolCall("tickets.find", {}))).text == NOT_ALLOWED
    assert server.asked == []


@pytest.mark.parametrize("how", ["fail", "hang"])
async def test_one_that_fails_says_so_and_not_why(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Has()
    server.result = how
    tools = AllowedTools([TICKETS], lambda _: server, call_seconds=0.05)
    await tools.offered()
    with caplog.at_level(logging.DEBUG):
        assert (await tools.call(ToolCall("tickets.find", {"who": "Alice"}))).text == FAILED
    assert "secret" not in caplog.text
    assert "Alice" not in caplog.text


async def test_a_long_result_is_cut_and_says_so() -> None:
    server = Has()
    server.result = "x" * (RESULT_CHARACTERS + 1)
    tools = AllowedTools([TICKETS], lambda _: server)
    await tools.offered()
    text = (await tools.call(ToolCall("tickets.find", {}))).text
    assert text == "x" * RESULT_CHARACTERS + " [cut]"


async def test_a_server_that_is_away_is_tried_again_after_a_while() -> None:
    now, server = 0.0, Has()
    server.is_away = True
    tools = AllowedTools([TICKETS], lambda _: server, now=lambda: now)
    assert await tools.offered() == []
    server.is_away = False
    assert await tools.offered() == []
    assert (server.connected, server.closed) == (1, 1)
    now = AGAIN_SECONDS
    assert len(await tools.offered()) == 1


FILE = """
[[server]]
name = "tickets"
url = "https://tickets.example.com/mcp"
headers = { Authorization = "Bearer ${TICKETS_TOKEN}" }
tools = ["find"]

[[server]]
name = "calendar"
command = ["python", "-m", "our_calendar"]
env = ["CALENDAR_TOKEN"]
tools = ["next_free_day"]
"""


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETS_TOKEN", "t0ken")
    monkeypatch.setenv("CALENDAR_TOKEN", "c0ken")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def test_a_file_of_servers(tmp_path: Path) -> None:
    path = tmp_path / "servers.toml"
    path.write_text(FILE)
    tickets, calendar = load_tool_servers(path)
    assert tickets.filled_headers() == {"Authorization": "Bearer t0ken"}
    assert tickets.headers == {"Authorization": "Bearer ${TICKETS_TOKEN}"}
    assert calendar.command == ("python", "-m", "our_calendar")
    assert calendar.environment() == {"CALENDAR_TOKEN": "c0ken"}
    assert load_tool_servers(None) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[server]", "is not TOML"),
        ("", "server: Field required"),
        ('[[server]]\nname = "a"\nurl = "x"\ntools = []', "server.0.tools: Tuple should have"),
        ('[[server]]\nname = "a"\nurl = "x"', "server.0.tools: Field required"),
        ('[[server]]\nname = "a"\ntools = ["b"]', "server.0: has either a url or a command"),
        (
            '[[server]]\nname = "a"\nurl = "x"\ncommand = ["y"]\ntools = ["b"]',
            "server.0: has either a url or a command",
        ),
        (
            '[[server]]\nname = "a.b"\nurl = "x"\ntools = ["b"]',
            "server.0.name: String should match",
        ),
        (FILE.replace("calendar", "tickets"), "names a server twice"),
        (FILE.replace("TICKETS_TOKEN", "NO_TOKEN"), "has a header that cannot be filled"),
        (FILE.replace("CALENDAR_TOKEN", "NO_TOKEN"), "server 'calendar' needs NO_TOKEN, not set"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "servers.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_tool_servers(path)
    assert str(raised.value).startswith("TALLYROOM_MCP_SERVERS: ")
    assert message in str(raised.value)
    assert "0ken" not in str(raised.value)


def test_without_a_file_or_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="TALLYROOM_MCP_SERVERS: cannot read"):
        load_tool_servers(tmp_path / "none.toml")
    path = tmp_path / "servers.toml"
    path.write_text(FILE)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs the mcp package"):
        load_tool_servers(path)
