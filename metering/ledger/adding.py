"""A file's jobs into the ledger: all of them in one transaction, a few at a time in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from ..run import AnyRun
from ..usage import format_stamp
from . import schema
from .database import wait_in_line
from .writing import add_runs, measured_by, next_rows

JOBS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job of the file: its rows as a run, and what they say of it.

    `said` must be true of the job where the store has it already; `line` is that of its first row.
    """

    run: AnyRun
    said: Mapping[str, Any]
    line: int


@dataclass(frozen=True, slots=True)
class Clash:
    """A job that the store has otherwise than the file."""

    job: NewJob
    field: str
    why: str


@dataclass(slots=True)
class Added:
    """What became of a file's jobs.

    `new_instances` counts those that nobody had reported before. Where there are `clashes` nothing
    should be kept.
    """

    grown: set[str] = field(default_factory=set)
    new_instances: int = 0
    clashes: list[Clash] = field(default_factory=list)


def add_jobs(connection: Connection, jobs: Iterable[NewJob]) -> Added:
    """Store a file's jobs; they must be rated afterwards.

    Not each job's line is waited in, but one for all: a
    database keeps a lock for each, and a file has more jobs than it has room for.
    """
    wait_in_line(connection, "import")
    added = Added()
    waiting = iter(jobs)
    while some := list(itertools.islice(waiting, JOBS_AT_ONCE)):
        _add(connection, some, added)
    return added


def _add(connection: Connection, some: Sequence[NewJob], added: Added) -> None:
    job_ids = [job.run.info.job_id for job in some]
    stored = _stored(connection, job_ids)
    pruned = _pruned(connection, job_ids)
    claimed = _claimed(connection, job_ids)
    runs = [job.run for job in some]
    more = measured_by(runs)
    new = add_runs(connection, runs, next_rows(more), more)
    added.new_instances += _claimed(connection, job_ids) - claimed
    for job in some:
        job_id = job.run.info.job_id
        if job.run.info.run_id in new:
            added.grown.add(job_id)
            if job_id in pruned:
                why = f"its usage was pruned at {pruned[job_id]}, so nothing can be added to it"
                added.clashes.append(Clash(job, "job_id", why))
        for name, value in job.said.items():
            if job_id in stored and stored[job_id][name] != value:
                why = f"the ledger has job {job_id!r} with {stored[job_id][name]!r}"
                added.clashes.append(Clash(job, name, why))


def _stored(connection: Connection, job_ids: Sequence[str]) -> dict[str, RowMapping]:
    query = select(schema.jobs).where(schema.jobs.c.job_id.in_(job_ids))
    return {row["job_id"]: row for row in connection.execute(query).mappings()}


def _pruned(connection: Connection, job_ids: Sequence[str]) -> dict[str, str]:
    prunings = schema.prunings.c
    query = select(prunings.job_id, prunings.pruned_at).where(prunings.job_id.in_(job_ids))
    return {row.job_id: format_stamp(row.pruned_at) for row in connection.execute(query)}


def _claimed(connection: Connection, job_ids: Sequence[str]) -> int:
    claims = schema.claims
    query = select(func.count()).select_from(claims).where(claims.c.job_id.in_(job_ids))
    return connection.scalar(query) or 0
