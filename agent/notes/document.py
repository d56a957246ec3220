"""The notes as they are kept: `notes.json`, whose schema has a version, in the meeting's folder."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ..errors import NotesError
from ..rendering import one_line, speaker_label
from ..segments import Meeting, Segment
from ..transcript import write_whole
from .rolling import RollingNotes

NOTES_JSON, NOTES_MARKDOWN = "notes.json", "notes.md"
SCHEMA_VERSION = 1
NOTHING_SAID = "nothing was said"


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


def notes_of(meeting: Meeting, rolling: RollingNotes, model: str) -> Notes:
    """What has become of a meeting's words, once none of them waits any more."""
    gone = _not_covered(rolling)
    counts = rolling.counts
    if not rolling.segments:
        status, reason = NotesStatus.NONE, NOTHING_SAID
    elif not gone:
        status, reason = NotesStatus.COMPLETE, ""
    else:
        has_some = counts["folds"] > 0
        status = NotesStatus.PARTIAL if has_some else NotesStatus.NONE
        reason = gone[0].reason
    return Notes(
        job_id=meeting.job_id,
        title=one_line(meeting.title or meeting.room_name),
        started_at=meeting.started_at,
        made_at=datetime.now(UTC),
        template=rolling.template.name,
        heading=rolling.template.heading(rolling.language),
        language=rolling.language,
        model=model,
        status=status,
        reason=reason,
        sections=_sections(rolling),
        not_covered=gone,
        segments=len(rolling.segments),
        folds=counts["folds"],
        requests=counts["requests"],
        refused_items=counts["refused"],
        refused_owners=counts["unowned"],
    )


def _sections(rolling: RollingNotes) -> tuple[NotedSection, ...]:
    def cited(numbers: tuple[int, ...]) -> tuple[Citation, ...]:
        segments = sorted((rolling.segments[n] for n in numbers), key=lambda one: one.start)
        return tuple(map(_citation, segments))

    return tuple(
        NotedSection(
            key=section.key,
            title=section.heading(rolling.language),
            prose=section.prose,
            items=tuple(
                NotedItem(text=item.text, owner=item.owner, citations=cited(item.numbers))
                for item in rolling.state.items[section.key]
            ),
        )
        for section in rolling.template.section
    )


def _citation(segment: Segment) -> Citation:
    return Citation(
        segment_id=segment.segment_id,
        speaker=segment.speaker,
        name=speaker_label(segment),
        start=segment.start,
    )


def _not_covered(rolling: RollingNotes) -> tuple[NotCovered, ...]:
    """What is left out, in stretches that nothing else was said in between."""
    reasons = {left.piece.number: left.reason for left in rolling.left}
    stretches: list[list[Segment]] = []
    before: str | None = None
    why: list[str] = []
    in_order = sorted(rolling.segments.items(), key=lambda item: (item[1].start, item[0]))
    for number, segment in in_order:
        reason = reasons.get(number)
        if reason is not None:
            if reason == before:
                stretches[-1].append(segment)
            else:
                stretches.append([segment])
                why.append(reason)
        before = reason
    return tuple(
        NotCovered(
            start=stretch[0].start,
            end=max(segment.end for segment in stretch),
            segments=len(stretch),
            reason=reason,
        )
        for stretch, reason in zip(stretches, why, strict=True)
    )


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
