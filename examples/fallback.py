"""A FallbackAdapter, metered: each provider for itself, with the streams that try if it is back.

DEEPGRAM_API_KEY=... OPENAI_API_KEY=... python examples/fallback.py dev
"""

from __future__ import annotations

import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, StopResponse, cli, llm, stt
from livekit.plugins import deepgram, openai

from metering import JobMeter

DEEPGRAM_URL = os.environ.get("DEEPGRAM_BASE_URL", "https://api.deepgram.com/v1/listen")

server = AgentServer()


class Listener(Agent):
    """Listens, and never answers."""

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Whatever is done with a transcript."""
        raise StopResponse


@server.rtc_session(agent_name="fallback")
async def entrypoint(ctx: JobContext) -> None:
    """Listen to whoever is there."""
    meter = JobMeter(ctx)  # [metering]
    engine = stt.FallbackAdapter(
        [
            deepgram.STT(base_url=DEEPGRAM_URL, http_session=meter.http_session()),  # [metering]
            openai.STT(model="gpt-4o-mini-transcribe", use_realtime=True),
        ],
        max_retry_per_stt=0,
    )
    session = AgentSession[None](stt=engine)
    meter.watch(session)  # [metering]
    await session.start(Listener(instructions="not needed"), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
