"""The words of a meeting, folded into its notes a part at a time.

Every word goes through one fold. So a meeting can be longer than any model's context, most of the
work is done when it ends, and what could not be folded is known to the second.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..asking import Question
from ..ceiling import Ceiling
from ..errors import LanguageModelError
from ..rendering import speaker_label
from ..segments import Segment
from .answer import AnswerError, Checked, Known, read_answer
from .pieces import Piece, pieces_of
from .prompt import question
from .state import NotesState
from .template import Template


class Asked(Protocol):
    """Whoever answers questions."""

    @property
    def sees_all(self) -> bool:
        """Whether its meter sees the requests, too, that came to nothing."""

    async def ask(self, question: Question, *, timeout: float) -> str:
        """The answer."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often an LLM is asked.

    A question is asked `attempts` times at most, `pause_seconds` apart where it failed. After it
    has failed for good, the next is not asked within `rest_seconds`, unless the meeting ends.
    """

    attempts: int = 3
    request_seconds: float = 60.0
    pause_seconds: float = 2.0
    rest_seconds: float = 60.0


NOT_USABLE = "the LLM's answers could not be used"
TOO_LATE = "the LLM was not done in time at the end"


@dataclass(frozen=True, slots=True)
class Left:
    """Words that are in no notes, and why."""

    piece: Piece
    reason: str


class RollingNotes:
    """Notes that grow with a meeting; not for two tasks at a time.

    `language` is a BCP 47 tag, or `multi` for the one that is mostly spoken.
    """

    def __init__(
        self,
        template: Template,
        model: Asked,
        *,
        language: str,
        title: str = "",
        ceiling: Ceiling | None = None,
        patience: Patience = Patience(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.template = template
        self.language = language
        self.state = NotesState(template)
        self.segments: dict[int, Segment] = {}
        self.left: list[Left] = []
        self.counts: Counter[str] = Counter()
        """Of `folds`, `requests`, items `refused`, and owners that were `unowned`."""
        self._model = model
        self._title = title
        self._ceiling = ceiling
        self._patience = patience
        self._now = now
        self._pending: list[Piece] = []
        self._known_ids: set[str] = set()
        self._rests_until = float("-inf")
        self._failure = ""
        self._is_over = False

    def add(self, segment: Segment) -> None:
        """Somebody's words, to be folded in their turn; not once more where they are known."""
        if segment.segment_id in self._known_ids:
            return
        self._known_ids.add(segment.segment_id)
        number = len(self.segments) + 1
        self.segments[number] = segment
        self._pending += pieces_of(number, segment, self.template.fold.bytes)

    @property
    def is_due(self) -> bool:
        """Whether there are enough new words for a fold, and it is worth trying."""
        enough = sum(piece.size for piece in self._pending) >= self.template.fold.bytes
        return enough and not self._is_over and self._now() >= self._rests_until

    async def fold_due(self) -> None:
        """Fold while there is enough; for a meeting that goes on."""
        while self.is_due:
            if not await self._fold():
                self._rests_until = self._now() + self._patience.rest_seconds

    async def finish(self, *, within: float) -> None:
        """Fold all that is left, within so many seconds; then `left` says what is in no notes."""
        reason = TOO_LATE
        try:
            async with asyncio.timeout(within):
                while self._pending and not self._is_over and await self._fold():
                    pass
            reason = self._failure
        except TimeoutError:
            pass
        self.give_up(reason)

    def give_up(self, reason: str) -> None:
        """Whatever is not folded yet never will be."""
        self._leave(self._pending, reason)
        self._pending = []

    async def _fold(self) -> bool:
        """Fold the first pieces; False where it is of no use to go on, and they are still there."""
        pieces = self._next()
        try:
            checked = await self._answered(pieces)
        except LanguageModelError as error:
            self._failure = str(error)
            return False
        if checked is None:
            return False
        # Only now: a fold that is cancelled leaves its pieces where they were.
        taken = set(map(id, pieces))
        self._pending = [piece for piece in self._pending if id(piece) not in taken]
        if isinstance(checked, str):
            self._leave(pieces, checked)
            return True
        self.state.apply(checked.changes)
        self.counts.update(folds=1, refused=checked.refused, unowned=checked.unowned)
        return True

    def _next(self) -> list[Piece]:
        """The earliest words, as many as make a fold; those of several speakers in their order."""
        self._pending.sort(key=lambda piece: (piece.segment.start, piece.number))
        pieces: list[Piece] = []
        size = 0
        for piece in self._pending:
            size += piece.size
            if pieces and size > self.template.fold.bytes:
                break
            pieces.append(piece)
        return pieces

    async def _answered(self, pieces: Sequence[Piece]) -> Checked | str | None:
        """What to change; or why these words cannot be in the notes; None where no words can be."""
        asked = question(self.template, self.language, self._title, self.state, pieces)
        known = self._known(pieces)
        first, best = asked, None
        for attempt in range(1, self._patience.attempts + 1):
            if self._ceiling and not self._ceiling.allows(asked.most()):
                if best:
                    return best
                self._failure, self._is_over = self._ceiling.reason, True
                return None
            try:
                answer = await self._ask(asked)
            except LanguageModelError as error:
                if best:
                    return best
                if attempt == self._patience.attempts or not error.may_pass:
                    raise
                await asyncio.sleep(self._patience.pause_seconds * attempt)
                continue
            try:
                best = read_answer(answer, self.template, known)
            except AnswerError as error:
                asked = first.again(answer, str(error))
                continue
            if not best.problems:
                return best
            asked = first.again(answer, best.complaint)
        return best or NOT_USABLE

    async def _ask(self, asked: Question) -> str:
        self.counts["requests"] += 1
        answer = None
        try:
            answer = await self._model.ask(asked, timeout=self._patience.request_seconds)
            return answer
        except LanguageModelError as error:
            # What was refused is not billed.
            if error.status:
                answer = ""
            raise
        finally:
            if answer is None and self._ceiling and not self._model.sees_all:
                self._ceiling.lost(asked.most())

    def _known(self, pieces: Iterable[Piece]) -> Known:
        shown = self.state.shown()
        noted = {
            key: {item.item_id: item.numbers for item in items} for key, items in shown.items()
        }
        numbers = {piece.number for piece in pieces}
        numbers |= {n for items in noted.values() for cited in items.values() for n in cited}
        return Known({number: self._said(number) for number in sorted(numbers)}, noted)

    def _said(self, number: int) -> str:
        segment = self.segments[number]
        return f"{speaker_label(segment)}: {segment.text}"

    def _leave(self, pieces: Iterable[Piece], reason: str) -> None:
        self.left += [Left(piece, reason) for piece in pieces]
