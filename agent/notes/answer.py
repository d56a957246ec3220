"""What an LLM has answered, checked before any of it becomes notes.

An answer is JSON of the form that was asked for. Each item points at segments that it was given,
and an owner is somebody whom these segments name. What is not so is refused, item by item.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ..rendering import one_line
from .state import Addition, SectionChange
from .template import Template

_SHOWN_PROBLEMS = 8
_SHOWN_NUMBERS = 5
_MOST_PROSE = 20
"""Items of a section that is shown whole in each question."""


class AnswerError(Exception):
    """An answer of which nothing can be used; the message tells the LLM why."""


class _AnsweredItem(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
    owner: Annotated[str, StringConstraints(max_length=256)] | None = None
    segments: list[int] = Field(default_factory=list, max_length=200)
    replaces: list[str] = Field(default_factory=list, max_length=200)


class _AnsweredSection(BaseModel):
    model_config = ConfigDict(extra="ignore")

    items: list[_AnsweredItem] = Field(default_factory=list, max_length=200)
    closed: list[str] = Field(default_factory=list, max_length=200)


class _Answered(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sections: dict[str, _AnsweredSection]


@dataclass(frozen=True, slots=True)
class Known:
    """What an answer may speak of: segments, with speaker and words, by number, and items.

    `noted` has the items by section and id, with the numbers that they point at.
    """

    said: Mapping[int, str]
    noted: Mapping[str, Mapping[str, Collection[int]]]


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer: `changes` without what is wrong in it, and what that is.

    `refused` counts the items that are left out, `unowned` those whose owner is.
    """

    changes: Mapping[str, SectionChange]
    problems: tuple[str, ...]
    refused: int
    unowned: int

    @property
    def complaint(self) -> str:
        """The first few problems, for the LLM."""
        more = len(self.problems) - _SHOWN_PROBLEMS
        shown = "; ".join(self.problems[:_SHOWN_PROBLEMS])
        return f"{shown}; and {more} more" if more > 0 else shown


def read_answer(text: str, template: Template, known: Known) -> Checked:
    """An answer's changes to the notes.

    Raises:
        AnswerError: it is not JSON of the form that was asked for.
    """
    answered = _parsed(text)
    wanted = [section.key for section in template.section]
    missing = [key for key in wanted if key not in answered.sections]
    if missing:
        raise AnswerError(f"section {missing[0]} is missing")
    problems: list[str] = []
    changes: dict[str, SectionChange] = {}
    refused = unowned = 0
    for section in template.section:
        part = answered.sections[section.key]
        noted = known.noted.get(section.key, {})
        additions: list[Addition] = []
        for index, item in enumerate(part.items):
            where = f"sections.{section.key}.items.{index}"
            addition = Addition(
                text=one_line(item.text),
                owner=one_line(item.owner or "") or None if section.owner else None,
                numbers=tuple(sorted(set(item.segments))),
                replaces=() if section.prose else tuple(item.replaces),
            )
            problem = _wrong(addition, known, noted)
            if section.prose and index >= _MOST_PROSE:
                problem = f"is one too many: {_MOST_PROSE} are the most"
            if problem:
                problems.append(f"{where} {problem}")
                refused += 1
                continue
            cited = [*addition.numbers, *(n for one in addition.replaces for n in noted[one])]
            if addition.owner and not _is_named(addition.owner, cited, known):
                problems.append(f"{where} has an owner whom its segments do not name")
                unowned += 1
                addition = replace(addition, owner=None)
            additions.append(addition)
        closed = part.closed if section.closes else []
        closed = [one for one in closed if one in noted]
        changes[section.key] = SectionChange(additions, closed)
    return Checked(changes, tuple(problems), refused, unowned)


def _parsed(text: str) -> _Answered:
    # Some put it between fences, or a sentence before it.
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin:
        raise AnswerError("it is not a JSON object")
    try:
        return _Answered.model_validate(json.loads(text[begin : end + 1]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:5])
        raise AnswerError(f"{where or 'answer'}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise AnswerError("it is not valid JSON") from None


def _wrong(addition: Addition, known: Known, noted: Collection[str]) -> str:
    if not addition.text:
        return "has no text"
    if not addition.numbers:
        return "cites no segment"
    if strange := [number for number in addition.numbers if number not in known.said]:
        return f"cites {_listed(strange)}, which is not among the numbers of the data"
    if any(one not in noted for one in addition.replaces):
        return "replaces an item that is not in its section of notes_so_far"
    return ""


def _is_named(owner: str, numbers: Iterable[int], known: Known) -> bool:
    """Whether what an item points at was said by the owner, or names them."""
    return any(owner.casefold() in known.said[number].casefold() for number in numbers)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(number)[:20] for number in list(numbers)[:_SHOWN_NUMBERS])
