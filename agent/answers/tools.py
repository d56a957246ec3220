"""Tools that an answer may look something up with: of MCP servers, and only those on the list.

A tool that is not on it is neither offered nor ever called, whatever an LLM asks for. What a tool
returns is text for the LLM to answer from, as any word of the meeting is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .question import ToolCall, ToolResult
from .tool_settings import ToolServer

logger = logging.getLogger("tallyroom.agent")

CONNECT_SECONDS = 10.0
CALL_SECONDS = 15.0
AGAIN_SECONDS = 60.0
"""A server that could not be reached is tried again after this."""
RESULT_CHARACTERS = 4000
_DESCRIPTION_CHARACTERS = 1000
NOT_ALLOWED = "there is no such tool"
FAILED = "the tool failed"
CUT = " [cut]"


class Connection(Protocol):
    """One MCP server, as it is spoken to."""

    async def tools(self) -> list[dict[str, Any]]:
        """Connect, and name, describe and give parameters of all the tools that it has."""

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """What a tool returns, as text."""

    async def aclose(self) -> None:
        """Disconnect."""


class AllowedTools:
    """The tools of some servers that may be asked, as `server.tool`.

    `connect` makes a connection, which is opened when the first question comes.
    """

    def __init__(
        self,
        servers: Sequence[ToolServer],
        connect: Callable[[ToolServer], Connection],
        *,
        connect_seconds: float = CONNECT_SECONDS,
        call_seconds: float = CALL_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._connect = connect
        self._connect_seconds = connect_seconds
        self._call_seconds = call_seconds
        self._now = now
        self._open: dict[str, Connection] = {}
        self._offered: dict[str, list[dict[str, Any]]] = {}
        self._again_at: dict[str, float] = {}
        self.calls: Counter[str] = Counter()
        """How often each tool was asked."""

    async def offered(self) -> list[dict[str, Any]]:
        """The tools on the list that their servers have; of a server that is away, none."""
        await asyncio.gather(*map(self._reach, self._servers.values()))
        return [tool for tools in self._offered.values() for tool in tools]

    async def call(self, wanted: ToolCall) -> ToolResult:
        """What a tool returns, or that it is not there, or has failed."""
        server, _, tool = wanted.tool.partition(".")
        known = any(one["name"] == wanted.tool for one in self._offered.get(server, ()))
        connection = self._open.get(server)
        if not known or connection is None or tool not in self._servers[server].tools:
            logger.warning("a tool was asked for that is not allowed, and not called")
            return ToolResult(wanted.tool[:128], wanted.arguments, NOT_ALLOWED)
        self.calls[wanted.tool] += 1
        logger.info("asking tool %s, for the %d. time", wanted.tool, self.calls[wanted.tool])
        try:
            async with asyncio.timeout(self._call_seconds):
                text = await connection.call(tool, wanted.arguments)
        except Exception as error:
            # By its kind only: a message can have people's words in it.
            logger.warning("tool %s failed: %s", wanted.tool, type(error).__name__)
            return ToolResult(wanted.tool, wanted.arguments, FAILED)
        if len(text) > RESULT_CHARACTERS:
            text = text[:RESULT_CHARACTERS] + CUT
        return ToolResult(wanted.tool, wanted.arguments, text)

    async def aclose(self) -> None:
        """Disconnect from all servers."""
        connections, self._open = self._open, {}
        self._offered.clear()
        await asyncio.gather(*map(self._close, connections.values()))

    async def _reach(self, server: ToolServer) -> None:
        if server.name in self._offered or self._now() < self._again_at.get(server.name, 0.0):
            return
        connection = self._connect(server)
        try:
            async with asyncio.timeout(self._connect_seconds):
                tools = await connection.tools()
        except Exception as error:
            logger.warning("MCP server %s cannot be reached: %s", server.name, type(error).__name__)
            self._again_at[server.name] = self._now() + AGAIN_SECONDS
            await self._close(connection)
            return
        self._open[server.name] = connection
        self._offered[server.name] = [
            _described(server.name, tool) for tool in tools if tool.get("name") in server.tools
        ]

    async def _close(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(self._connect_seconds):
                await connection.aclose()
        except Exception as error:
            logger.warning("an MCP server was not left in order: %s", type(error).__name__)


def _described(server: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{server}.{tool['name']}",
        "description": str(tool.get("description") or "")[:_DESCRIPTION_CHARACTERS],
        "parameters": tool.get("parameters") or {},
    }
