"""Words put right by hand, kept beside what was heard.

`segments.jsonl` is what the STT has said and is never changed. A correction is a line of its own in
`corrections.jsonl`, with who made it and when; the last one of a segment counts.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from .errors import TranscriptError
from .segments import Corrected, Segment

CORRECTIONS = "corrections.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a segment should read, by whom, and since when, in UTC."""

    segment_id: str
    text: str
    by: str
    at: datetime


def read_corrections(folder: Path) -> list[Correction]:
    """A transcript's corrections, first to last; a line that is torn or not ours is left out.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        lines = (folder / CORRECTIONS).read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [correction for line in lines if (correction := _parse(line))]


def add_correction(folder: Path, correction: Correction) -> None:
    """Append a correction to a transcript's; it is on disk when this returns.

    Raises:
        TranscriptError: it cannot be written.
    """
    line = _line(correction)
    path = folder / CORRECTIONS
    try:
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell():
                # A kill can tear the last line; this one must not be joined to it.
                file.seek(-1, os.SEEK_END)
                line = line if file.read() == b"\n" else b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TranscriptError(f"cannot write {path}: {error.strerror}") from error


def rewrite_corrections(folder: Path, corrections: Iterable[Correction]) -> None:
    """Replace all of a transcript's corrections, or remove the file where there are none.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / CORRECTIONS
    content = b"".join(map(_line, corrections))
    if not content:
        path.unlink(missing_ok=True)
        return
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def apply(
    corrections: Iterable[Correction], segments: Iterable[Segment]
) -> tuple[list[Segment], dict[str, Corrected]]:
    """Segments as they should read, and, by segment id, what they had been."""
    newest = {correction.segment_id: correction for correction in corrections}
    said, corrected = [], {}
    for segment in segments:
        if correction := newest.get(segment.segment_id):
            corrected[segment.segment_id] = Corrected(segment.text, correction.by, correction.at)
            segment = replace(segment, text=correction.text)
        said.append(segment)
    return said, corrected


def _line(correction: Correction) -> bytes:
    data = asdict(correction) | {"at": correction.at.astimezone(UTC).isoformat()}
    return (json.dumps(data, ensure_ascii=False) + "\n").encode(errors="replace")


def _parse(line: str) -> Correction | None:
    try:
        data = json.loads(line)
        return Correction(**data | {"at": datetime.fromisoformat(data["at"])})
    except (ValueError, TypeError, KeyError):
        return None
