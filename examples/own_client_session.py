"""A client session of the agent's own, for what it wants of aiohttp, metered all the same.

DEEPGRAM_API_KEY=... python examples/own_client_session.py dev
"""

from __future__ import annotations

import os

import aiohttp
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, StopResponse, cli, llm
from livekit.plugins import deepgram

from metering import JobMeter

DEEPGRAM_URL = os.environ.get("DEEPGRAM_BASE_URL", "https://api.deepgram.com/v1/listen")
_HTTP = "http"

server = AgentServer()


class Listener(Agent):
    """Listens, and never answers."""

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Whatever is done with a transcript."""
        raise StopResponse


async def close(ctx: JobContext) -> None:
    """The session is the agent's own, and so is its end; after it there is nothing to measure."""
    http: aiohttp.ClientSession = ctx.proc.userdata.pop(_HTTP)
    await http.close()


@server.rtc_session(agent_name="own-client-session", on_session_end=close)
async def entrypoint(ctx: JobContext) -> None:
    """Listen to whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    http = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit_per_host=4),
        ws_response_class=meter.websocket_class(),  # [metering] its audio
    )
    meter.trace(http)  # [metering] its sockets
    ctx.proc.userdata[_HTTP] = http
    session = AgentSession[None](
        stt=deepgram.STT(base_url=DEEPGRAM_URL, http_session=http),
    )
    meter.watch(session)  # [metering]
    await session.start(Listener(instructions="not needed"), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
