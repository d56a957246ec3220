"""Answers a meeting's questions while it runs: one at a time, in the chat, and aloud where asked.

It speaks only to answer what somebody has asked of it by name. What it answers is heard by nobody
here: it is neither transcribed nor read, so that no answer can ask anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from livekit import rtc

from ..chat import Chat
from ..errors import AnswersError
from ..observers import MeetingObserver
from ..presence import LISTENING, SPEAKING, THINKING, show_state
from ..segments import Meeting, Segment, in_order
from .addressing import Names, SpokenCalls
from .allowance import Allowance, Allowed
from .answerer import Answerer
from .incoming import MOST_CHARACTERS, IncomingChat, Written
from .kept import keep, read_answers
from .question import Answer, Asked, Exchange, Status
from .voice import Spoken, Voice
from .wording import (
    BUSY,
    CANNOT,
    CANNOT_SPEAK,
    HOW_TO_ASK,
    TOO_LONG,
    TOO_MANY,
    answer_text,
    chat_text,
)

logger = logging.getLogger("tallyroom.agent")

PURPOSE = "answers"
MOST_WAITING = 5


class Assistant(MeetingObserver):
    """One meeting's questions and answers.

    `now` is the present in UTC; `attribute` opens the context in which somebody's question is
    answered, so that its usage has their name on it; `transcripts` is where meetings have their
    folders. With a `voice` it can be asked aloud. `aclose` closes what the answers are made with.
    """

    def __init__(
        self,
        room: rtc.Room,
        chat: Chat,
        answerer: Answerer,
        names: Names,
        transcripts: Path,
        *,
        now: Callable[[], datetime],
        attribute: Callable[[str], AbstractContextManager[None]],
        aclose: Callable[[], Awaitable[None]],
        voice: Voice | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._room = room
        self._chat = chat
        self._answerer = answerer
        self._names = names
        self._transcripts = transcripts
        self._now = now
        self._attribute = attribute
        self._aclose = aclose
        self._voice = voice
        self._allowance = allowance or Allowance()
        self._calls = SpokenCalls(names)
        self._incoming = IncomingChat(room, self._on_message)
        self._meeting: Meeting | None = None
        self._said: dict[str, Segment] = {}
        self._earlier: list[Exchange] = []
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue(MOST_WAITING)
        self._working: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[bool]] = set()
        self._echoes = 0
        self._is_mute = False

    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        """Begin to take questions."""
        self._meeting = meeting
        self._said = {segment.segment_id: segment for segment in said}
        with contextlib.suppress(AnswersError):
            self._earlier = await asyncio.to_thread(read_answers, self._folder(meeting))
        self._working = asyncio.create_task(self._work(meeting), name="tallyroom-answers")
        self._incoming.open()

    def on_segment(self, segment: Segment) -> None:
        """Somebody's words: to be answered from, unless they ask something here themselves."""
        asked = self._calls.question(segment) if self._voice else None
        # A question is no answer, not even to itself.
        text = segment.text if asked is None else self._names.before_call(segment.text)
        if text:
            self._said[segment.segment_id] = replace(segment, text=text)
        if asked is not None:
            self._take(segment.speaker, segment.name, asked, at=segment.start, is_aloud=True)

    def on_speech(self, speaker: str) -> None:
        """Somebody speaks: whatever is being said aloud ends."""
        if self._voice:
            self._voice.interrupt()

    def is_own_voice(self, segment: Segment) -> bool:
        """Whether a microphone has heard what is said aloud."""
        if self._voice is None:
            return False
        is_echo = self._voice.is_echo(segment.text, segment.start, segment.end)
        self._echoes += is_echo
        return is_echo

    async def on_end(self) -> None:
        """Nobody waits for an answer any more."""
        await self._incoming.aclose()
        if self._working:
            self._working.cancel()
            await asyncio.gather(self._working, *self._telling, return_exceptions=True)
        if self._echoes:
            logger.info("%d segments were our own voice, and nobody's words", self._echoes)
        if self._voice:
            await self._voice.aclose()
        await self._aclose()

    def _on_message(self, written: Written) -> None:
        asked = self._names.typed(written.text)
        if asked is None:
            return
        who = written.participant
        if written.is_long or not asked:
            if self._allowance.told(who.identity) is Allowed.NO:
                self._tell(who.identity, TOO_LONG if written.is_long else HOW_TO_ASK)
            return
        self._take(who.identity, who.name, asked)

    def _take(
        self,
        participant: str,
        name: str,
        text: str,
        *,
        at: float | None = None,
        is_aloud: bool = False,
    ) -> None:
        """Have a question answered in its turn, or say why not."""
        if len(text) > MOST_CHARACTERS:
            if self._allowance.told(participant) is Allowed.NO:
                self._tell(participant, TOO_LONG)
            return
        asked_at = self._now()
        if self._waiting.full():
            if self._allowance.told(participant) is Allowed.NO:
                self._tell(participant, BUSY)
            return
        allowed = self._allowance.take(participant)
        if allowed is Allowed.YES:
            at = self._clock() if at is None else at
            self._waiting.put_nowait(Asked(participant, name, text, at, asked_at, is_aloud))
        elif allowed is Allowed.NO:
            self._tell(participant, TOO_MANY)

    def _tell(self, participant: str, text: str) -> None:
        """Say something of ourselves to one person."""
        task = asyncio.create_task(self._chat.say(text, to=[participant]), name="tallyroom-tell")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _work(self, meeting: Meeting) -> None:
        if self._voice:
            try:
                await self._voice.open()
            except Exception as error:
                logger.error("answers are not spoken: %s", type(error).__name__)
        while True:
            asked = await self._waiting.get()
            try:
                await self._reply(meeting, asked)
            except Exception as error:
                # By its kind only: a message can have people's words in it.
                logger.error("a question was not answered: %s", type(error).__name__)
                await self._chat.say(CANNOT)

    async def _reply(self, meeting: Meeting, asked: Asked) -> None:
        await show_state(self._room, THINKING)
        try:
            said = in_order(self._said.values())
            with self._attribute(asked.participant):
                answer = await self._answerer.answer(asked, meeting.title, said, self._earlier)
            await self._chat.say(chat_text(asked, answer))
            spoken = await self._say(asked, answer)
        finally:
            await show_state(self._room, LISTENING)
        exchange = self._exchange(asked, answer, spoken)
        if answer.status in (Status.ANSWERED, Status.NOT_SAID):
            self._earlier.append(exchange)
        try:
            await asyncio.to_thread(keep, self._folder(meeting), exchange)
        except AnswersError as error:
            logger.error("%s", error)

    async def _say(self, asked: Asked, answer: Answer) -> Spoken:
        if self._voice is None or answer.status not in (Status.ANSWERED, Status.NOT_SAID):
            return Spoken()
        await show_state(self._room, SPEAKING)
        spoken = await self._voice.say(
            answer_text(answer), participant=asked.participant, now=self._clock
        )
        if spoken.failed and not self._is_mute:
            await self._chat.say(CANNOT_SPEAK)
        self._is_mute = spoken.failed
        return spoken

    def _exchange(self, asked: Asked, answer: Answer, spoken: Spoken) -> Exchange:
        return Exchange(
            participant=asked.participant,
            name=asked.name,
            question=asked.text,
            is_aloud=asked.is_aloud,
            asked_at=asked.asked_at,
            answered_at=self._now(),
            status=answer.status,
            answer=answer_text(answer),
            citations=answer.citations,
            looked_at=answer.looked_at,
            of=answer.of,
            tools=answer.tools,
            voice_seconds=round(spoken.seconds, 3),
            was_interrupted=spoken.was_interrupted,
        )

    def _clock(self) -> float:
        """The present on the meeting's clock, in seconds."""
        if self._meeting is None:
            return 0.0
        return (self._now() - self._meeting.started_at).total_seconds()

    def _folder(self, meeting: Meeting) -> Path:
        return self._transcripts / meeting.job_id
