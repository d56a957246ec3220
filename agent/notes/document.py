"""The notes as they are kept: `notes.json`, whose schema has a version, in the meeting's folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ..errors import NotesError
from ..transcript import write_whole

NOTES_JSON, NOTES_MARKDOWN = "notes.json", "notes.md"
SCHEMA_VERSION = 1


class NotesStatus(StrEnum):
    """How much of the meeting is in its notes."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    NONE = "none"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Citation(_Kept):
    """A segment that says it: by whom, and when on the meeting's clock, in seconds."""

    segment_id: str
    speaker: str
    name: str
    start: float


class NotedItem(_Kept):
    """One thing noted, with at least one citation; `owner` is who does it, where it has one."""

    text: str
    owner: str | None
    citations: tuple[Citation, ...]


class NotedSection(_Kept):
    """One section of the template; `prose` reads on, others are lists."""

    key: str
    title: str
    prose: bool
    items: tuple[NotedItem, ...]


class NotCovered(_Kept):
    """A stretch of the meeting, in seconds on its clock, whose words are in no notes, and why."""

    start: float
    end: float
    segments: int
    reason: str


class Notes(_Kept):
    """The notes of one meeting.

    `reason` says why there are none, or why not of all of it. `refused_items` were left out because
    they pointed at nothing that was said, `refused_owners` because nobody had named them.
    """

    schema_version: int = SCHEMA_VERSION
    job_id: str
    title: str
    started_at: AwareDatetime
    made_at: AwareDatetime
    template: str
    heading: str
    language: str
    model: str
    status: NotesStatus
    reason: str
    sections: tuple[NotedSection, ...]
    not_covered: tuple[NotCovered, ...]
    segments: int
    folds: int
    requests: int
    refused_items: int
    refused_owners: int


def write_notes(folder: Path, notes: Notes, markdown: str) -> list[Path]:
    """Keep notes in a meeting's folder, in place of what was there; returns the files.

    Raises:
        NotesError: one could not be written.
    """
    paths = [folder / NOTES_JSON, folder / NOTES_MARKDOWN]
    try:
        for path, text in zip(paths, (to_json(notes), markdown), strict=True):
            write_whole(path, text)
    except OSError as error:
        raise NotesError(f"cannot write notes in {folder}: {error.strerror}") from error
    return paths


def to_json(notes: Notes) -> str:
    """The notes as their file has them."""
    return notes.model_dump_json(indent=2) + "\n"


def read_notes(folder: Path) -> Notes:
    """A meeting's notes.

    Raises:
        NotesError: there are none, or they cannot be read.
    """
    path = folder / NOTES_JSON
    try:
        return Notes.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NotesError(
            f"no notes of job {folder.name!r}; `tallyroom notes {folder.name} --again` makes them"
        ) from None
    except OSError as error:
        raise NotesError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise NotesError(
            f"cannot read {path}: {where or 'it'} is not as this version writes it;"
            f" `tallyroom notes {folder.name} --again` makes them anew"
        ) from None
