"""An agent that listens, thinks and speaks: STT, LLM and TTS in one AgentSession, metered.

DEEPGRAM_API_KEY=... OPENAI_API_KEY=... python examples/talking_agent.py dev
"""

from __future__ import annotations

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import deepgram, openai
from openai import AsyncClient

from metering import JobMeter

DEEPGRAM_URL = os.environ.get("DEEPGRAM_BASE_URL", "https://api.deepgram.com/v1/listen")

server = AgentServer()


@server.rtc_session(agent_name="talking-agent")
async def entrypoint(ctx: JobContext) -> None:
    """Talk with whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    # [metering] Requests on the wire, so that those which the plugins never report are seen, too.
    client = AsyncClient(http_client=meter.http_client(), max_retries=0)
    session = AgentSession[None](
        stt=deepgram.STT(base_url=DEEPGRAM_URL, http_session=meter.http_session()),  # [metering]
        llm=openai.LLM(model="gpt-4.1-mini", client=client),
        tts=openai.TTS(model="tts-1", client=client, response_format="pcm"),
    )
    meter.watch(session)  # [metering]
    with meter.attribute(purpose="conversation"):  # [metering] optional
        await session.start(Agent(instructions="You are brief."), room=ctx.room)
        await session.generate_reply(instructions="Greet the user.")


if __name__ == "__main__":
    cli.run_app(server)
