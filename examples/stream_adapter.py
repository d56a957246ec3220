"""An STT that cannot stream, behind a StreamAdapter with a VAD, metered request by request.

OPENAI_API_KEY=... python examples/stream_adapter.py dev
"""

from __future__ import annotations

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    StopResponse,
    cli,
    llm,
    stt,
)
from livekit.plugins import openai, silero

from metering import JobMeter


def prewarm(process: JobProcess) -> None:
    """Load the VAD before there is a job."""
    process.userdata["vad"] = silero.VAD.load()


server = AgentServer(setup_fnc=prewarm)


class Listener(Agent):
    """Listens, and never answers."""

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Whatever is done with a transcript."""
        raise StopResponse


@server.rtc_session(agent_name="stream-adapter")
async def entrypoint(ctx: JobContext) -> None:
    """Listen to whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    engine = stt.StreamAdapter(stt=openai.STT(model="whisper-1"), vad=ctx.proc.userdata["vad"])
    session = AgentSession[None](stt=engine)
    meter.watch(session)  # [metering]
    await session.start(Listener(instructions="not needed"), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
