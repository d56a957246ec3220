"""The framework's multi-user transcriber, metered: an AgentSession for each person, one STT.

    python examples/multi_user_transcriber.py dev

The STT is LiveKit Inference's, so there are no keys but LiveKit's.
"""

from __future__ import annotations

import asyncio

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    AutoSubscribe,
    JobContext,
    StopResponse,
    cli,
    inference,
    llm,
    room_io,
)

from metering import JobMeter


class Listener(Agent):
    """Listens to one person, and never answers."""

    def __init__(self, engine: inference.STT) -> None:
        super().__init__(instructions="not needed", stt=engine)

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Whatever is done with a transcript."""
        raise StopResponse


class Transcriber:
    """Keeps a session for everyone in the room."""

    def __init__(self, ctx: JobContext, meter: JobMeter) -> None:
        self._ctx = ctx
        self._meter = meter
        # [metering] Without the session, connections are exact and the audio is the plugin's word.
        self._stt = inference.STT("deepgram/nova-3", http_session=meter.http_session())
        self._sessions: dict[str, asyncio.Task[AgentSession[None]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def joined(self, participant: rtc.RemoteParticipant) -> None:
        """Somebody is there."""
        if participant.identity not in self._sessions:
            started = asyncio.create_task(self._start(participant.identity))
            self._sessions[participant.identity] = started

    def left(self, participant: rtc.RemoteParticipant) -> None:
        """Somebody has gone."""
        if started := self._sessions.pop(participant.identity, None):
            closing = asyncio.create_task(self._close(started))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End every session."""
        await asyncio.gather(*self._closing, *map(self._close, self._sessions.values()))

    async def _start(self, identity: str) -> AgentSession[None]:
        session = AgentSession[None]()
        self._meter.watch(session)  # [metering]
        options = room_io.RoomOptions(
            participant_identity=identity, text_input=False, audio_output=False
        )
        with self._meter.attribute(participant=identity, purpose="captions"):  # [metering] optional
            await session.start(Listener(self._stt), room=self._ctx.room, room_options=options)
        return session

    async def _close(self, started: asyncio.Task[AgentSession[None]]) -> None:
        session = await started
        await session.drain()
        await session.aclose()


server = AgentServer()


@server.rtc_session(agent_name="multi-user-transcriber")
async def entrypoint(ctx: JobContext) -> None:
    """Transcribe a room."""
    meter = JobMeter(ctx)  # [metering]
    transcriber = Transcriber(ctx, meter)
    ctx.room.on("participant_connected", transcriber.joined)
    ctx.room.on("participant_disconnected", transcriber.left)
    ctx.add_shutdown_callback(transcriber.close)
    await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    for participant in ctx.room.remote_participants.values():
        transcriber.joined(participant)


if __name__ == "__main__":
    cli.run_app(server)
