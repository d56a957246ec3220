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
from enum import Enum, auto

from livekit.agents import APIConnectOptions, stt

from .answers import Answers, has_times
from .backlog import Backlog, portion
from .drain import Drain
from .feed import Feed
from .gate import Captured
from .recognisers import Recogniser, Recognisers, StreamTraits
from .timeline import Timeline

logger = logging.getLogger("tallyroom.agent")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
_HANGS = 3
"""A provider that swallows audio, and answers no more, is paid for it each time."""

_PART_TRIES = 2
_AS_FAST = 10.0
"""A backlog is heard so many times as fast as it was said, at the least."""

_TAIL_SLACK_SECONDS = 0.35
"""Words may end so much later than a provider says; and audio comes in frames."""

_ONE_ATTEMPT = APIConnectOptions(max_retry=0)
"""The framework's own retries drop the audio that the failed attempt had taken."""

_SURELY_HEARD_SECONDS = 60.0
"""Of silence that is sent all the same: a provider that had words in it would have said so."""

_EARLY_SECONDS = 2.0
"""A short word may be answered so long before the server says that its speaker is active."""

_FLUSH = StreamTraits().ask
_NO_WORDS = stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT)

Said = Callable[[stt.SpeechEvent, Timeline], Awaitable[None]]


class _End(Enum):
    """What a stream's end means."""

    OVER = auto()
    """All of the take was heard."""
    PART = auto()
    """All that this stream was to hear; the next one gets the rest."""
    AGAIN = auto()
    """What is left is to be heard again."""


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
        self._answers = Answers()
        self._due_since: float | None = None
        self._ended = asyncio.Event()
        self._needed = asyncio.Event()
        self._is_paused = False
        self._is_over = False
        self._is_behind = False
        self._hangs = 0
        self._wordless_parts = 0
        self.gave_up = False
        """Whether a provider was not waited for any longer: what it had not answered is lost."""

    @property
    def recogniser(self) -> Recogniser:
        """What hears it, or will."""
        return self._recogniser or self._recognisers.choose()

    @property
    def finals(self) -> int:
        """How many with words in them have come."""
        return self._answers.finals

    @property
    def is_open(self) -> bool:
        """Whether it has a stream."""
        return self._feed is not None

    @property
    def age(self) -> float:
        """How long its stream has been open, in seconds."""
        return self._feed.age if self._feed else 0.0

    def answer_due_in(self, doubt: float) -> float | None:
        """Seconds until a provider has hung that answers nothing; None where nothing is due.

        `doubt` is how many times the usual patience is had. After the end nothing is due: that is
        waited for in any case.
        """
        patience = self.recogniser.traits.patience * doubt
        if self._due_since is None or self._ended.is_set():
            return None
        if self._feed is None or self._is_behind:
            return patience
        return self._due_since + patience - self._now()

    @property
    def backlog(self) -> Backlog:
        """What has not been put into words."""
        return self._backlog

    def push(self, captured: Captured) -> None:
        """More audio; it is sent at once if a stream is open, and kept in any case."""
        self._backlog.add(captured)
        self._is_paused = False
        self._needed.set()
        if self._feed and not self._is_behind:
            # A stream that has failed meanwhile takes no more; the next one gets it.
            self._feed.push(captured)
            if self._has_silence:
                self._forget_silence(self._feed)

    def _forget_silence(self, feed: Feed) -> None:
        """What was sent a while ago, and nothing came of."""
        before = self._now() - _SURELY_HEARD_SECONDS
        waits = self._answers.is_begun and self._answers.last_at >= before
        if self._due_since is None and not waits:
            self._backlog.heard(feed.sent_before(before))

    def pause(self) -> None:
        """Nobody speaks for now: the provider is to answer without waiting for silence."""
        self._is_paused = True
        if self._feed and not self._is_behind:
            is_kept = self._has_silence or not self.recogniser.silence.closes
            self._feed.pause(self.recogniser.traits.ask if is_kept else _FLUSH)
        if not self._has_silence and not self._is_answered:
            self._expect()

    def expect(self, spoken_since: float) -> None:
        """Somebody spoke since then, and has paused: an answer is due if none came meanwhile."""
        if self._answers.last_at < spoken_since - _EARLY_SECONDS:
            self._expect()

    def _expect(self) -> None:
        if self._due_since is None and math.isfinite(self.recogniser.traits.patience):
            self._due_since = self._now()

    def end(self) -> None:
        """No more audio: hear out what there is."""
        self._ended.set()
        self._needed.set()
        if self._feed:
            self._feed.end()

    def resume(self) -> bool:
        """More audio after all, if no stream has been told that there is none."""
        if self._is_over:
            return False
        if self._feed and self._feed.ended.is_set() and not self._is_behind:
            return False
        self._ended.clear()
        return True

    async def run(self) -> None:
        """Keep a stream open until the take has ended and all of it was heard."""
        failures = 0
        while True:
            recogniser = self._recogniser = self._recognisers.choose()
            self._answers.begin_stream()
            had_ended = self._ended.is_set()
            opened_at = self._now()
            try:
                async with recogniser.permit():
                    end = await self._hear_out(recogniser)
                if end is _End.OVER:
                    return
                if end is _End.PART:
                    continue
            except Exception as error:
                # A plugin raises whatever its provider makes it: none of it may lose a speaker.
                logger.warning("speech recognition failed: %s", type(error).__name__)
            if self._is_answered and (self._is_paused or self._ended.is_set()):
                await self._until_needed()
                if self._ended.is_set():
                    self._is_over = True
                    return
                continue
            lasted = self._now() - opened_at > LONGEST_PAUSE_SECONDS
            has_words = self._answers.has_words
            if has_words or lasted:
                failures = 0
            if not has_words:
                self._recognisers.failed(recogniser)
            following = self._recognisers.choose()
            if following is not recogniser and not self._recognisers.rests(following):
                continue
            pause = min(LONGEST_PAUSE_SECONDS, self._first_pause_seconds * 2 ** min(failures, 10))
            failures += 1
            await self._rest(pause, had_ended)

    async def _until_needed(self) -> None:
        """A stream that ends while nobody speaks is opened again when somebody does."""
        if not self._ended.is_set():
            self._needed.clear()
            await self._needed.wait()

    async def _rest(self, seconds: float, had_ended: bool) -> None:
        """Before the next try; the end of the audio is a reason to try once more at once."""
        if had_ended:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    async def _hear_out(self, recogniser: Recogniser) -> _End:
        """One STT stream, from its opening to its end."""
        with self._attribute():
            stream = recogniser.engine.stream(conn_options=_ONE_ATTEMPT)
        is_due = self._due_since is not None
        try:
            kept = self._backlog.restart()
            part = portion(kept, recogniser.traits.lead)
            self._is_behind = len(part) < len(kept)
            feed = self._feed = Feed(stream, part, now=self._now)
            self._due_since = self._now() if is_due else None
            if self._ended.is_set() or self._is_behind:
                feed.end()
            elif self._is_paused:
                self.pause()
            return await self._follow(stream, recogniser, feed)
        finally:
            self._feed = None
            self._is_behind = False
            await stream.aclose()

    async def _follow(
        self, stream: stt.RecognizeStream, recogniser: Recogniser, feed: Feed
    ) -> _End:
        traits = recogniser.traits
        finals = self.finals
        patience = traits.patience + feed.timeline.pushed / _AS_FAST
        async with Drain(feed.ended, patience) as drain:
            async for event in stream:
                if event.type is stt.SpeechEventType.RECOGNITION_USAGE and traits.ends:
                    # The plugin's own account of what it has sent.
                    continue
                drain.progress()
                await self._take(event, feed, traits)
                if self._answers.has_words:
                    self._recognisers.worked(recogniser)
                    if self._is_settled(event, feed) and (
                        self._recognisers.choose() is not recogniser
                    ):
                        return _End.AGAIN
        if self.finals > finals:
            self._hangs = self._wordless_parts = 0
        if not feed.ended.is_set():
            return _End.AGAIN
        if self._is_behind:
            if self.finals == finals:
                self._end_wordless_part(feed, is_silent=drain.timed_out)
            return _End.PART
        if drain.timed_out:
            is_answered = self._is_answered or not (traits.ends or self._answers.is_begun)
        else:
            has_hung = feed.quiet_for(self._answers.last_at) > traits.quiet
            # Words that were shown and came to nothing are asked about once more.
            was_shown = self._answers.is_shown and not self._hangs
            is_answered = self._is_answered or not (has_hung or was_shown)
        if not is_answered:
            self._hangs += 1
            self.gave_up = self._hangs >= _HANGS
        if drain.timed_out or not is_answered:
            logger.warning("a stream's last words did not come")
        self._is_over = is_answered or self.gave_up
        return _End.OVER if self._is_over else _End.AGAIN

    def _end_wordless_part(self, feed: Feed, *, is_silent: bool) -> None:
        """It is heard twice; what is left of it then was silence, or is lost."""
        self._wordless_parts += 1
        if self._wordless_parts < _PART_TRIES:
            return
        self._wordless_parts = 0
        if self._answers.is_begun or (is_silent and not self._has_silence):
            self._backlog.lose(feed.timeline.pushed)
        else:
            self._backlog.heard(feed.timeline.pushed)

    def _is_settled(self, event: stt.SpeechEvent, feed: Feed) -> bool:
        """Whether it is known what is not yet in words: another would say the rest twice."""
        if event.type is not stt.SpeechEventType.FINAL_TRANSCRIPT:
            return False
        has_position = bool(event.alternatives) and has_times(event.alternatives[0])
        return has_position or feed.surely_heard >= feed.timeline.pushed

    @property
    def _is_answered(self) -> bool:
        """Whether what is left is the silence that a gate sends after the last words."""
        if not self._backlog.seconds:
            return True
        tail = self.recogniser.silence.tail_seconds + _TAIL_SLACK_SECONDS
        has_all = self._answers.has_words and not self._answers.is_begun
        return has_all and self._backlog.seconds <= tail

    async def _take(self, event: stt.SpeechEvent, feed: Feed, traits: StreamTraits) -> None:
        self._answers.take(event, ends=traits.ends, at=self._now())
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT and event.alternatives:
            self._forget(event.alternatives[0], feed)
        if self._due_since is not None:
            self._due_since = self._answers.last_at if self._answers.is_begun else None
        await self._said(event, feed.timeline)
        if traits.ends and event.type is stt.SpeechEventType.END_OF_SPEECH:
            # Its words have come before: of what is shown still nothing comes.
            await self._said(_NO_WORDS, feed.timeline)

    def _forget(self, said: stt.SpeechData, feed: Feed) -> None:
        """What is in words need not be kept."""
        if has_times(said):
            self._backlog.heard(said.end_time)
            feed.timeline.forget_before(said.start_time)
        elif said.text.strip():
            self._backlog.heard(feed.surely_heard)
