"""The meeting's words: segments, written down as they become final.

Each final segment is appended to a file at once, so that a kill loses none that was heard. The
files that people read are made from it at the end, or at any later time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from .corrections import apply, read_corrections
from .errors import TranscriptError
from .gaps import GapLog, stretches
from .rendering import render
from .request import TranscriptFormat
from .segments import Gap, Meeting, Segment, Transcript, in_order

SEGMENTS = "segments.jsonl"
MEETING = "meeting.json"
_GAP = "gap"

_Item = TypeVar("_Item", Segment, Gap)


class TranscriptWriter:
    """Keeps one meeting's transcript in its folder, `transcripts/<job id>/`.

    Raises:
        TranscriptError: the folder cannot be written.
    """

    def __init__(self, folder: Path, meeting: Meeting) -> None:
        self.folder = folder
        self._unwritten: list[Segment] = []
        self._gaps = GapLog()
        self._lock = asyncio.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A run that follows another of the same job goes on with its file, on its clock.
            self._meeting = _begun(folder, meeting)
            self._later = (meeting.started_at - self._meeting.started_at).total_seconds()
            write_whole(folder / MEETING, _meeting_json(self._meeting))
            _end_torn_line(folder / SEGMENTS)
            self._said_before = in_order(_read_segments(folder))
            self._note_absence(folder)
            self._file = (folder / SEGMENTS).open("a", encoding="utf-8", errors="replace")
        except OSError as error:
            raise TranscriptError(f"cannot write transcript {folder}: {error.strerror}") from error

    def _note_absence(self, folder: Path) -> None:
        """Between two runs of a job nobody was there to hear."""
        if self._later <= 0:
            return
        known: list[Segment | Gap] = [*self._said_before, *_read_gaps(folder)]
        last = max((one.end for one in known), default=0.0)
        if last < self._later:
            self._gaps.add(Gap(speaker="", name="", start=last, end=self._later, track_id=""))

    @property
    def meeting(self) -> Meeting:
        """What is being transcribed, on the clock of the job's first run."""
        return self._meeting

    @property
    def said_before(self) -> list[Segment]:
        """What an earlier run of the job had written down, in order."""
        return self._said_before

    def on_clock(self, segment: Segment) -> Segment:
        """A segment on this run's clock, as it is on the meeting's."""
        if not self._later:
            return segment
        return replace(
            segment,
            start=round(segment.start + self._later, 3),
            end=round(segment.end + self._later, 3),
        )

    async def add(self, segment: Segment) -> None:
        """Append a final segment, on this run's clock; it is on disk when this returns.

        Raises:
            TranscriptError: it could not be written; it is kept for the files at the end.
        """
        segment = self.on_clock(segment)
        async with self._lock:
            closed = self._gaps.take_closed(segment.start)
            try:
                await asyncio.to_thread(self._append, segment, closed)
            except OSError as error:
                self._unwritten.append(segment)
                raise TranscriptError(
                    f"cannot write transcript {self.folder}: {error.strerror}"
                ) from error

    def _append(self, segment: Segment, gaps: Iterable[Gap]) -> None:
        self._write_gaps(gaps)
        self._file.write(json.dumps(asdict(segment), ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_gaps(self, gaps: Iterable[Gap]) -> None:
        for gap in gaps:
            self._file.write(json.dumps({_GAP: asdict(gap)}, ensure_ascii=False) + "\n")

    def add_gap(self, gap: Gap) -> None:
        """Remember what could not be heard, on this run's clock.

        It is written down with the next segment that comes after it, or at the end.
        """
        self._gaps.add(
            replace(
                gap, start=round(gap.start + self._later, 3), end=round(gap.end + self._later, 3)
            )
        )

    async def finish(self, formats: Iterable[TranscriptFormat]) -> list[Path]:
        """Write the transcript's files and close it; returns where they are.

        Raises:
            TranscriptError: one could not be written.
        """
        async with self._lock:
            return await asyncio.to_thread(self._finish, tuple(formats))

    def _finish(self, formats: Sequence[TranscriptFormat]) -> list[Path]:
        # What could not be written before cannot be now, and is in memory.
        with contextlib.suppress(OSError, ValueError):
            self._write_gaps(self._gaps.gaps)
            self._file.close()
        try:
            stored = {segment.segment_id: segment for segment in _read_segments(self.folder)}
            stored |= {segment.segment_id: segment for segment in self._unwritten}
            gaps = [*_read_gaps(self.folder), *self._gaps.gaps]
            return write_files(self.folder, self._meeting, stored.values(), formats, gaps)
        except OSError as error:
            raise TranscriptError(
                f"cannot write transcript {self.folder}: {error.strerror}"
            ) from error


def write_files(
    folder: Path,
    meeting: Meeting,
    segments: Iterable[Segment],
    formats: Iterable[TranscriptFormat],
    gaps: Iterable[Gap] = (),
) -> list[Path]:
    """Write a transcript in each of the formats, as it was corrected; returns where."""
    said, corrected = apply(read_corrections(folder), segments)
    transcript = Transcript(meeting, in_order(said), stretches(gaps), corrected)
    paths = []
    for format_ in formats:
        path = folder / f"transcript.{format_}"
        write_whole(path, render(transcript, format_))
        paths.append(path)
    return paths


def read_transcript(folder: Path) -> Transcript:
    """A transcript from its folder, whether its job ended well or was killed.

    Raises:
        TranscriptError: there is none, or it cannot be read.
    """
    try:
        meeting = _read_meeting(folder)
        said, corrected = apply(read_corrections(folder), _read_segments(folder))
        return Transcript(meeting, in_order(said), stretches(_read_gaps(folder)), corrected)
    except FileNotFoundError:
        raise TranscriptError(f"no transcript in {folder}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TranscriptError(f"cannot read transcript {folder}: {error}") from error


def transcript_folder(transcripts: Path, job_id: str) -> Path:
    """Where a job's transcript is.

    Raises:
        TranscriptError: there is none of this job.
    """
    folder = transcripts / job_id
    # An id comes from a command line: it must not lead out of the folder.
    if not job_id or job_id != folder.name or not (folder / MEETING).is_file():
        raise TranscriptError(f"no transcript of job {job_id!r} in {transcripts}")
    return folder


def transcript_folders(transcripts: Path) -> list[Path]:
    """The folders of all meetings that have a transcript, by job id."""
    return sorted(path.parent for path in transcripts.glob(f"*/{MEETING}"))


def read_original(folder: Path) -> Transcript:
    """As `read_transcript`, but as it was heard, in the order in which it was written down.

    Raises:
        TranscriptError: there is none, or it cannot be read.
    """
    try:
        return Transcript(_read_meeting(folder), _read_segments(folder), _read_gaps(folder))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TranscriptError(f"cannot read transcript {folder}: {error}") from error


def rewrite_original(folder: Path, transcript: Transcript) -> None:
    """Write a transcript anew that nobody writes any more: only to take out what must go.

    Raises:
        OSError: it cannot be written.
    """
    lines = [asdict(segment) for segment in transcript.segments]
    lines += [{_GAP: asdict(gap)} for gap in transcript.gaps]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_whole(folder / SEGMENTS, text)
    write_whole(folder / MEETING, _meeting_json(transcript.meeting))


def render_again(folder: Path) -> list[Path]:
    """Write anew the files that a transcript was written as; returns where.

    Raises:
        TranscriptError: it cannot be read, or one cannot be written.
    """
    transcript = read_transcript(folder)
    paths = []
    for format_ in TranscriptFormat:
        path = folder / f"transcript.{format_}"
        if path.exists():
            try:
                write_whole(path, render(transcript, format_))
            except OSError as error:
                raise TranscriptError(f"cannot write {path}: {error.strerror}") from error
            paths.append(path)
    return paths


def _read_meeting(folder: Path) -> Meeting:
    data = json.loads((folder / MEETING).read_text("utf-8"))
    data["started_at"] = datetime.fromisoformat(data["started_at"])
    return Meeting(**data)


def _begun(folder: Path, meeting: Meeting) -> Meeting:
    """The meeting with the start that an earlier run of its job has written down, if one has."""
    try:
        return replace(meeting, started_at=_read_meeting(folder).started_at)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return meeting


def _end_torn_line(path: Path) -> None:
    """A kill can tear the last line; the next must not be joined to it."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")


def _read_segments(folder: Path) -> list[Segment]:
    """The segments that were written whole; a kill can tear the last line."""
    return [segment for line in _lines(folder) if (segment := _made(Segment, line))]


def _read_gaps(folder: Path) -> list[Gap]:
    return [gap for line in _lines(folder) if (gap := _made(Gap, line.get(_GAP) if line else None))]


def _lines(folder: Path) -> Iterator[Any]:
    """Every line that was written whole."""
    with (folder / SEGMENTS).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                if isinstance(data := json.loads(line), dict):
                    yield data


def _made(kind: type[_Item], data: Any) -> _Item | None:
    try:
        return kind(**data)
    except TypeError:
        return None


def _meeting_json(meeting: Meeting) -> str:
    data: dict[str, Any] = asdict(meeting)
    data["started_at"] = meeting.started_at.astimezone(UTC).isoformat()
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)
