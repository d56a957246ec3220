"""The meeting's words: segments, written down as they become final.

Each final segment is appended to a file at once, so that a kill loses none that was heard. The
files that people read are made from it at the end, or at any later time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import TranscriptError
from .rendering import render
from .request import TranscriptFormat
from .segments import Meeting, Segment, in_order

_SEGMENTS = "segments.jsonl"
_MEETING = "meeting.json"


class TranscriptWriter:
    """Keeps one meeting's transcript in its folder, `transcripts/<job id>/`.

    Raises:
        TranscriptError: the folder cannot be written.
    """

    def __init__(self, folder: Path, meeting: Meeting) -> None:
        self.folder = folder
        self._segments: list[Segment] = []
        self._lock = asyncio.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A run that follows another of the same job goes on with its file, on its clock.
            self._meeting = _begun(folder, meeting)
            self._later = (meeting.started_at - self._meeting.started_at).total_seconds()
            _write_atomically(folder / _MEETING, _meeting_json(self._meeting))
            _end_torn_line(folder / _SEGMENTS)
            self._file = (folder / _SEGMENTS).open("a", encoding="utf-8", errors="replace")
        except OSError as error:
            raise TranscriptError(f"cannot write transcript {folder}: {error.strerror}") from error

    @property
    def meeting(self) -> Meeting:
        """What is being transcribed, on the clock of the job's first run."""
        return self._meeting

    @property
    def segments(self) -> Sequence[Segment]:
        """What this run has written, in the order in which it became final."""
        return self._segments

    async def add(self, segment: Segment) -> None:
        """Append a final segment, on this run's clock; it is on disk when this returns.

        Raises:
            TranscriptError: it could not be written; it is kept for the files at the end.
        """
        if self._later:
            segment = replace(
                segment,
                start=round(segment.start + self._later, 3),
                end=round(segment.end + self._later, 3),
            )
        self._segments.append(segment)
        async with self._lock:
            try:
                await asyncio.to_thread(self._append, segment)
            except OSError as error:
                raise TranscriptError(
                    f"cannot write transcript {self.folder}: {error.strerror}"
                ) from error

    def _append(self, segment: Segment) -> None:
        self._file.write(json.dumps(asdict(segment), ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    async def finish(self, formats: Iterable[TranscriptFormat]) -> list[Path]:
        """Write the transcript's files and close it; returns where they are.

        Raises:
            TranscriptError: one could not be written.
        """
        async with self._lock:
            return await asyncio.to_thread(self._finish, tuple(formats))

    def _finish(self, formats: Sequence[TranscriptFormat]) -> list[Path]:
        # What could not be written before cannot be now, and is in memory.
        with contextlib.suppress(OSError):
            self._file.close()
        try:
            stored = {segment.segment_id: segment for segment in _read_segments(self.folder)}
            stored |= {segment.segment_id: segment for segment in self._segments}
            return write_files(self.folder, self._meeting, stored.values(), formats)
        except OSError as error:
            raise TranscriptError(
                f"cannot write transcript {self.folder}: {error.strerror}"
            ) from error


def write_files(
    folder: Path,
    meeting: Meeting,
    segments: Iterable[Segment],
    formats: Iterable[TranscriptFormat],
) -> list[Path]:
    """Write a transcript in each of the formats; returns where."""
    ordered = in_order(segments)
    paths = []
    for format_ in formats:
        path = folder / f"transcript.{format_}"
        _write_atomically(path, render(meeting, ordered, format_))
        paths.append(path)
    return paths


def read_transcript(folder: Path) -> tuple[Meeting, list[Segment]]:
    """A transcript from its folder, whether its job ended well or was killed.

    Raises:
        TranscriptError: there is none, or it cannot be read.
    """
    try:
        return _read_meeting(folder), in_order(_read_segments(folder))
    except FileNotFoundError:
        raise TranscriptError(f"no transcript in {folder}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TranscriptError(f"cannot read transcript {folder}: {error}") from error


def _read_meeting(folder: Path) -> Meeting:
    data = json.loads((folder / _MEETING).read_text("utf-8"))
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
    segments = []
    with (folder / _SEGMENTS).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                segments.append(Segment(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return segments


def _meeting_json(meeting: Meeting) -> str:
    data: dict[str, Any] = asdict(meeting)
    data["started_at"] = meeting.started_at.astimezone(UTC).isoformat()
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)
