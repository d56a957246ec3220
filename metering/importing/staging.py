"""Where checked rows wait until the last is checked, and a job's are put together: on disk.

A file's rows can be in any order, more than fit in memory, and from a pipe that cannot be read a
second time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from ..errors import MeteringError
from ..ledger.adding import NewJob
from ..run import AnyRun, RunInfo, Status
from ..usage import Usage
from .fields import Row
from .problems import Fault, RowRefused

_SCHEMA = """
CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY, said TEXT NOT NULL, line INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE rows (
    job_id TEXT NOT NULL, instance_id TEXT NOT NULL, meter TEXT NOT NULL, line INTEGER NOT NULL,
    started_at TEXT NOT NULL, ended_at TEXT NOT NULL, participant TEXT, usage TEXT NOT NULL,
    PRIMARY KEY (job_id, instance_id, meter)
) WITHOUT ROWID;
CREATE TABLE unnamed (content BLOB PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
"""


class StagedUsages(Iterable[Usage]):
    """A job's instances, read anew each time."""

    def __init__(self, connection: sqlite3.Connection, job_id: str) -> None:
        self._connection = connection
        self._job_id = job_id

    @override
    def __iter__(self) -> Iterator[Usage]:
        for text in self.texts():
            yield Usage.from_json(json.loads(text))

    def texts(self) -> Iterator[str]:
        """The same as JSON: equal instances, equal text."""
        query = "SELECT usage FROM rows WHERE job_id = ? ORDER BY instance_id, meter"
        with closing(self._connection.execute(query, [self._job_id])) as found:
            for (text,) in found:
                yield text


class Staging:
    """The rows of one file; use it as a context manager.

    Args:
        folder: an empty one, for as long as it is used.

    While it is used:

    Raises:
        MeteringError: the disk is full, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rows = 0
        """How many instances there are."""
        self.repeated = 0
        """How many rows said again what an earlier one had said."""
        self._job: tuple[str, Mapping[str, Any] | None] = "", None

    def __enter__(self) -> Self:
        self._connection = sqlite3.connect(self._folder / "rows.sqlite3", isolation_level=None)
        # Nobody needs it after a crash.
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise MeteringError(
                f"rows cannot be kept in {self._folder.parent} until all are checked ({error});"
                " make room there, or set TMPDIR"
            ) from error

    def add(self, line: int, row: Row) -> None:
        """Keep a row.

        Raises:
            RowRefused: it contradicts an earlier one.
        """
        usage = row.usage
        data = usage.to_json()
        instance_id = usage.instance_id
        if not instance_id:
            instance_id = data["instance_id"] = self._made_up_instance(row.job_id, data)
        self._agree(line, row)
        text = json.dumps(data, sort_keys=True)
        values = (
            row.job_id,
            instance_id,
            usage.meter,
            line,
            data["started_at"],
            data["ended_at"],
            usage.participant,
            text,
        )
        added = self._connection.execute(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values
        )
        if added.rowcount:
            self.rows += 1
            return
        earlier, before = self._connection.execute(
            "SELECT line, usage FROM rows WHERE job_id = ? AND instance_id = ? AND meter = ?",
            values[:3],
        ).fetchone()
        if before == text:
            self.repeated += 1
            return
        known = json.loads(before)
        raise RowRefused(
            *(
                Fault(name, data[name], f"on line {earlier} this instance has {known[name]!r}")
                for name in data
                if data[name] != known[name]
            )
        )

    def _made_up_instance(self, job_id: str, data: Mapping[str, Any]) -> str:
        """Of rows that say the same and name no instance each is one, in any file the same ones."""
        content = hashlib.sha256(json.dumps([job_id, data], sort_keys=True).encode()).digest()
        (seen,) = self._connection.execute(
            "INSERT INTO unnamed VALUES (?, 1)"
            " ON CONFLICT DO UPDATE SET seen = seen + 1 RETURNING seen",
            [content],
        ).fetchone()
        return f"import/{content.hex()[:32]}/{seen}"

    def _agree(self, line: int, row: Row) -> None:
        """Hold what a row says of its job against what others have said, and add what is new."""
        job_id, said = self._job
        if job_id != row.job_id:
            found = self._connection.execute(
                "SELECT said FROM jobs WHERE job_id = ?", [row.job_id]
            ).fetchone()
            said = None if found is None else json.loads(found[0])
        if said is None:
            said = dict(row.said)
            self._connection.execute(
                "INSERT INTO jobs VALUES (?, ?, ?)", [row.job_id, json.dumps(said), line]
            )
        elif any(said.get(name) != value for name, value in row.said.items()):
            faults = [
                Fault(name, value, f"another row of job {row.job_id!r} has {said[name]!r}")
                for name, value in row.said.items()
                if name in said and said[name] != value
            ]
            if faults:
                raise RowRefused(*faults)
            said = dict(said) | dict(row.said)
            self._connection.execute(
                "UPDATE jobs SET said = ? WHERE job_id = ?", [json.dumps(said), row.job_id]
            )
        self._job = row.job_id, said

    def jobs(
        self, defaults: Mapping[str, str], complete: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Iterator[NewJob]:
        """Each job with all of its rows, in the order of their ids.

        Args:
            defaults: what is said of a job of which its rows do not say it.
            complete: gives a job's fields, from what is said of it.
        """
        found = self._connection.execute("SELECT job_id, said, line FROM jobs ORDER BY job_id")
        with closing(found):
            for job_id, text, line in found:
                said = dict(defaults) | json.loads(text)
                yield NewJob(self._run(job_id, said, complete(said)), said, line)

    def _run(self, job_id: str, said: Mapping[str, Any], fields: dict[str, Any]) -> AnyRun:
        usages = StagedUsages(self._connection, job_id)
        began, ended = self._connection.execute(
            "SELECT min(started_at), max(ended_at) FROM rows WHERE job_id = ?", [job_id]
        ).fetchone()
        people = self._connection.execute(
            "SELECT DISTINCT participant FROM rows WHERE job_id = ? AND participant != ''", [job_id]
        )
        # By what it says, so that the same rows are the same run, in whatever file and order.
        content = hashlib.sha256(json.dumps([job_id, dict(said)], sort_keys=True).encode())
        for text in usages.texts():
            content.update(b"\n" + text.encode())
        info = RunInfo(
            run_id=f"import_{content.hexdigest()[:32]}",
            job_id=job_id,
            started_at=datetime.fromisoformat(began),
            **fields,
        )
        return AnyRun(
            info=info,
            status=Status.COMPLETE,
            ended_at=datetime.fromisoformat(ended),
            usages=usages,
            participants=frozenset(identity for (identity,) in people),
        )
