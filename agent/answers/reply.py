"""What an LLM has answered, checked before anybody reads or hears it.

An answer stands on words that were said: each citation is a segment that it was given, with a quote
that is in it, and no number is in the answer that is not in what it cites. What is not so is
refused. So is an answer that gives its instructions away. That its sentences follow from the quotes
is the LLM's own; whoever reads it has the quotes beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..rendering import clock, one_line, speaker_label
from ..segments import Segment
from .prompt import ANSWER_CHARACTERS, RULES
from .question import Asked, Citation, ToolCall, ToolResult

MOST_CITATIONS = 5
_QUOTE_CHARACTERS = 240
_QUOTE_WORDS = 3
"""A quote of fewer proves nothing, unless it is all that was said."""
_LEAK_WORDS = 8
"""So many words in a row are no coincidence."""
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")


class ReplyError(Exception):
    """An answer that cannot be used; the message tells the LLM why."""


class _Cited(BaseModel):
    model_config = ConfigDict(extra="ignore")

    segment: int
    quote: Annotated[str, StringConstraints(max_length=2000)] = ""


class _Called(BaseModel):
    model_config = ConfigDict(extra="ignore")

    tool: Annotated[str, StringConstraints(max_length=256)]
    arguments: Annotated[str, StringConstraints(max_length=20_000)] = "{}"


class _Replied(BaseModel):
    model_config = ConfigDict(extra="ignore")

    found: bool
    answer: Annotated[str, StringConstraints(max_length=20_000)] = ""
    citations: list[_Cited] = Field(default_factory=list, max_length=50)
    call: _Called | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply without what is wrong in it: an answer, or a call, or neither.

    `problems` are what was wrong; an answer that has none of its citations left is none.
    """

    text: str = ""
    citations: tuple[Citation, ...] = ()
    call: ToolCall | None = None
    problems: tuple[str, ...] = field(default=())


def read_reply(
    text: str,
    asked: Asked,
    shown: Sequence[tuple[int, Segment]],
    results: Sequence[ToolResult] = (),
) -> Reply:
    """What a reply comes to.

    Raises:
        ReplyError: it is not JSON of the form that was asked for.
    """
    replied = _parsed(text)
    if replied.call is not None:
        return Reply(call=ToolCall(replied.call.tool, _arguments(replied.call.arguments)))
    answer = one_line(replied.answer)
    if not replied.found or not answer:
        return Reply()
    by_number = dict(shown)
    citations: list[Citation] = []
    problems: list[str] = []
    for cited in replied.citations[:MOST_CITATIONS]:
        segment = by_number.get(cited.segment)
        if segment is None:
            problems.append(f"segment {str(cited.segment)[:20]} is not among the data")
        elif not _is_quoted(cited.quote, segment.text):
            problems.append(f"the quote of segment {cited.segment} is not in it, letter by letter")
        elif all(one.segment_id != segment.segment_id for one in citations):
            citations.append(_citation(segment, cited.quote))
    if not citations and not results:
        problems.append("it cites nothing that was said")
    if len(answer) > ANSWER_CHARACTERS:
        problems.append(f"the answer is longer than {ANSWER_CHARACTERS} characters")
        citations, answer = [], ""
    if strange := _strange_numbers(answer, asked, by_number, citations, results):
        problems.append(f"the answer has {strange}, which is in nothing that it cites")
        citations, answer = [], ""
    if _gives_rules_away(answer, [by_number[number].text for number in by_number]):
        problems.append("the answer speaks of the rules")
        citations, answer = [], ""
    if not citations and not results:
        answer = ""
    return Reply(answer, tuple(citations), problems=tuple(problems))


def _parsed(text: str) -> _Replied:
    # Some put it between fences, or a sentence before it.
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin:
        raise ReplyError("it is not a JSON object")
    try:
        return _Replied.model_validate(json.loads(text[begin : end + 1]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:5])
        raise ReplyError(f"{where or 'answer'}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise ReplyError("it is not valid JSON") from None


def _arguments(text: str) -> dict[str, object]:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ReplyError("call.arguments is not valid JSON") from None
    if not isinstance(arguments, dict):
        raise ReplyError("call.arguments is not a JSON object")
    return arguments


def _is_quoted(quote: str, said: str) -> bool:
    words, spoken = _words(quote), _words(said)
    if not words or (len(words) < _QUOTE_WORDS and words != spoken):
        return False
    return any(spoken[at : at + len(words)] == words for at in range(len(spoken)))


def _citation(segment: Segment, quote: str) -> Citation:
    return Citation(
        segment_id=segment.segment_id,
        speaker=segment.speaker,
        name=speaker_label(segment),
        start=segment.start,
        quote=one_line(quote)[:_QUOTE_CHARACTERS],
    )


def _strange_numbers(
    answer: str,
    asked: Asked,
    by_number: dict[int, Segment],
    citations: Sequence[Citation],
    results: Sequence[ToolResult],
) -> str:
    """The first number of an answer that nothing it stands on has."""
    cited = {one.segment_id for one in citations}
    known = [asked.text, *(one.text for one in results)]
    for segment in by_number.values():
        if segment.segment_id in cited:
            known += [segment.text, speaker_label(segment), clock(segment.start)]
    allowed = {digits.lstrip("0") for text in known for digits in _DIGITS.findall(text)}
    return next(
        (digits for digits in _DIGITS.findall(answer) if digits.lstrip("0") not in allowed), ""
    )


def _gives_rules_away(answer: str, said: Sequence[str]) -> bool:
    """Whether it repeats the instructions, other than in words that somebody has said."""
    repeated = _runs(answer) & _RULE_RUNS
    return bool(repeated - {run for text in said for run in _runs(text)}) if repeated else False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words[at : at + _LEAK_WORDS]) for at in range(len(words) - _LEAK_WORDS + 1)}


_RULE_RUNS = _runs(RULES)
