"""No AgentSession: each person's audio straight into `stt.stream()`, and notes at the end; metered.

DEEPGRAM_API_KEY=... OPENAI_API_KEY=... python examples/direct_stream.py dev
"""

from __future__ import annotations

import asyncio
import os

from livekit import rtc
from livekit.agents import AgentServer, AutoSubscribe, JobContext, cli, llm, stt
from livekit.plugins import deepgram, openai
from openai import AsyncClient

from metering import JobMeter

DEEPGRAM_URL = os.environ.get("DEEPGRAM_BASE_URL", "https://api.deepgram.com/v1/listen")
_SCRIBE = "scribe"


class Scribe:
    """Writes down what everyone says, and at the end what it came to."""

    def __init__(self, ctx: JobContext, meter: JobMeter) -> None:
        self._meter = meter
        # [metering] A socket that is metered, and requests that are.
        self._stt = deepgram.STT(base_url=DEEPGRAM_URL, http_session=meter.http_session())
        client = AsyncClient(http_client=meter.http_client(), max_retries=0)
        self._llm = openai.LLM(model="gpt-4.1-mini", client=client)
        meter.watch(self._stt, self._llm)  # [metering]
        self._said: list[str] = []
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._writing: list[asyncio.Task[None]] = []
        ctx.room.on("track_subscribed", self._heard)
        ctx.room.on("track_unsubscribed", self._fell_silent)

    def _heard(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        by_person = participant.kind != rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if not by_person or not isinstance(track, rtc.RemoteAudioTrack):
            return
        with self._meter.attribute(  # [metering] optional
            participant=participant.identity, purpose="captions"
        ):
            stream = self._stt.stream()
        self._listening[publication.sid] = asyncio.create_task(self._listen(track, stream))
        self._writing.append(asyncio.create_task(self._write(stream)))

    def _fell_silent(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if listening := self._listening.pop(publication.sid, None):
            listening.cancel()

    async def _listen(self, track: rtc.RemoteAudioTrack, stream: stt.RecognizeStream) -> None:
        audio = rtc.AudioStream(track)
        try:
            async for event in audio:
                stream.push_frame(event.frame)
        finally:
            stream.end_input()
            await audio.aclose()

    async def _write(self, stream: stt.RecognizeStream) -> None:
        async with stream:
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    self._said.append(event.alternatives[0].text)

    async def finish(self) -> str:
        """The notes; once everyone has been heard out."""
        for listening in self._listening.values():
            listening.cancel()
        await asyncio.gather(*self._writing)
        asked = llm.ChatContext.empty()
        asked.add_message(role="user", content=f"Sum up this meeting: {' '.join(self._said)}")
        with self._meter.attribute(purpose="notes"):  # [metering] optional
            answer = await self._llm.chat(chat_ctx=asked).collect()
        return answer.text


server = AgentServer()


async def finish(ctx: JobContext) -> None:
    """The meeting is over. A shutdown callback would be too late: the meter ends in one."""
    scribe: Scribe = ctx.proc.userdata.pop(_SCRIBE)
    await scribe.finish()


@server.rtc_session(agent_name="direct-stream", on_session_end=finish)
async def entrypoint(ctx: JobContext) -> None:
    """Write down a meeting."""
    meter = JobMeter(ctx)  # [metering]
    ctx.proc.userdata[_SCRIBE] = Scribe(ctx, meter)
    await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)


if __name__ == "__main__":
    cli.run_app(server)
