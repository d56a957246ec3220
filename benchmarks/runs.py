"""Runs of a long comparison, kept as they are over: hours of them need not be had in one go.

A line of the file is one run of one contender, as JSON, with the figures it showed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from .verdict import Figures


@dataclass(frozen=True)
class _Run:
    contender: str
    seconds: float
    ended_at: datetime
    figures: Figures


_RUN = TypeAdapter(_Run)


class Runs:
    """Runs of meetings of so many seconds: those in the file, if one is given, and those added."""

    def __init__(self, seconds: float, path: Path | None = None) -> None:
        self._seconds = seconds
        self._path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self._runs = [run for run in map(_RUN.validate_json, lines) if run.seconds == seconds]

    def of(self, contender: str) -> list[Figures]:
        """One contender's, in the order in which they were made."""
        return [run.figures for run in self._runs if run.contender == contender]

    def add(self, contender: str, figures: Figures) -> None:
        """One that is over."""
        run = _Run(contender, self._seconds, datetime.now(UTC).replace(microsecond=0), figures)
        self._runs.append(run)
        if self._path:
            with self._path.open("ab") as file:
                file.write(_RUN.dump_json(run) + b"\n")
