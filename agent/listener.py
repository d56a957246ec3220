"""One participant's audio to segments, for as long as they are there.

Each audio track goes straight into an STT stream of its own. Whatever happens to that stream, the
participant is not lost: it is opened again, with a growing pause, and what has not been put into
words yet is heard then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, stt

from .backlog import Backlog
from .segments import Segment, spoken_language
from .timeline import Timeline
from .voices import Voices

logger = logging.getLogger("tallyroom.agent")

SAMPLE_RATE = 16_000
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
KEPT_SECONDS = 60.0
"""How much audio is kept until it has been put into words; the oldest goes first."""
DRAIN_SECONDS = 12.0
"""How long the last words may take after a participant has left."""

_ONE_ATTEMPT = APIConnectOptions(max_retry=0)
"""The framework's own retries drop the audio that the failed attempt had taken."""


@dataclass(frozen=True, slots=True)
class Interim:
    """What is being said and may still change; replaced by a segment with the same id."""

    segment_id: str
    speaker: str
    track_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whose track it is. `name` is asked for at each segment, because people change theirs.

    `voices` counts the voices on it, where they are told apart: one count for all of their tracks.
    """

    identity: str
    name: Callable[[], str]
    track_id: str
    voices: Voices = field(default_factory=Voices)


class Listener:
    """Turns one audio track into segments.

    `now` is the meeting's clock in seconds. `attribute` opens the context in which the STT stream
    is made, so that its usage has the speaker's name on it.
    """

    def __init__(
        self,
        speaker: Speaker,
        engine: stt.STT[Any],
        *,
        now: Callable[[], float],
        on_segment: Callable[[Segment], Awaitable[None]],
        on_interim: Callable[[Interim], Awaitable[None]],
        attribute: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._speaker = speaker
        self._engine = engine
        self._now = now
        self._on_segment = on_segment
        self._on_interim = on_interim
        self._attribute = attribute
        self._first_pause_seconds = first_pause_seconds
        self._backlog = Backlog(KEPT_SECONDS)
        self._stream: stt.RecognizeStream | None = None
        self._timeline = Timeline(now)
        self._voice = speaker.voices.of_connection()
        self._ended = asyncio.Event()
        self._segment_id = _new_segment_id()
        self._speaking_since: float | None = None
        self._has_heard = False

    async def listen(self, track: rtc.Track) -> None:
        """Hear a track until it ends or `end` is called; returns when its last words are out."""
        audio = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        reading = asyncio.create_task(self._read(audio), name="tallyroom-read-audio")
        try:
            await self.recognise()
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            await audio.aclose()

    def end(self) -> None:
        """The track is gone: hear out what has been said, then stop."""
        self._ended.set()
        if self._stream:
            _end_input(self._stream)

    async def _read(self, audio: rtc.AudioStream) -> None:
        try:
            async for event in audio:
                self.push(event.frame)
        finally:
            self.end()

    def push(self, frame: rtc.AudioFrame) -> None:
        """Take captured audio; it goes to the STT at once if there is one, and is kept if not."""
        if self._ended.is_set():
            return
        self._backlog.add(frame, self._now())
        if self._stream:
            # A stream that has failed meanwhile takes no more; the next one gets it.
            with contextlib.suppress(RuntimeError):
                self._stream.push_frame(frame)
                self._timeline.push(frame.duration)

    async def recognise(self) -> None:
        """Keep an STT stream open until the track has ended and all of it was heard."""
        try:
            async with _deadline_after(self._ended, DRAIN_SECONDS):
                await self._recognise()
        except TimeoutError:
            logger.warning("a track's last words did not come within %g s", DRAIN_SECONDS)

    async def _recognise(self) -> None:
        failures = 0
        while True:
            is_last_try = self._ended.is_set()
            self._has_heard = False
            opened_at = self._now()
            try:
                if await self._hear_out():
                    return
            except Exception as error:
                # A plugin raises whatever its provider makes it: none of it may lose a speaker.
                logger.warning("speech recognition failed: %s", type(error).__name__)
            if is_last_try or (self._ended.is_set() and not self._backlog.seconds):
                return
            if self._has_heard or self._now() - opened_at > LONGEST_PAUSE_SECONDS:
                failures = 0
            pause = min(LONGEST_PAUSE_SECONDS, self._first_pause_seconds * 2 ** min(failures, 10))
            failures += 1
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)

    async def _hear_out(self) -> bool:
        """One STT stream, from its opening to its end; whether it ended because the track did."""
        with self._attribute():
            stream = self._engine.stream(conn_options=_ONE_ATTEMPT)
        self._timeline = timeline = Timeline(self._now)
        self._voice = self._speaker.voices.of_connection()
        try:
            for captured in self._backlog.restart():
                stream.push_frame(captured.frame)
                timeline.push_captured(captured.frame.duration, captured.at)
            self._stream = stream
            if self._ended.is_set():
                _end_input(stream)
            async for event in stream:
                await self._take(event, timeline)
            return self._ended.is_set()
        finally:
            self._stream = None
            await stream.aclose()

    async def _take(self, event: stt.SpeechEvent, timeline: Timeline) -> None:
        if event.type is stt.SpeechEventType.START_OF_SPEECH:
            self._speaking_since = self._speaking_since or self._now()
        said = event.alternatives[0] if event.alternatives else None
        if said is None or not said.text.strip():
            return
        if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
            self._has_heard = True
            self._speaking_since = self._speaking_since or self._now()
            await self._on_interim(
                Interim(self._segment_id, self._speaker.identity, self._speaker.track_id, said.text)
            )
        elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            self._has_heard = True
            segment = self._segment(said, timeline)
            self._backlog.heard(said.end_time if _has_times(said) else timeline.pushed)
            self._segment_id = _new_segment_id()
            self._speaking_since = None
            await self._on_segment(segment)

    def _segment(self, said: stt.SpeechData, timeline: Timeline) -> Segment:
        now = self._now()
        if _has_times(said):
            start, end = timeline.at(said.start_time), timeline.end_at(said.end_time)
        else:
            start, end = now if self._speaking_since is None else self._speaking_since, now
        return Segment(
            segment_id=self._segment_id,
            speaker=self._speaker.identity,
            name=self._speaker.name(),
            text=said.text.strip(),
            start=round(min(start, end), 3),
            end=round(max(start, end), 3),
            language=spoken_language(said.language),
            confidence=round(said.confidence, 3) if said.confidence else None,
            track_id=self._speaker.track_id,
            voice=self._voice(said.speaker_id),
        )


def _has_times(said: stt.SpeechData) -> bool:
    """Some providers do not say when something was said, and leave both times at 0."""
    return said.end_time > said.start_time


def _end_input(stream: stt.RecognizeStream) -> None:
    """End a stream's input; one that has failed meanwhile has none."""
    with contextlib.suppress(RuntimeError):
        stream.end_input()


@contextlib.asynccontextmanager
async def _deadline_after(event: asyncio.Event, seconds: float) -> AsyncIterator[None]:
    """Bound the block from the moment that the event is set."""
    async with asyncio.timeout(None) as limit:

        async def start() -> None:
            await event.wait()
            limit.reschedule(asyncio.get_running_loop().time() + seconds)

        starter = asyncio.create_task(start())
        try:
            yield
        finally:
            starter.cancel()


def _new_segment_id() -> str:
    return f"SG_{uuid.uuid4().hex[:12]}"
