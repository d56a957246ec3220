"""Forgetting in the transcripts: a meeting's folder goes, a person's words and names go from each.

Of what somebody said nothing is left but when it was. What others said stays, without the names.
Notes, and whatever else was made of everybody's words together, go where the person took part:
nobody can say which sentence of them was theirs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from pathlib import Path

from metering.upkeep.scrubbing import FORGOTTEN, REMOVED, Scrub

from .corrections import CORRECTIONS, read_corrections, rewrite_corrections
from .errors import TranscriptError
from .notes.document import NOTES_JSON, NOTES_MARKDOWN
from .request import TranscriptFormat
from .search_index import remove_index
from .segments import Gap, Segment, Transcript
from .transcript import (
    MEETING,
    SEGMENTS,
    read_original,
    render_again,
    rewrite_original,
    transcript_folders,
)

_NOTES = frozenset({NOTES_JSON, NOTES_MARKDOWN})
_KEPT = frozenset(
    {MEETING, SEGMENTS, CORRECTIONS, *(f"transcript.{format_}" for format_ in TranscriptFormat)}
)
"""What can be cleaned; whatever else lies in a meeting's folder was made of it."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Where the transcripts know somebody: the meetings, and the names they went by."""

    job_ids: frozenset[str]
    names: frozenset[str]


def traces_of_person(transcripts: Path, identity: str) -> Traces:
    """The meetings in which somebody spoke, and what they were called there.

    Raises:
        TranscriptError: a transcript cannot be read.
    """
    job_ids, names = set(), set()
    for folder in transcript_folders(transcripts):
        _, segments, gaps, _ = read_original(folder)
        theirs: list[Segment | Gap] = [*segments, *gaps]
        if called := {one.name for one in theirs if one.speaker == identity}:
            job_ids.add(folder.name)
            names |= called
    return Traces(frozenset(job_ids), frozenset(names - {""}))


def meetings_of_tenant(transcripts: Path, tenant: str) -> frozenset[str]:
    """The jobs whose transcripts are a tenant's.

    Raises:
        TranscriptError: a transcript cannot be read.
    """
    return frozenset(
        folder.name
        for folder in transcript_folders(transcripts)
        if read_original(folder).meeting.tenant == tenant
    )


def forget_meetings(transcripts: Path, job_ids: Iterable[str]) -> int:
    """Remove all that is kept of some meetings, and the index; returns how many there were.

    Raises:
        TranscriptError: a folder cannot be removed.
        SearchError: the index cannot be removed.
    """
    removed = 0
    for job_id in sorted(set(job_ids)):
        folder = transcripts / job_id
        if folder.name != job_id or not folder.is_dir():
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise TranscriptError(f"cannot remove {folder}: {error.strerror}") from error
        removed += 1
    remove_index(transcripts)
    return removed


def forget_person(
    transcripts: Path, identity: str, traces: Traces, *, running: Set[str] = frozenset()
) -> int:
    """Take somebody's words and names out of all transcripts; returns how many have changed.

    `traces` are those of the ledger, too: in the meetings they name, other files are removed. A
    meeting that is `running` is left as it is: its job writes.

    Raises:
        TranscriptError: a transcript cannot be read or written.
        SearchError: the index cannot be removed.
    """
    scrub = Scrub(names=traces.names | {identity}, their_jobs=traces.job_ids)
    changed = 0
    for folder in transcript_folders(transcripts):
        if folder.name in running:
            continue
        try:
            changed += _forget_in(folder, identity, scrub)
        except OSError as error:
            raise TranscriptError(f"cannot rewrite {folder}: {error.strerror}") from error
    remove_index(transcripts)
    return changed


def _forget_in(folder: Path, identity: str, scrub: Scrub) -> bool:
    heard = read_original(folder)
    job_id = folder.name
    cleaned = _cleaned(heard, identity, scrub, job_id)
    was_there = job_id in scrub.their_jobs
    made = [path for path in sorted(folder.iterdir()) if path.name not in _KEPT]
    gone = {path for path in made if was_there or _names(path, scrub)}
    if any(path.name in _NOTES for path in gone):
        # Markdown escapes a name: where one file has it, the other has it in disguise.
        gone |= {path for path in made if path.name in _NOTES}
    corrected = read_corrections(folder)
    theirs = {segment.segment_id for segment in heard.segments if segment.speaker == identity}
    corrections = [
        replace(
            one,
            text=scrub.text(one.text, job_id),
            by=FORGOTTEN if one.by in scrub.names else scrub.text(one.by),
        )
        for one in corrected
        if one.segment_id not in theirs
    ]
    # A line that was torn is in neither, and can still have the words.
    is_changed = cleaned != heard or bool(gone) or corrections != corrected or was_there
    if is_changed:
        for path in gone:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        rewrite_original(folder, cleaned)
        rewrite_corrections(folder, corrections)
        render_again(folder)
    return is_changed


def _cleaned(heard: Transcript, identity: str, scrub: Scrub, job_id: str) -> Transcript:
    meeting = replace(
        heard.meeting,
        title=scrub.text(heard.meeting.title, job_id),
        room_name=scrub.text(heard.meeting.room_name, job_id),
    )
    segments = [
        replace(one, speaker=FORGOTTEN, name="", text=REMOVED, confidence=None)
        if one.speaker == identity
        else replace(one, text=scrub.text(one.text, job_id))
        for one in heard.segments
    ]
    gaps = [
        replace(one, speaker=FORGOTTEN, name="") if one.speaker == identity else one
        for one in heard.gaps
    ]
    return Transcript(meeting, segments, gaps)


def _names(path: Path, scrub: Scrub) -> bool:
    if path.is_dir():
        return False
    data = path.read_bytes()
    text = data.decode(errors="replace")
    return scrub.named_in(data) or scrub.text(text) != text
