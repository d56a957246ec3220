"""Takes a meeting's notes while it runs, and keeps them beside its transcript when it ends.

Whatever goes wrong here, the transcript is not touched; the notes say why there are none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from metering import RequestPrices

from ..asking import LanguageModel
from ..ceiling import Ceiling, ceiling_of
from ..errors import NotesError
from ..observers import MeetingObserver
from ..request_providers import RequestMetering
from ..segments import Meeting, Segment
from ..settings import AgentSettings
from .conclusion import notes_of
from .document import Notes, NotesStatus, write_notes
from .markdown import render_notes
from .plan import NotesPlan
from .rolling import Patience, RollingNotes

logger = logging.getLogger("tallyroom.agent")

PURPOSE = "notes"
END_SECONDS = 120.0
"""What the notes may take when the meeting is over: the agent's session goes on, and is billed."""
LEAST_SECONDS = 5.0
"""Of these, for what is left once a fold that was under way has come to its end."""

Told = Callable[[Notes], Awaitable[None]]


class NoteTaker(MeetingObserver):
    """Folds a meeting's words into its notes as they come.

    `transcripts` is where meetings have their folders. `told` gets the notes once they are kept, if
    there are any.
    """

    def __init__(
        self,
        plan: NotesPlan,
        model: LanguageModel,
        transcripts: Path,
        *,
        ceiling: Ceiling | None = None,
        told: Told | None = None,
        patience: Patience = Patience(),  # noqa: B008
        end_seconds: float = END_SECONDS,
    ) -> None:
        self._plan = plan
        self._model = model
        self._transcripts = transcripts
        self._ceiling = ceiling
        self._told = told
        self._patience = patience
        self._end_seconds = end_seconds
        self._meeting: Meeting | None = None
        self._rolling: RollingNotes | None = None
        self._new_words = asyncio.Event()
        self._is_ending = False
        self._folding: asyncio.Task[None] | None = None

    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        """Begin to take notes."""
        self._meeting = meeting
        self._rolling = rolling = RollingNotes(
            self._plan.template,
            self._model,
            language=self._plan.language,
            title=meeting.title,
            ceiling=self._ceiling,
            patience=self._patience,
        )
        for segment in said:
            rolling.add(segment)
        self._folding = asyncio.create_task(self._fold(rolling), name="tallyroom-notes")

    def on_segment(self, segment: Segment) -> None:
        """Somebody's words: they wait until there are enough for a fold."""
        if self._rolling:
            self._rolling.add(segment)
            self._new_words.set()

    async def on_end(self) -> None:
        """Fold what is left, and keep the notes."""
        try:
            if self._rolling and self._meeting:
                await self._end(self._rolling, self._meeting)
        finally:
            await self._model.aclose()

    async def _fold(self, rolling: RollingNotes) -> None:
        while not self._is_ending:
            self._new_words.clear()
            await rolling.fold_due()
            await self._new_words.wait()

    async def _end(self, rolling: RollingNotes, meeting: Meeting) -> None:
        began = time.monotonic()
        self._is_ending = True
        self._new_words.set()
        try:
            await self._stop_folding()
            left = self._end_seconds - (time.monotonic() - began)
            await rolling.finish(within=max(LEAST_SECONDS, left))
        except Exception as error:
            rolling.give_up(f"notes failed ({type(error).__name__})")
        notes = notes_of(meeting, rolling, self._model.name)
        _log(notes)
        try:
            folder = self._transcripts / meeting.job_id
            await asyncio.to_thread(write_notes, folder, notes, render_notes(notes))
        except NotesError as error:
            logger.error("%s", error)
            return
        if self._told and notes.status is not NotesStatus.NONE:
            await self._told(notes)

    async def _stop_folding(self) -> None:
        """Let a fold that is under way come to its end, as long as there is time."""
        if self._folding is None:
            return
        _, late = await asyncio.wait([self._folding], timeout=self._end_seconds)
        for task in late:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if not late:
            await self._folding


def note_taker(
    settings: AgentSettings,
    plan: NotesPlan,
    meter: RequestMetering,
    prices: RequestPrices | None,
    told: Told | None = None,
) -> NoteTaker:
    """A note taker as the settings have it; `prices` are what its ceiling is kept by."""
    model = open_model(settings, meter)
    ceiling = ceiling_of(settings, "notes_max_cost", model, prices)
    return NoteTaker(plan, model, settings.transcripts_path, ceiling=ceiling, told=told)


def open_model(settings: AgentSettings, meter: RequestMetering) -> LanguageModel:
    """The LLM that takes notes.

    Raises:
        NotesError: none is set.
    """
    if settings.llm_choice is None:
        raise NotesError("notes need an LLM; set TALLYROOM_LLM, such as openai/gpt-4.1-mini")
    return LanguageModel(settings, settings.llm_choice, meter, PURPOSE)


def _log(notes: Notes) -> None:
    if notes.status is not NotesStatus.COMPLETE and notes.segments:
        logger.warning("%s notes: %s", notes.status.value, notes.reason)
