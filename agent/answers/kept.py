"""The questions and answers of a meeting, kept beside its transcript: a line each, as they come.

For the timeline, for who reads the meeting later, and for a run that goes on with the same job.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import AnswersError
from .question import Exchange

ANSWERS = "answers.jsonl"
_EXCHANGE: TypeAdapter[Exchange] = TypeAdapter(Exchange)


def keep(folder: Path, exchange: Exchange) -> None:
    """Append one; it is on disk when this returns.

    Raises:
        AnswersError: it cannot be written.
    """
    data: dict[str, Any] = asdict(exchange)
    for name in ("asked_at", "answered_at"):
        moment: datetime = data[name]
        data[name] = moment.isoformat()
    line = json.dumps(data, ensure_ascii=False)
    try:
        with (folder / ANSWERS).open("a+b") as file:
            # A line that a kill has torn stays a line of its own.
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(f"{line}\n".encode(errors="replace"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AnswersError(f"cannot write {folder / ANSWERS}: {error.strerror}") from error


def read_answers(folder: Path) -> list[Exchange]:
    """What was asked and answered, in order; nothing where nothing was. Torn lines are left out.

    Raises:
        AnswersError: they cannot be read.
    """
    try:
        lines = (folder / ANSWERS).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AnswersError(f"cannot read {folder / ANSWERS}: {error.strerror}") from error
    found: list[Exchange] = []
    for line in lines:
        try:
            found.append(_EXCHANGE.validate_json(line))
        except ValidationError:
            continue
    return found
