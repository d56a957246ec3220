"""One question to one checked answer: asked, looked up, asked again where it cannot be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..asking import Question
from ..ceiling import Ceiling
from ..errors import LanguageModelError
from ..segments import Segment
from .evidence import EVIDENCE_BYTES, Evidence, evidence
from .prompt import question
from .question import Answer, Asked, Exchange, Status, ToolCall, ToolResult
from .reply import Reply, ReplyError, read_reply

EARLIER = 6
"""Questions before this one that it may be a sequel to."""
_EARLIER_CHARACTERS = 1000
_MOST_CALLS = 3


class AskedModel(Protocol):
    """Whoever answers questions."""

    @property
    def sees_all(self) -> bool:
        """Whether its meter sees the requests, too, that came to nothing."""

    async def ask(self, question: Question, *, timeout: float) -> str:
        """The answer."""


class Tools(Protocol):
    """What else can be looked up."""

    async def offered(self) -> Sequence[dict[str, Any]]:
        """Name, description and parameters of each tool that may be called."""

    async def call(self, wanted: ToolCall) -> ToolResult:
        """What a tool returns, or why it returned nothing; one that is not allowed is not asked."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long somebody who asks is kept waiting, in seconds, and what of it is for one request."""

    request_seconds: float = 25.0
    pause_seconds: float = 1.0
    attempts: int = 2


class Answerer:
    """Answers from one meeting's words, and nothing else but the tools that are allowed."""

    def __init__(
        self,
        model: AskedModel,
        *,
        ceiling: Ceiling | None = None,
        tools: Tools | None = None,
        patience: Patience = Patience(),
        evidence_bytes: int = EVIDENCE_BYTES,
    ) -> None:
        self._model = model
        self._ceiling = ceiling
        self._tools = tools
        self._patience = patience
        self._evidence_bytes = evidence_bytes

    async def answer(
        self,
        asked: Asked,
        title: str,
        said: Sequence[Segment],
        earlier: Sequence[Exchange] = (),
    ) -> Answer:
        """What the meeting so far, or a tool, says to a question; whatever the LLM does."""
        recent = [_shortened(one) for one in earlier[-EARLIER:]]
        about = [asked.text, *(f"{one.question} {one.answer}" for one in recent[-1:])]
        looked_at = evidence(said, about, self._evidence_bytes)
        offered = await self._tools.offered() if self._tools else ()
        results: list[ToolResult] = []
        outcome = Status.NOT_SAID
        reply = Reply()
        try:
            for _ in range(_MOST_CALLS + 1):
                usable = offered if len(results) < _MOST_CALLS else ()
                first = question(asked, title, looked_at, recent, usable, results)
                reply = await self._checked(first, asked, looked_at, results)
                if reply.call is None or self._tools is None:
                    break
                results.append(await self._tools.call(reply.call))
        except LanguageModelError:
            outcome = Status.FAILED
        except _CeilingReached:
            outcome = Status.TOO_DEAR
        else:
            if reply.text:
                outcome = Status.ANSWERED
        is_answered = outcome is Status.ANSWERED
        return Answer(
            outcome,
            text=reply.text if is_answered else "",
            citations=reply.citations if is_answered else (),
            looked_at=len(looked_at.segments),
            of=looked_at.of,
            tools=tuple(dict.fromkeys(one.tool for one in results)),
        )

    async def _checked(
        self, first: Question, asked: Asked, looked_at: Evidence, results: Sequence[ToolResult]
    ) -> Reply:
        """The reply, asked for twice where the first cannot be taken as it is."""
        text = await self._ask(first)
        try:
            reply = read_reply(text, asked, looked_at.segments, results)
            problem = "; ".join(reply.problems)
        except ReplyError as error:
            reply, problem = Reply(), str(error)
        if not problem:
            return reply
        try:
            again = await self._ask(first.again(text, problem))
            return read_reply(again, asked, looked_at.segments, results)
        except (LanguageModelError, _CeilingReached, ReplyError):
            if reply.text:
                return reply
            raise LanguageModelError("the LLM's answers could not be used") from None

    async def _ask(self, wanted: Question) -> str:
        for attempt in range(1, self._patience.attempts + 1):
            if self._ceiling and not self._ceiling.allows(wanted.most()):
                raise _CeilingReached
            try:
                return await self._ask_once(wanted)
            except LanguageModelError as error:
                if attempt == self._patience.attempts or not error.may_pass:
                    raise
            await asyncio.sleep(self._patience.pause_seconds)
        raise LanguageModelError("the LLM was not asked")

    async def _ask_once(self, wanted: Question) -> str:
        is_seen = False
        try:
            answer = await self._model.ask(wanted, timeout=self._patience.request_seconds)
            is_seen = True
            return answer
        except LanguageModelError as error:
            # What was refused is not billed.
            is_seen = bool(error.status)
            raise
        finally:
            if not is_seen and self._ceiling and not self._model.sees_all:
                self._ceiling.lost(wanted.most())


class _CeilingReached(Exception):
    """Another request could cost more than is allowed."""


def _shortened(one: Exchange) -> Exchange:
    if len(one.question) + len(one.answer) <= 2 * _EARLIER_CHARACTERS:
        return one
    cut = _EARLIER_CHARACTERS
    return replace(one, question=one.question[:cut], answer=one.answer[:cut])
