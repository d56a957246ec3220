"""A transcript as a text to correct in an editor, and what was changed in it.

A line for each segment; only what follows its last bar is anybody's to change. The id at its
beginning says which segment it is, so that a line that was moved or removed changes nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import TranscriptError
from .rendering import clock, one_line, speaker_label
from .segments import Segment

_BAR = " | "
_HEAD = """\
# Correct what follows the last bar of a line, and save. The originals are kept.
# A line that is removed changes nothing.
"""


def editable(segments: Sequence[Segment]) -> str:
    """The text to be edited."""
    return _HEAD + "".join(f"{_prefix(segment)}{one_line(segment.text)}\n" for segment in segments)


def edit(text: str, folder: Path) -> str:
    """What somebody makes of a text in the editor of `VISUAL` or `EDITOR`; blocks meanwhile.

    The text lies in a file of its own inside `folder`, readable by its owner only, until then.

    Raises:
        TranscriptError: the editor cannot be run, or says that it has failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        with tempfile.TemporaryDirectory(prefix=".edit.", dir=folder) as private:
            path = Path(private) / "transcript.txt"
            path.write_text(text, "utf-8", errors="replace")
            subprocess.run([*shlex.split(editor), str(path)], check=True)
            return path.read_text("utf-8", errors="replace")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise TranscriptError(f"cannot edit with EDITOR={editor!r}: {error}") from error


def changes(segments: Sequence[Segment], edited: str) -> dict[str, str]:
    """What the edited text says otherwise, by segment id.

    Raises:
        TranscriptError: a line that belongs to no segment, such as one that was broken in two.
    """
    prefixes = {_prefix(segment).rstrip(): segment for segment in segments}
    found = {}
    for number, line in enumerate(edited.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        *start, text = line.split("|", 3)
        segment = prefixes.get("|".join([*start, ""]))
        if segment is None:
            raise TranscriptError(
                f"line {number} of the edited text belongs to no segment: nothing was changed"
            )
        text = one_line(text)
        if text != one_line(segment.text):
            found[segment.segment_id] = text
    return found


def _prefix(segment: Segment) -> str:
    label = speaker_label(segment).replace("|", "/")
    segment_id = one_line(segment.segment_id).replace("|", "/")
    return f"{segment_id}{_BAR}{clock(segment.start)}{_BAR}{label}{_BAR}"
