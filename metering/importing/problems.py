"""What is wrong with the rows of a file, each with its place, value and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field of a row; `value` is None where the whole row is meant."""

    field: str
    value: object
    advice: str


class RowRefused(Exception):
    """A row that cannot be imported, with everything that is wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault and the line of the file on which its row begins."""

    line: int
    field: str
    value: str | None
    advice: str

    def __str__(self) -> str:
        about = " ".join(part for part in (self.field, self.value) if part)
        return ": ".join(part for part in (str(self.line), about, self.advice) if part)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "line": self.line,
            "field": self.field or None,
            "value": self.value,
            "problem": self.advice,
        }


@dataclass(slots=True)
class Problems:
    """Everything that is wrong with a file; of very much the first is told, the rest counted."""

    limit: int
    told: list[Problem] = field(default_factory=list)
    rows: int = 0
    more: int = 0
    """How many were not told."""

    def add(self, line: int, refused: RowRefused) -> None:
        """Note what is wrong with the row that begins on this line."""
        self.rows += 1
        for fault in refused.faults:
            if len(self.told) >= self.limit:
                self.more += 1
                continue
            value = None if fault.value is None else _shown(fault.value)
            self.told.append(Problem(line, fault.field, value, fault.advice))


def _shown(value: object) -> str:
    """A value as it can be printed on one line, however hostile it is."""
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    if len(shown) <= _SHOWN_CHARACTERS:
        return shown
    return f"{shown[:_SHOWN_CHARACTERS]}..."
