"""Answers said aloud, as an audio track of the transcriber's: sentence by sentence, until somebody
speaks.

The next sentence is made while one is heard, and no other: whoever interrupts ends what it costs,
too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, tts

from ..request_providers import RequestMetering
from ..tts_models import OpenedVoice
from .echo import Echo

logger = logging.getLogger("tallyroom.agent")

PURPOSE = "voice"
TRACK_NAME = "answers"
MOST_CHARACTERS = 600
"""Of an answer, aloud: about 40 seconds. All of it is in the chat."""
REST_IN_CHAT = "The rest is in the chat."
_QUEUE_MS = 200
"""What may still be heard of a sentence that is not interrupted cleanly; it is cleared, too."""
_REQUEST_SECONDS = 15.0
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])")


@dataclass(frozen=True, slots=True)
class Spoken:
    """How much was heard, in seconds; whether somebody spoke over it, or it failed."""

    seconds: float = 0.0
    was_interrupted: bool = False
    failed: bool = False


def sentences(text: str, most: int = MOST_CHARACTERS) -> list[str]:
    """What is said aloud of a text; where that is not all of it, it says so."""
    whole = [one for part in _SENTENCE_END.split(text) if (one := part.strip())]
    kept: list[str] = []
    length = 0
    for sentence in whole:
        length += len(sentence)
        if length > most:
            return [*kept, REST_IN_CHAT]
        kept.append(sentence)
    return kept


class Voice:
    """Speaks in a room; one text at a time."""

    def __init__(self, room: rtc.Room, opened: OpenedVoice, meter: RequestMetering) -> None:
        self._room = room
        self._tts = opened.tts
        self._close = opened.aclose
        self._meter = meter
        self._echo = Echo()
        self._source: rtc.AudioSource | None = None
        self._interrupted = asyncio.Event()
        self._is_speaking = False
        self._pushed = 0.0

    async def open(self) -> None:
        """Publish the track, so that nobody misses the first word; without it all is in the chat.

        Raises:
            ConnectionError: it cannot be published.
        """
        source = rtc.AudioSource(self._tts.sample_rate, 1, queue_size_ms=_QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track(TRACK_NAME, source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=True)
        await self._room.local_participant.publish_track(track, options)
        self._source = source

    @property
    def is_speaking(self) -> bool:
        """Whether something is being said."""
        return self._is_speaking

    def interrupt(self) -> None:
        """Somebody speaks: be quiet at once. Nothing where nothing is being said."""
        if self._is_speaking:
            self._interrupted.set()

    def is_echo(self, text: str, start: float, end: float) -> bool:
        """Whether somebody's words are ours; times are on the meeting's clock."""
        return self._echo.is_echo(text, start, end)

    async def say(self, text: str, *, participant: str, now: Callable[[], float]) -> Spoken:
        """Say a text, for somebody who asked; returns when it was heard, or interrupted.

        `now` is the meeting's clock, in seconds.
        """
        source = self._source
        if source is None:
            return Spoken()
        self._interrupted.clear()
        self._pushed = 0.0
        self._is_speaking = True
        parts = sentences(text)
        self._echo.began(" ".join(parts), now())
        saying = asyncio.create_task(self._play(source, parts, participant), name="tallyroom-say")
        stopping = asyncio.create_task(self._interrupted.wait(), name="tallyroom-interruption")
        try:
            await asyncio.wait({saying, stopping}, return_when=asyncio.FIRST_COMPLETED)
            was_interrupted = not saying.done()
            if was_interrupted:
                return Spoken(self._fall_silent(source), was_interrupted=True)
            return Spoken(self._pushed, failed=not await saying)
        finally:
            if not saying.done():
                self._fall_silent(source)
            self._is_speaking = False
            self._echo.ended(now())
            for task in (saying, stopping):
                task.cancel()
            await asyncio.gather(saying, stopping, return_exceptions=True)

    def _fall_silent(self, source: rtc.AudioSource) -> float:
        """Returns how much was heard, in seconds."""
        heard = max(0.0, self._pushed - source.queued_duration)
        source.clear_queue()
        return heard

    async def _play(self, source: rtc.AudioSource, parts: Sequence[str], participant: str) -> bool:
        """Say it; whether all of it could be said."""
        streams = [self._synthesize(parts[0], participant)] if parts else []
        try:
            for following in [*parts[1:], None]:
                if following is not None:
                    streams.append(self._synthesize(following, participant))
                if not streams:
                    break
                async for event in streams[0]:
                    await source.capture_frame(event.frame)
                    self._pushed += event.frame.duration
                await streams.pop(0).aclose()
            await source.wait_for_playout()
            return True
        except APIError as error:
            logger.warning("an answer was not said aloud: %s", type(error).__name__)
            return False
        finally:
            for stream in streams:
                with contextlib.suppress(Exception):
                    await stream.aclose()

    def _synthesize(self, text: str, participant: str) -> tts.ChunkedStream:
        with self._meter.attribute(participant=participant, purpose=PURPOSE):
            return self._tts.synthesize(
                text, conn_options=APIConnectOptions(max_retry=0, timeout=_REQUEST_SECONDS)
            )

    async def aclose(self) -> None:
        """Close the track's source and the TTS's connections."""
        closing: list[Awaitable[Any]] = [self._close()]
        if self._source:
            closing.append(self._source.aclose())
        await asyncio.gather(*closing, return_exceptions=True)
