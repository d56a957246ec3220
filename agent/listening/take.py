"""A stretch of one participant's audio, put into words whatever happens on the way.

It goes into one STT stream. Should that fail, for however long, another is opened with a growing
pause, by the same provider or the next, and hears again what has not been put into words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

from livekit.agents import APIConnectOptions, stt

from .backlog import Backlog
from .gate import Captured
from .recognisers import Recogniser, Recognisers
from .timeline import Timeline

logger = logging.getLogger("tallyroom.agent")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
DRAIN_SECONDS = 12.0
"""How long a provider may take for its last words; a stream that is silent for longer has hung."""
_HANGS = 3
"""A provider that swallows audio, and answers no more, is paid for it each time."""

_TAIL_SLACK_SECONDS = 0.25
"""Words may end so much later than a provider says."""

_NOTHING_BEGUN = (stt.SpeechEventType.FINAL_TRANSCRIPT, stt.SpeechEventType.END_OF_SPEECH)

_ONE_ATTEMPT = APIConnectOptions(max_retry=0)
"""The framework's own retries drop the audio that the failed attempt had taken."""

_SURELY_HEARD_SECONDS = 60.0
"""Of silence that is sent all the same: a provider that had words in it would have said so."""

Said = Callable[[stt.SpeechEvent, Timeline], Awaitable[None]]


class Take:
    """One stretch; `run` returns when all of it was heard. `said` gets what the STT answers."""

    def __init__(
        self,
        recognisers: Recognisers,
        backlog: Backlog,
        *,
        now: Callable[[], float],
        said: Said,
        attribute: Callable[[], AbstractContextManager[None]],
        first_pause_seconds: float,
        has_silence: bool = False,
    ) -> None:
        self._recognisers = recognisers
        self._has_silence = has_silence
        self._backlog = backlog
        self._now = now
        self._said = said
        self._attribute = attribute
        self._first_pause_seconds = first_pause_seconds
        self._timeline = Timeline(now)
        self._stream: stt.RecognizeStream | None = None
        self._recogniser: Recogniser | None = None
        self._opened_at = now()
        self._ended = asyncio.Event()
        self._needed = asyncio.Event()
        self._is_paused = False
        self._is_over = False
        self._heard = False
        self._is_begun = False
        self._hangs = 0
        self.gave_up = False
        """Whether a provider was not waited for any longer: what it had not answered is lost."""

    @property
    def has_ended(self) -> bool:
        """Whether no more audio comes, as things stand."""
        return self._ended.is_set()

    @property
    def recogniser(self) -> Recogniser:
        """What hears it, or will."""
        return self._recogniser or self._recognisers.choose()

    @property
    def is_open(self) -> bool:
        """Whether it has a stream."""
        return self._stream is not None

    @property
    def age(self) -> float:
        """How long its stream has been open, in seconds."""
        return self._now() - self._opened_at if self._stream else 0.0

    @property
    def backlog(self) -> Backlog:
        """What has not been put into words."""
        return self._backlog

    def push(self, captured: Captured) -> None:
        """More audio; it is sent at once if a stream is open, and kept in any case."""
        self._backlog.add(captured)
        self._is_paused = False
        self._needed.set()
        if self._stream:
            # A stream that has failed meanwhile takes no more; the next one gets it.
            with contextlib.suppress(RuntimeError):
                self._stream.push_frame(captured.frame)
                self._timeline.push_captured(captured.frame.duration, captured.at)
                if self._has_silence and not self._is_begun:
                    self._backlog.heard(self._timeline.pushed - _SURELY_HEARD_SECONDS)

    def pause(self) -> None:
        """Nobody speaks for now: the provider is to answer without waiting for silence."""
        self._is_paused = True
        if self._stream:
            _flush(self._stream)

    def end(self) -> None:
        """No more audio: hear out what there is."""
        self._ended.set()
        self._needed.set()
        if self._stream:
            _end_input(self._stream)

    def resume(self) -> bool:
        """More audio after all, if no stream has been told that there is none."""
        if self._is_over or (self._ended.is_set() and self._stream):
            return False
        self._ended.clear()
        return True

    async def run(self) -> None:
        """Keep a stream open until the take has ended and all of it was heard."""
        failures = 0
        while True:
            recogniser = self._recogniser = self._recognisers.choose()
            self._heard = False
            had_ended = self._ended.is_set()
            opened_at = self._now()
            try:
                async with recogniser.permit():
                    if await self._hear_out(recogniser):
                        return
            except Exception as error:
                # A plugin raises whatever its provider makes it: none of it may lose a speaker.
                logger.warning("speech recognition failed: %s", type(error).__name__)
            if self._ended.is_set() and not self._backlog.seconds:
                self._is_over = True
                return
            if self._is_paused and self._is_answered:
                await self._until_needed()
                if self._ended.is_set():
                    self._is_over = True
                    return
                continue
            lasted = self._now() - opened_at > LONGEST_PAUSE_SECONDS
            if self._heard or lasted:
                failures = 0
            if not self._heard:
                self._recognisers.failed(recogniser)
            if self._recognisers.choose() is not recogniser:
                continue
            pause = min(LONGEST_PAUSE_SECONDS, self._first_pause_seconds * 2 ** min(failures, 10))
            failures += 1
            await self._rest(pause, had_ended)

    async def _until_needed(self) -> None:
        """A stream that ends while nobody speaks is opened again when somebody does."""
        self._needed.clear()
        await self._needed.wait()

    async def _rest(self, seconds: float, had_ended: bool) -> None:
        """Before the next try; the end of the audio is a reason to try once more at once."""
        if had_ended:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    async def _hear_out(self, recogniser: Recogniser) -> bool:
        """One STT stream, from its opening to its end; whether it ended because the take did."""
        with self._attribute():
            stream = recogniser.engine.stream(conn_options=_ONE_ATTEMPT)
        self._timeline = timeline = Timeline(self._now)
        self._opened_at = self._now()
        try:
            for captured in self._backlog.restart():
                stream.push_frame(captured.frame)
                timeline.push_captured(captured.frame.duration, captured.at)
            self._stream = stream
            if self._is_paused:
                _flush(stream)
            if self._ended.is_set():
                _end_input(stream)
            return await self._follow(stream, recogniser, timeline)
        finally:
            self._stream = None
            await stream.aclose()

    async def _follow(
        self, stream: stt.RecognizeStream, recogniser: Recogniser, timeline: Timeline
    ) -> bool:
        async with _Drain(self._ended) as drain:
            async for event in stream:
                drain.progress()
                await self._take(event, timeline)
                if self._heard:
                    self._recognisers.worked(recogniser)
                    if (
                        event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
                        and self._recognisers.choose() is not recogniser
                    ):
                        return False
        if drain.timed_out:
            self._hangs += 1
            logger.warning("a stream's last words did not come within %g s", DRAIN_SECONDS)
            is_answered = self._is_answered or not (recogniser.ends or self._is_begun)
            self.gave_up = self._hangs >= _HANGS and not is_answered
            self._is_over = self.gave_up or is_answered
        else:
            self._is_over = self._ended.is_set()
        return self._is_over

    @property
    def _is_answered(self) -> bool:
        """Whether what is left is the silence that a gate sends after the last words."""
        if not self._backlog.seconds:
            return True
        tail = self.recogniser.silence.tail_seconds + _TAIL_SLACK_SECONDS
        return self._heard and not self._is_begun and self._backlog.seconds <= tail

    async def _take(self, event: stt.SpeechEvent, timeline: Timeline) -> None:
        said = event.alternatives[0] if event.alternatives else None
        self._is_begun = event.type is stt.SpeechEventType.START_OF_SPEECH or (
            self._is_begun and event.type not in _NOTHING_BEGUN
        )
        if said is not None and said.text.strip():
            self._heard = True
            self._is_begun = event.type is not stt.SpeechEventType.FINAL_TRANSCRIPT
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                self._backlog.heard(said.end_time if has_times(said) else timeline.pushed)
                timeline.forget_before(said.start_time)
        await self._said(event, timeline)


class _Drain:
    """Ends the block when, after the take has ended, nothing comes for `DRAIN_SECONDS`."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended
        self._limit = asyncio.timeout(None)
        self._starter: asyncio.Task[None] | None = None
        self.timed_out = False

    async def __aenter__(self) -> _Drain:
        await self._limit.__aenter__()
        self._starter = asyncio.create_task(self._start())
        return self

    async def __aexit__(self, *exc: Any) -> bool:
        if self._starter:
            self._starter.cancel()
        try:
            await self._limit.__aexit__(*exc)
        except TimeoutError:
            self.timed_out = True
            return True
        return False

    async def _start(self) -> None:
        await self._ended.wait()
        self.progress()

    def progress(self) -> None:
        """Something came."""
        if self._ended.is_set():
            self._limit.reschedule(asyncio.get_running_loop().time() + DRAIN_SECONDS)


def has_times(said: stt.SpeechData) -> bool:
    """Some providers do not say when something was said, and leave both times at 0."""
    return said.end_time > said.start_time


def _flush(stream: stt.RecognizeStream) -> None:
    """Ask for what has been heard; a stream that has failed meanwhile knows nothing."""
    with contextlib.suppress(RuntimeError):
        stream.flush()


def _end_input(stream: stt.RecognizeStream) -> None:
    """End a stream's input; one that has failed meanwhile has none."""
    with contextlib.suppress(RuntimeError):
        stream.end_input()
