"""What is asked in a meeting, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of somebody's; `at` is on the meeting's clock, in seconds.

    `is_aloud` is whether it was spoken, not typed.
    """

    participant: str
    name: str
    text: str
    at: float
    asked_at: datetime
    is_aloud: bool = False


class Status(StrEnum):
    """What became of a question."""

    ANSWERED = "answered"
    NOT_SAID = "not_said"
    """Nothing that was looked at says it."""
    FAILED = "failed"
    """There was no LLM to answer it, or none that kept to its rules."""
    TOO_DEAR = "too_dear"
    """Another request could have cost more than the ceiling."""


@dataclass(frozen=True, slots=True)
class Citation:
    """Who said it, and when on the meeting's clock, in seconds; `quote` is in their words."""

    segment_id: str
    speaker: str
    name: str
    start: float
    quote: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an LLM wants to be asked."""

    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool has returned, as text: data, whatever it says."""

    tool: str
    arguments: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a question: `looked_at` segments of `of`; `tools` were asked, by name."""

    status: Status
    text: str = ""
    citations: tuple[Citation, ...] = ()
    looked_at: int = 0
    of: int = 0
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, as it is kept; `text` is what was said in the chat."""

    participant: str
    name: str
    question: str
    is_aloud: bool
    asked_at: datetime
    answered_at: datetime
    status: Status
    answer: str
    citations: tuple[Citation, ...] = ()
    looked_at: int = 0
    of: int = 0
    tools: tuple[str, ...] = field(default=())
    voice_seconds: float = 0.0
    was_interrupted: bool = False
