"""A stretch of one participant's audio, put into words whatever happens on the way.

It goes into one STT stream. Should that fail, for however long, another is opened with a growing
pause, by the same provider or the next, and hears again what has not been put into words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from livekit.agents import APIConnectOptions, stt

from .backlog import Backlog
from .drain import Drain
from .feed import Feed
from .gate import Captured
from .recognisers import Recogniser, Recognisers
from .timeline import Timeline

logger = logging.getLogger("tallyroom.agent")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
_HANGS = 3
"""A provider that swallows audio, and answers no more, is paid for it each time."""

_TAIL_SLACK_SECONDS = 0.25
"""Words may end so much later than a provider says."""

_NOTHING_BEGUN = (stt.SpeechEventType.FINAL_TRANSCRIPT, stt.SpeechEventType.END_OF_SPEECH)

_ONE_ATTEMPT = APIConnectOptions(max_retry=0)
"""The framework's own retries drop the audio that the failed attempt had taken."""

_SURELY_HEARD_SECONDS = 60.0
"""Of silence that is sent all the same: a provider that had words in it would have said so."""

_EARLY_SECONDS = 2.0
"""A short word may be answered so long before the server says that its speaker is active."""

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
        self._feed: Feed | None = None
        self._recogniser: Recogniser | None = None
        self._due_since: float | None = None
        self._answered_at = 0.0
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
        return self._feed is not None

    @property
    def age(self) -> float:
        """How long its stream has been open, in seconds."""
        return self._feed.age if self._feed else 0.0

    @property
    def answer_due_in(self) -> float | None:
        """Seconds until a provider has hung that answers nothing; None where nothing is due.

        Nothing is after the end, which is waited for in any case.
        """
        if self._due_since is None or self._ended.is_set():
            return None
        if self._feed is None or self._feed.is_behind:
            return None
        due = self._due_since + self.recogniser.traits.patience - self._now()
        return due if math.isfinite(due) else None

    @property
    def backlog(self) -> Backlog:
        """What has not been put into words."""
        return self._backlog

    def push(self, captured: Captured) -> None:
        """More audio; it is sent at once if a stream is open, and kept in any case."""
        self._backlog.add(captured)
        self._is_paused = False
        self._needed.set()
        if self._feed:
            # A stream that has failed meanwhile takes no more; the next one gets it.
            self._feed.push(captured)
            if self._has_silence and not self._is_begun:
                self._backlog.heard(self._feed.timeline.pushed - _SURELY_HEARD_SECONDS)

    def pause(self) -> None:
        """Nobody speaks for now: the provider is to answer without waiting for silence."""
        self._is_paused = True
        if self._feed:
            self._feed.pause()
            if not self._is_answered:
                self._expect()

    def expect(self, spoken_since: float) -> None:
        """Somebody spoke since then, and has paused: an answer is due if none came meanwhile."""
        if self._feed and self._answered_at < spoken_since - _EARLY_SECONDS:
            self._expect()

    def _expect(self) -> None:
        if self._due_since is None:
            self._due_since = self._now()

    def end(self) -> None:
        """No more audio: hear out what there is."""
        self._ended.set()
        self._needed.set()
        if self._feed:
            self._feed.end()

    def resume(self) -> bool:
        """More audio after all, if no stream has been told that there is none."""
        if self._is_over or (self._feed and not self._feed.resume()):
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
        self._due_since = None
        try:
            kept, lead = self._backlog.restart(), recogniser.traits.lead
            feed = self._feed = Feed(stream, kept, now=self._now, lead=lead)
            if self._ended.is_set():
                feed.end()
            elif self._is_paused:
                self.pause()
            return await self._follow(stream, recogniser, feed)
        finally:
            if self._feed:
                self._feed.close()
                self._feed = None
            await stream.aclose()

    async def _follow(
        self, stream: stt.RecognizeStream, recogniser: Recogniser, feed: Feed
    ) -> bool:
        patience = recogniser.traits.patience
        async with Drain(feed.ended, patience) as drain:
            async for event in stream:
                drain.progress()
                await self._take(event, feed.timeline)
                if self._heard:
                    self._recognisers.worked(recogniser)
                    if (
                        event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
                        and self._recognisers.choose() is not recogniser
                    ):
                        return False
        if drain.timed_out:
            self._hangs += 1
            logger.warning("a stream's last words did not come within %g s", patience)
            is_answered = self._is_answered or not (recogniser.traits.ends or self._is_begun)
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
        is_final = event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        if said is not None and said.text.strip():
            self._heard = True
            self._is_begun = not is_final
            if is_final:
                self._backlog.heard(said.end_time if has_times(said) else timeline.pushed)
                timeline.forget_before(said.start_time)
        elif said is not None and is_final and has_times(said):
            # There were no words in it, says who has heard it.
            self._backlog.heard(said.end_time)
        self._answered_at = self._now()
        if self._due_since is not None:
            self._due_since = self._answered_at if self._is_begun else None
        await self._said(event, timeline)


def has_times(said: stt.SpeechData) -> bool:
    """Some providers do not say when something was said, and leave both times at 0."""
    return said.end_time > said.start_time
