"""LiveKit's own multi-user transcriber, to be compared with: not Tallyroom's work.

From livekit/agents, examples/other/transcription/multi-user-transcriber.py, commit da6af86a, the
example as it is since June 2026 and with livekit-agents 1.8.9. Copyright LiveKit, Inc., licensed
under the Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0.

Changed for the comparison: Deepgram's plugin in place of LiveKit Inference, as in the example
before January 2026, with its address from DEEPGRAM_BASE_URL; an agent name, so that it is
dispatched as Tallyroom is; one warm process and no limit of load, as Tallyroom is given; types, and
no dotenv. Each participant's AgentSession, and with it the default Silero VAD and turn detection,
is the example's.

    python -m benchmarks.official_transcriber start
"""

from __future__ import annotations

import asyncio
import logging
import math
import os

from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    AutoSubscribe,
    JobContext,
    StopResponse,
    cli,
    llm,
    room_io,
    utils,
)
from livekit.plugins import deepgram

logger = logging.getLogger("transcriber")


class Transcriber(Agent):
    """One participant's."""

    def __init__(self, *, participant_identity: str) -> None:
        super().__init__(
            instructions="not-needed",
            stt=deepgram.STT(base_url=os.environ["DEEPGRAM_BASE_URL"]),
        )
        self.participant_identity = participant_identity

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Log what was said; nobody answers."""
        user_transcript = new_message.text_content
        logger.info(f"{self.participant_identity} -> {user_transcript}")

        raise StopResponse()


class MultiUserTranscriber:
    """An AgentSession for each participant."""

    def __init__(self, ctx: JobContext) -> None:
        self.ctx = ctx
        self._sessions: dict[str, AgentSession[None]] = {}
        self._tasks: set[asyncio.Task[AgentSession[None]] | asyncio.Task[None]] = set()

    def start(self) -> None:
        """Watch who comes and goes."""
        self.ctx.room.on("participant_connected", self.on_participant_connected)
        self.ctx.room.on("participant_disconnected", self.on_participant_disconnected)

    async def aclose(self) -> None:
        """Close every session."""
        await utils.aio.cancel_and_wait(*self._tasks)

        await asyncio.gather(*[self._close_session(session) for session in self._sessions.values()])

        self.ctx.room.off("participant_connected", self.on_participant_connected)
        self.ctx.room.off("participant_disconnected", self.on_participant_disconnected)

    def on_participant_connected(self, participant: rtc.RemoteParticipant) -> None:
        """Give them a session."""
        if participant.identity in self._sessions:
            return

        logger.info(f"starting session for {participant.identity}")
        task = asyncio.create_task(self._start_session(participant))
        self._tasks.add(task)

        def on_task_done(task: asyncio.Task[AgentSession[None]]) -> None:
            try:
                self._sessions[participant.identity] = task.result()
            finally:
                self._tasks.discard(task)

        task.add_done_callback(on_task_done)

    def on_participant_disconnected(self, participant: rtc.RemoteParticipant) -> None:
        """Close theirs."""
        if (session := self._sessions.pop(participant.identity, None)) is None:
            return

        logger.info(f"closing session for {participant.identity}")
        task = asyncio.create_task(self._close_session(session))
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._tasks.discard(task))

    async def _start_session(self, participant: rtc.RemoteParticipant) -> AgentSession[None]:
        if participant.identity in self._sessions:
            return self._sessions[participant.identity]

        session: AgentSession[None] = AgentSession()
        await session.start(
            agent=Transcriber(
                participant_identity=participant.identity,
            ),
            room=self.ctx.room,
            room_options=room_io.RoomOptions(
                audio_input=True,
                text_output=True,
                audio_output=False,
                participant_identity=participant.identity,
                # text input is not supported for multiple room participants
                # if needed, register the text stream handler by yourself
                # and route the text to different sessions based on the participant identity
                text_input=False,
            ),
        )
        return session

    async def _close_session(self, sess: AgentSession[None]) -> None:
        await sess.drain()
        await sess.aclose()


server = AgentServer(
    num_idle_processes=1,
    load_threshold=math.inf,
    initialize_process_timeout=60.0,
    port=0,
)


@server.rtc_session(agent_name="transcriber")
async def entrypoint(ctx: JobContext) -> None:
    """A job."""
    transcriber = MultiUserTranscriber(ctx)
    transcriber.start()

    await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    for participant in ctx.room.remote_participants.values():
        # handle all existing participants
        transcriber.on_participant_connected(participant)

    async def cleanup() -> None:
        await transcriber.aclose()

    ctx.add_shutdown_callback(cleanup)


if __name__ == "__main__":
    cli.run_app(server)
