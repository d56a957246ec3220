"""A half-cascade, metered: a realtime model hears and answers in text, a TTS speaks.

OPENAI_API_KEY=... python examples/half_cascade.py dev
"""

from __future__ import annotations

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import openai
from openai import AsyncClient

from metering import JobMeter

server = AgentServer()


@server.rtc_session(agent_name="half-cascade")
async def entrypoint(ctx: JobContext) -> None:
    """Talk with whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    client = AsyncClient(http_client=meter.http_client(), max_retries=0)  # [metering]
    session = AgentSession[None](
        llm=openai.realtime.RealtimeModel(model="gpt-realtime", modalities=["text"]),
        tts=openai.TTS(model="tts-1", client=client, response_format="pcm"),
    )
    meter.watch(session)  # [metering]
    await session.start(Agent(instructions="You are brief."), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
