"""Full text of all transcripts, in an index that can be thrown away.

SQLite's FTS5, in a file of its own in the data folder. What is true is in the transcripts' folders:
before each search the index takes in what has changed there, and lets go of what is gone. A broken
index is made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from .corrections import CORRECTIONS
from .errors import SearchError, TranscriptError
from .rendering import one_line
from .segments import Transcript
from .transcript import read_transcript, transcript_folders

Result = TypeVar("Result")

INDEX = "search.sqlite3"
FOUND_FROM, FOUND_TO = "\x02", "\x03"
"""Around what was found in a snippet. No text in the index has control characters."""

_VERSION = 1
_BUSY_SECONDS = 30.0
_SNIPPET_WORDS = 16
_WATCHED = ("meeting.json", "segments.jsonl", CORRECTIONS)

_SCHEMA = f"""
CREATE TABLE meetings (
    job_id TEXT PRIMARY KEY, state TEXT NOT NULL, tenant TEXT NOT NULL, title TEXT NOT NULL,
    room_name TEXT NOT NULL, started_at TEXT NOT NULL
);
CREATE TABLE lines (
    id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, segment_id TEXT NOT NULL, speaker TEXT NOT NULL,
    name TEXT NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL, at TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX lines_of_job ON lines (job_id);
CREATE VIRTUAL TABLE words USING fts5(
    text, content='lines', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
);
CREATE TRIGGER line_added AFTER INSERT ON lines BEGIN
    INSERT INTO words(rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER line_removed AFTER DELETE ON lines BEGIN
    INSERT INTO words(words, rowid, text) VALUES ('delete', old.id, old.text);
END;
PRAGMA user_version = {_VERSION};
"""

_SEARCH = f"""
SELECT lines.*, meetings.tenant, meetings.title, meetings.room_name,
       meetings.started_at AS meeting_started_at,
       snippet(words, 0, '{FOUND_FROM}', '{FOUND_TO}', '…', {_SNIPPET_WORDS}) AS snippet
FROM words JOIN lines ON lines.id = words.rowid JOIN meetings USING (job_id)
WHERE words MATCH :words
  AND (:tenant IS NULL OR meetings.tenant = :tenant)
  AND (:since IS NULL OR lines.at >= :since)
ORDER BY words.rank, meetings.started_at DESC, lines.start
LIMIT :limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A segment in which all the words were found, as it reads after corrections.

    `start` and `end` are seconds on the meeting's clock, `at` is the start in UTC. Texts are
    without control characters; in `snippet` what was found stands between `FOUND_FROM` and
    `FOUND_TO`.
    """

    job_id: str
    tenant: str
    title: str
    room_name: str
    meeting_started_at: str
    segment_id: str
    speaker: str
    name: str
    start: float
    end: float
    at: str
    text: str
    snippet: str


class SearchIndex:
    """The index of a data folder's transcripts; use it as a context manager.

    Raises:
        SearchError: it cannot be read or written.
    """

    def __init__(self, transcripts: Path) -> None:
        self._transcripts = transcripts
        self._path = transcripts.parent / INDEX
        self._connection = _translated(self._path, lambda: _open(self._path))

    def __enter__(self) -> SearchIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def refresh(self) -> int:
        """Take in what has changed in the transcripts' folders; returns how many meetings have.

        A transcript that cannot be read is not in the index.

        Raises:
            SearchError: the index cannot be written.
        """
        return _translated(self._path, self._refresh)

    def _refresh(self) -> int:
        with _transaction(self._connection) as connection:
            known = dict(connection.execute("SELECT job_id, state FROM meetings"))
            changed = 0
            for folder in transcript_folders(self._transcripts):
                state = _state(folder)
                if known.pop(folder.name, None) == state:
                    continue
                changed += 1
                _remove(connection, folder.name)
                try:
                    _add(connection, folder.name, state, read_transcript(folder))
                except TranscriptError:
                    continue
            for job_id in known:
                _remove(connection, job_id)
            return changed + len(known)

    def search(
        self,
        words: Sequence[str],
        *,
        tenant: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> list[Hit]:
        """The segments that hold all of the words, the best first.

        A word of several words is looked for as they stand. Case and accents make no difference.

        Raises:
            SearchError: the index cannot be read.
        """
        given = {
            "words": " ".join(
                f'"{one_line(word).replace(chr(34), chr(34) * 2)}"' for word in words
            ),
            "tenant": tenant,
            "since": None if since is None else _stamp(since),
            "limit": limit,
        }

        def look() -> list[Hit]:
            with closing(self._connection.execute(_SEARCH, given)) as rows:
                names = [column[0] for column in rows.description]
                found = [dict(zip(names, row, strict=True)) for row in rows]
            return [Hit(**{name: row[name] for name in Hit.__dataclass_fields__}) for row in found]

        return _translated(self._path, look)


def remove_index(transcripts: Path) -> None:
    """Remove the index with all that it holds; the next search makes it anew.

    Raises:
        SearchError: it cannot be removed.
    """
    path = transcripts.parent / INDEX
    try:
        for suffix in ("", "-journal", "-wal", "-shm"):
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        raise SearchError(f"cannot remove index {path}: {error.strerror}") from error


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
    path.unlink()
    return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        with _transaction(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError("an index of another version")
            if not version:
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _statements(script: str) -> Iterator[str]:
    """A script's statements: `executescript` would end the transaction that is open."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _translated(path: Path, work: Callable[[], Result]) -> Result:
    try:
        return work()
    except sqlite3.Error as error:
        raise SearchError(
            f"index {path}: {error}; it can be removed, and is then made anew"
        ) from error
    except OSError as error:
        raise SearchError(f"index {path}: {error.strerror}") from error


def _state(folder: Path) -> str:
    """Another one whenever something of a transcript has changed."""
    marks = []
    for name in _WATCHED:
        try:
            seen = (folder / name).stat()
            marks.append(f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}")
        except FileNotFoundError:
            marks.append("")
    return "/".join(marks)


def _remove(connection: sqlite3.Connection, job_id: str) -> None:
    connection.execute("DELETE FROM lines WHERE job_id = ?", (job_id,))
    connection.execute("DELETE FROM meetings WHERE job_id = ?", (job_id,))


def _add(connection: sqlite3.Connection, job_id: str, state: str, transcript: Transcript) -> None:
    meeting = transcript.meeting
    connection.execute(
        "INSERT INTO meetings VALUES (?, ?, ?, ?, ?, ?)",
        (
            job_id,
            state,
            meeting.tenant,
            one_line(meeting.title),
            one_line(meeting.room_name),
            _stamp(meeting.started_at),
        ),
    )
    connection.executemany(
        'INSERT INTO lines (job_id, segment_id, speaker, name, start, "end", at, text)'
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                job_id,
                one_line(segment.segment_id),
                one_line(segment.speaker),
                one_line(segment.name),
                segment.start,
                segment.end,
                _stamp(meeting.stamp(segment.start)),
                one_line(segment.text),
            )
            for segment in transcript.segments
        ),
    )


def _quoted(word: str) -> str:
    """A word as a string of FTS5's, in which nothing is syntax."""
    return '"{}"'.format(one_line(word).replace('"', '""'))


def _stamp(moment: datetime) -> str:
    """Sorts as text as it does as time."""
    stamp = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
