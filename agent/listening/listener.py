"""One participant's audio to segments, for as long as they are there.

Each audio track goes straight into STT streams of its own: one for each stretch of speech where a
connection costs by the second, one for all of it where silence is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from livekit import rtc

from ..segments import Gap, Segment
from .backlog import AudioAllowance, Backlog
from .gate import TAIL_SECONDS, Captured, Gate, Passed, silence
from .recognisers import Recognisers
from .take import FIRST_PAUSE_SECONDS, Take
from .words import Interim, Speaker, Words

logger = logging.getLogger("tallyroom.agent")

SAMPLE_RATE = 16_000
FRAME_MS = 100
KEPT_SECONDS = 900.0
"""How much of a track's audio is kept until it has been put into words; the oldest goes first."""
STALL_SECONDS = 0.6
"""Audio that stops coming in the middle of a word, for a mute or a network, ends it."""
_SHORT_SECONDS = 1.0
"""While a provider's limits are nearly reached, a stream that is open is held; asked so often."""
_MOST_DOUBT = 8.0
"""Times the usual patience with a stream of somebody whose sounds have come to nothing."""


class Listener:
    """Turns one audio track into segments.

    `now` is the meeting's clock in seconds. `attribute` opens the context in which an STT stream is
    made, so that its usage has the speaker's name on it. Without a `gate` everything is sent.
    `on_gap` is told of what was captured and can no longer be heard, `on_speech` that a stretch of
    speech begins, `on_end` that nothing more is captured.
    """

    def __init__(
        self,
        speaker: Speaker,
        recognisers: Recognisers,
        *,
        now: Callable[[], float],
        on_segment: Callable[[Segment], Awaitable[None]],
        on_interim: Callable[[Interim], Awaitable[None]],
        on_gap: Callable[[Gap], None] = lambda gap: None,
        on_speech: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        gate: Gate | None = None,
        allowance: AudioAllowance | None = None,
        attribute: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._speaker = speaker
        self._recognisers = recognisers
        self._now = now
        self._on_segment = on_segment
        self._on_interim = on_interim
        self._on_gap = on_gap
        self._on_speech = on_speech
        self._on_end = on_end
        self._is_speaking = False
        self._gate = gate
        self._allowance = allowance
        self._attribute = attribute
        self._first_pause_seconds = first_pause_seconds
        self._kept_seconds = kept_seconds
        self._take: Take | None = None
        self._running: dict[asyncio.Task[None], Take] = {}
        self._ended = asyncio.Event()
        self._is_discarded = False
        self._pushed_at = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._active_since: float | None = None
        self._doubt = 1.0
        self._left: dict[Take, int] = {}
        """Takes that were ended because nothing came, and how much had come until then."""
        self._take_back: Callable[[], None] | None = None

    async def listen(self, track: rtc.Track) -> None:
        """Hear a track until it ends or `end` is called; returns when its last words are out."""
        audio = rtc.AudioStream(
            track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=FRAME_MS
        )
        reading = asyncio.create_task(self._read(audio), name="tallyroom-read-audio")
        try:
            await self.recognise()
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            await audio.aclose()

    async def _read(self, audio: rtc.AudioStream) -> None:
        try:
            async for event in audio:
                self.push(event.frame)
        finally:
            self.end()

    def push(self, frame: rtc.AudioFrame) -> None:
        """Take captured audio; what is to be put into words goes to the STT at once."""
        if self._ended.is_set():
            return
        captured = Captured(frame, self._now())
        if self._gate is None:
            self._send([captured])
            return
        self._pushed_at = captured.at
        self._pass_on(self._gate.push(captured))

    def mute(self) -> None:
        """The microphone is off: what was being said is over."""
        if self._ended.is_set():
            return
        if self._gate:
            self._pass_on(self._gate.cut())
        elif self._take:
            self._take.push(silence(TAIL_SECONDS, self._now()))
            self._take.pause()

    def is_active_speaker(self, active: bool) -> None:
        """What the server says of the participant.

        Where all of the audio is sent, nothing else tells that an answer is due.
        """
        if self._gate:
            self._gate.is_active_speaker(active)
        elif active and self._active_since is None:
            self._active_since = self._now()
        elif not active and self._active_since is not None:
            if self._take:
                self._take.expect(self._active_since)
            self._active_since = None
            self._watch_for_an_answer()

    def end(self) -> None:
        """The track is gone: hear out what has been said, then stop."""
        if self._ended.is_set():
            return
        if self._gate:
            self.mute()
        self._ended.set()
        self._on_end()
        self._cancel_timers()
        if self._take:
            self._take.end()

    def discard(self) -> None:
        """The track must not be heard: whatever is not in words yet never will be, nor a gap."""
        self._is_discarded = True
        self._ended.set()
        self._on_end()
        self._cancel_timers()
        for task in self._running:
            task.cancel()

    async def recognise(self) -> None:
        """Return when the track has ended and all of it was heard."""
        if self._gate is None and self._take is None and not self._ended.is_set():
            self._open_take()
        try:
            await self._ended.wait()
            while self._running:
                await asyncio.wait(self._running)
        finally:
            self._cancel_timers()
            await self._give_up()

    async def _give_up(self) -> None:
        takes = list(self._running)
        for task in takes:
            task.cancel()
        await asyncio.gather(*takes, return_exceptions=True)
        for task in takes:
            if task in self._running:
                self._on_take_done(task)

    def _lost(self, seconds: float, at: float) -> None:
        if self._is_discarded:
            return
        self._on_gap(
            Gap(
                speaker=self._speaker.identity,
                name=self._speaker.name(),
                start=round(max(0.0, at - seconds), 3),
                end=round(at, 3),
                track_id=self._speaker.track_id,
            )
        )

    def _pass_on(self, passed: Passed) -> None:
        if passed.captured:
            if not self._is_speaking:
                self._on_speech()
                self._leave_a_hung_stream()
            self._is_speaking = True
            self._send(passed.captured)
        if passed.ended:
            self._is_speaking = False
        if passed.ended and self._take:
            self._take.pause()
            self._close_later(self._take)
            self._watch_for_an_answer()
        elif self._stall is None and self._gate and self._gate.is_open:
            self._watch_for_a_stall(STALL_SECONDS)

    def _send(self, captured: list[Captured]) -> None:
        take = self._open_take()
        for one in captured:
            take.push(one)

    def _open_take(self) -> Take:
        """What is being heard, or something new: one that has been told to end may still answer."""
        self._keep_open()
        if self._take and self._take in self._running.values() and self._take.resume():
            return self._take
        # A gate has known of speech before, and what an STT says of it may be late.
        began = (lambda: None) if self._gate else self._on_speech
        words = Words(self._speaker, self._now, self._on_segment, self._on_interim, began)
        self._take = take = Take(
            self._recognisers,
            Backlog(self._kept_seconds, allowance=self._allowance, on_lost=self._lost),
            now=self._now,
            said=words.take,
            attribute=self._attribute,
            first_pause_seconds=self._first_pause_seconds,
            has_silence=self._gate is None,
        )
        task = asyncio.create_task(_hear(take, words), name="tallyroom-take")
        self._running[task] = take
        task.add_done_callback(self._on_take_done)
        return take

    def _on_take_done(self, task: asyncio.Task[None]) -> None:
        take = self._running.pop(task, None)
        if take is None:
            return
        if (finals := self._left.pop(take, None)) is not None:
            # A stream that had nothing to say is not to be ended for every cough.
            had_nothing = take.finals == finals
            if had_nothing and not (task.cancelled() or task.exception() or take.gave_up):
                self._doubt = min(_MOST_DOUBT, 2 * self._doubt)
            elif not had_nothing:
                self._doubt = 1.0
        error = None if task.cancelled() else task.exception()
        if error:
            logger.error("a stretch of speech was not heard out: %s", type(error).__name__)
        if task.cancelled() or error or take.gave_up:
            self._is_lost(take)
        else:
            # What no words came of was silence, or no speech.
            take.backlog.clear()

    def _is_lost(self, take: Take) -> None:
        """Whatever of it has not been heard until now is a gap in the transcript."""
        for captured in take.backlog.clear():
            self._lost(captured.frame.duration, captured.at)

    def _watch_for_a_stall(self, seconds: float) -> None:
        self._stall = asyncio.get_running_loop().call_later(seconds, self._on_stall)

    def _on_stall(self) -> None:
        self._stall = None
        if not (self._gate and self._gate.is_open):
            return
        left = self._pushed_at + STALL_SECONDS - self._now()
        if left > 0:
            self._watch_for_a_stall(left)
        else:
            self._pass_on(self._gate.cut())

    def _watch_for_an_answer(self) -> None:
        due = self._take.answer_due_in(self._doubt) if self._take else None
        if due is not None and self._due is None:
            delay = due if due > 0 else _SHORT_SECONDS
            self._due = asyncio.get_running_loop().call_later(delay, self._on_due)

    def _on_due(self) -> None:
        self._due = None
        if self._is_speaking or self._active_since is not None:
            # No word is cut in two: it is left when they pause, or begin anew.
            return
        self._leave_a_hung_stream()
        self._watch_for_an_answer()

    def _leave_a_hung_stream(self) -> None:
        """Ending it is asking it once more; another is asked for what it does not answer then."""
        take = self._take
        due = take.answer_due_in(self._doubt) if take else None
        if take and due is not None and due <= 0 and not take.recogniser.is_short():
            self._left[take] = take.finals
            take.end()

    def _close_later(self, take: Take) -> None:
        self._keep_open()
        self._take_back = take.recogniser.lend(lambda: self._give_up_silent(take))
        seconds = take.recogniser.silence.close_after(take.age)
        if seconds is not None:
            self._close_in(seconds, take)

    def _close_in(self, seconds: float, take: Take) -> None:
        self._closing = asyncio.get_running_loop().call_later(seconds, self._close, take)

    def _close(self, take: Take) -> None:
        self._closing = None
        if take.recogniser.is_short():
            self._close_in(_SHORT_SECONDS, take)
        else:
            take.end()

    def _give_up_silent(self, take: Take) -> bool:
        """Somebody else waits for the stream that nobody speaks into."""
        self._keep_open()
        was_open = take.is_open
        take.end()
        return was_open

    def _keep_open(self) -> None:
        if self._closing:
            self._closing.cancel()
            self._closing = None
        if self._take_back:
            self._take_back()
            self._take_back = None

    def _cancel_timers(self) -> None:
        if self._stall:
            self._stall.cancel()
            self._stall = None
        if self._due:
            self._due.cancel()
            self._due = None
        self._keep_open()


async def _hear(take: Take, words: Words) -> None:
    try:
        await take.run()
    finally:
        await words.withdraw()
