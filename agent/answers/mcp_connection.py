"""An MCP server through LiveKit's client, which needs the mcp package.

https://docs.livekit.io/agents/build/tools/#model-context-protocol-mcp
"""

from __future__ import annotations

from typing import Any

from livekit.agents.llm import RawFunctionTool
from livekit.agents.llm.mcp import (
    MCPServer,
    MCPServerHTTP,
    MCPServerStdio,
    MCPToolResultContext,
)

from .tool_settings import ToolServer
from .tools import CALL_SECONDS, CONNECT_SECONDS


class McpConnection:
    """One MCP server, connected when its tools are first asked for."""

    def __init__(self, server: ToolServer) -> None:
        self._tools: dict[str, RawFunctionTool[Any, Any]] = {}
        self._server: MCPServer
        if server.url:
            self._server = MCPServerHTTP(
                server.url,
                allowed_tools=list(server.tools),
                headers=server.filled_headers(),
                timeout=CONNECT_SECONDS,
                client_session_timeout_seconds=CALL_SECONDS,
                tool_result_resolver=_text,
            )
        else:
            program, *arguments = server.command
            self._server = MCPServerStdio(
                program,
                arguments,
                env=server.environment(),
                client_session_timeout_seconds=CALL_SECONDS,
                tool_result_resolver=_text,
            )

    async def tools(self) -> list[dict[str, Any]]:
        """Connect, and name, describe and give parameters of all the tools that it has."""
        await self._server.initialize()
        self._tools = {tool.info.name: tool for tool in await self._server.list_tools()}
        return [tool.info.raw_schema for tool in self._tools.values()]

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """What a tool returns, as text."""
        return str(await self._tools[tool](arguments))

    async def aclose(self) -> None:
        """Disconnect."""
        await self._server.aclose()


def _text(context: MCPToolResultContext) -> str:
    """What is text in a result; pictures and the like are nothing to answer from."""
    parts = [getattr(part, "text", "") for part in context.result.content]
    return "\n".join(part for part in parts if part)
