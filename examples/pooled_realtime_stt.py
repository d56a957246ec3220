"""OpenAI's realtime STT, metered; its plugin takes no client session, and pools its sockets.

    OPENAI_API_KEY=... python examples/pooled_realtime_stt.py dev

It uses the job's own client session, which is traced as soon as there is a meter.
"""

from __future__ import annotations

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, StopResponse, cli, llm
from livekit.plugins import openai

from metering import JobMeter

server = AgentServer()


class Listener(Agent):
    """Listens, and never answers."""

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Whatever is done with a transcript."""
        raise StopResponse


@server.rtc_session(agent_name="pooled-realtime-stt")
async def entrypoint(ctx: JobContext) -> None:
    """Listen to whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    engine = openai.STT(model="gpt-4o-mini-transcribe", use_realtime=True)
    session = AgentSession[None](stt=engine)
    meter.watch(session)  # [metering]
    await session.start(Listener(instructions="not needed"), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
