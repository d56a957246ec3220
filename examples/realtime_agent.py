"""A realtime speech-to-speech model, metered by what its session reports of each response.

OPENAI_API_KEY=... python examples/realtime_agent.py dev
"""

from __future__ import annotations

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import openai

from metering import JobMeter

server = AgentServer()


@server.rtc_session(agent_name="realtime-agent")
async def entrypoint(ctx: JobContext) -> None:
    """Talk with whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    session = AgentSession[None](llm=openai.realtime.RealtimeModel(model="gpt-realtime"))
    meter.watch(session)  # [metering]
    await session.start(Agent(instructions="You are brief."), room=ctx.room)
    await session.generate_reply(instructions="Greet the user.")


if __name__ == "__main__":
    cli.run_app(server)
