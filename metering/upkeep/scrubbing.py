"""Names and words taken out of texts, JSON and journals; what was measured stays.

Names in what people have written are replaced wherever they stand as words of their own, in any
case. Of a name of several words each one is replaced, too, where the person took part; there only
as it is written, for some are words as well. An identity as a value of its own is replaced as a
whole.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import JournalError
from ..journal import Entry, EntryLines, encode

FORGOTTEN = "forgotten"
"""What stands where an identity stood."""
REMOVED = "[forgotten]"
"""What stands in a text where a name stood."""

_OF_A_JOB = ("title", "room_name", "tags", "error", "notes")
"""What names a job or tells of it, in whatever belongs to one."""
_SHORTEST_PART = 3
_MADE = ("notes",)
"""What is made of everybody's words together, and cannot be cleaned of one person's."""


class Scrub:
    """What is to be forgotten: whole jobs, and names and identities wherever they stand.

    `their_jobs` are those that the named were in: of these nothing is told that has been made of
    everybody's words.
    """

    def __init__(
        self,
        job_ids: Iterable[str] = (),
        names: Iterable[str] = (),
        their_jobs: Iterable[str] = (),
    ) -> None:
        self.job_ids = frozenset(job_ids)
        self.their_jobs = frozenset(their_jobs)
        self.names = frozenset(name for name in names if name.strip())
        self._pattern = _pattern(self.names, re.IGNORECASE)
        self._parts = _pattern(_parts(self.names))

    def text(self, text: str, job_id: str = "") -> str:
        """A text without the names; `job_id` is whose text it is."""
        if self._pattern:
            text = self._pattern.sub(REMOVED, text)
        if self._parts and job_id in self.their_jobs:
            text = self._parts.sub(REMOVED, text)
        return text

    def identified_in(self, data: bytes) -> bool:
        """Whether any of the names is a value of its own in JSON lines."""
        return any(b'"%b"' % _in_json(name) in data for name in self.names)

    def named_in(self, data: bytes) -> bool:
        """Whether any of the names stands anywhere in a file, as text or as JSON has it."""
        return any(
            form in data
            for name in self.names
            for form in (name.encode(errors="replace"), _in_json(name))
        )

    def value(self, value: Any) -> Any:
        """JSON values without the names, and without what tells of the jobs."""
        if isinstance(value, str):
            return FORGOTTEN if value in self.names else self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            if value.get("job_id") in self.job_ids:
                value = {name: _blank(name, item) for name, item in value.items()}
            elif value.get("job_id") in self.their_jobs:
                value = {name: _blank(name, item, _MADE) for name, item in value.items()}
            # A key can be a name, too, where something is counted by person.
            return {self.value(name): self.value(item) for name, item in value.items()}
        return value

    def journal(self, path: Path) -> bool:
        """Rewrite a journal that nobody writes; returns whether it has changed.

        Of a job to be forgotten everybody is. A line that cannot be read is left out where the
        journal has changed.

        Raises:
            JournalError: it cannot be read or written.
        """
        try:
            with path.open("rb") as file:
                lines = EntryLines(file)
                entries = iter(lines)
                before = list(itertools.islice(entries, 1))
                head = before[0].get("run") if before else None
                job_id = str(head.get("job_id", "")) if isinstance(head, dict) else ""
                # A job's journal is known by its head; a person can be anywhere in one.
                if not self.names and job_id not in self.job_ids:
                    return False
                before += entries
            after = [self._entry(entry, job_id) for entry in before]
            if after == before and not (lines.damaged and self.named_in(path.read_bytes())):
                return False
            content = b"".join(encode(entry) for entry in after)
            part = path.with_name(f".{path.name}.part")
            with part.open("wb") as file:
                part.chmod(0o600)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise JournalError(f"cannot rewrite journal {path}: {error.strerror}") from error
        return True

    def _entry(self, entry: Entry, job_id: str) -> Entry:
        """A journal's entry without those who are to be forgotten."""
        is_of_job = job_id in self.job_ids
        changed = dict(entry)
        kind = entry.get("kind")
        if kind == "person":
            if is_of_job or entry.get("identity") in self.names or entry.get("name") in self.names:
                changed |= {"identity": FORGOTTEN, "name": ""}
            return changed
        if isinstance(run := entry.get("run"), dict):
            changed["run"] = self._told(run, job_id)
        if isinstance(used := entry.get("usage"), dict):
            changed["usage"] = dict(used)
            if used.get("participant") and (is_of_job or used["participant"] in self.names):
                changed["usage"]["participant"] = FORGOTTEN
        if kind in ("describe", "end"):
            changed = self._told(changed, job_id)
        return changed

    def _told(self, data: dict[str, Any], job_id: str) -> dict[str, Any]:
        """What an entry tells of its job."""
        told = {name: data[name] for name in _OF_A_JOB if name in data}
        return data | {
            name: _blank(name, value) if job_id in self.job_ids else self._said(value, job_id)
            for name, value in told.items()
        }

    def _said(self, value: Any, job_id: str) -> Any:
        if isinstance(value, list):
            return [self._said(item, job_id) for item in value]
        return self.text(value, job_id) if isinstance(value, str) else value


def _blank(name: str, value: Any, blanked: Iterable[str] = _OF_A_JOB) -> Any:
    if name not in blanked:
        return value
    return [] if isinstance(value, list) else "" if isinstance(value, str) else None


def _in_json(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()


def _parts(names: Iterable[str]) -> set[str]:
    """The words of names that have several; initials are everybody's."""
    of_several = (words for name in names if len(words := name.split()) > 1)
    return {word for words in of_several for word in words if len(word) >= _SHORTEST_PART}


def _pattern(names: Iterable[str], flags: int = 0) -> re.Pattern[str] | None:
    # The longest first: of two that begin alike the whole one is meant.
    listed = sorted(names, key=lambda name: (-len(name), name))
    if not listed:
        return None
    any_of = "|".join(re.escape(name) for name in listed)
    # An identity that is the beginning of another's (bob, bob-2, bob@example.org) is not meant.
    return re.compile(rf"(?<![\w@+-])(?:{any_of})(?![\w@+-]|\.\w)", flags)
