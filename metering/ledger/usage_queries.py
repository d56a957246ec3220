"""What a job has to pay for: the instances that it has claimed, by their best observations.

Several runs of a job can have seen the same instance, and so can another job, which then has not
claimed it. What is rated, stated and shown is decided here, once.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, RowMapping, Select, and_, bindparam, func, select

from ..errors import JobNotFound
from ..record import RecordUsage
from ..usage import Certainty, Usage
from . import schema
from .store import Ledger
from .writing import ROWS_AT_ONCE

_MOST_CERTAIN_FIRST = (
    Certainty.EXACT,
    Certainty.BOUNDED,
    Certainty.PARTIAL,
    Certainty.ESTIMATED,
)

# To build a statement takes as long as to run it, and each job that ends runs these.
_OF_JOBS: BindParameter[Any] = bindparam("of_jobs", expanding=True)


def _claimed() -> Select[Any]:
    usage, claims = schema.usage, schema.claims
    its_claim = and_(
        usage.c.instance_id == claims.c.instance_id,
        usage.c.meter == claims.c.meter,
        usage.c.job_id == claims.c.job_id,
    )
    return select(usage).join(claims, its_claim).where(usage.c.job_id.in_(_OF_JOBS))


_CLAIMED = _claimed().order_by(
    schema.usage.c.job_id,
    schema.usage.c.started_at,
    schema.usage.c.meter,
    schema.usage.c.instance_id,
    schema.usage.c.run_id,
)
_CLAIMED_BY_INSTANCE = _claimed().order_by(schema.usage.c.job_id, schema.usage.c.instance_id)
_JOBS = select(schema.jobs).where(schema.jobs.c.job_id.in_(_OF_JOBS))
_RUNS = (
    select(schema.runs)
    .where(schema.runs.c.job_id.in_(_OF_JOBS))
    .order_by(schema.runs.c.started_at, schema.runs.c.run_id)
)
_NEWEST = (
    select(schema.ratings.c.job_id, func.max(schema.ratings.c.revision).label("revision"))
    .where(schema.ratings.c.job_id.in_(_OF_JOBS))
    .group_by(schema.ratings.c.job_id)
    .subquery()
)
_NEWEST_RATINGS = select(schema.ratings).join(
    _NEWEST,
    and_(
        schema.ratings.c.job_id == _NEWEST.c.job_id,
        schema.ratings.c.revision == _NEWEST.c.revision,
    ),
)
_NEWEST_CHARGES = (
    select(schema.charges)
    .join(
        _NEWEST,
        and_(
            schema.charges.c.job_id == _NEWEST.c.job_id,
            schema.charges.c.revision == _NEWEST.c.revision,
        ),
    )
    .order_by(schema.charges.c.job_id, schema.charges.c.position)
)


_JOBS_AT_ONCE = 200


class ToRate(NamedTuple):
    """What a job is rated by, apart from its usage, and which runs that usage is of."""

    job_id: str
    hosting: str
    plan: str
    run_ids: list[str]


async def job_usage(ledger: Ledger, job_id: str) -> list[Usage]:
    """What a job has to pay for: each instance that it has claimed, by its best observation.

    Participants are pseudonyms. An instance that several of the job's runs have seen is taken from
    whichever saw it most certainly, then for longest.
    """
    return await ledger.read(
        lambda connection: [to_usage(row) for row in claimed_usage(connection, job_id)]
    )


async def each_job_usage(
    ledger: Ledger, job_ids: Sequence[str], take: Callable[[str, list[Usage]], object]
) -> None:
    """Hand over what `job_usage` returns of each job that has any, one job at a time.

    Raises:
        LedgerError: the store cannot be read.
    """

    def read(connection: Connection, some: Sequence[str]) -> None:
        streaming = connection.execution_options(yield_per=ROWS_AT_ONCE)
        rows = streaming.execute(_CLAIMED, {"of_jobs": some}).mappings()
        for job_id, its_rows in groupby(rows, key=lambda row: str(row["job_id"])):
            take(job_id, [to_usage(row) for row in _best(its_rows)])

    for start in range(0, len(job_ids), _JOBS_AT_ONCE):
        some = job_ids[start : start + _JOBS_AT_ONCE]
        await ledger.read(functools.partial(read, some=some))


async def read_to_rate(
    ledger: Ledger,
    job_ids: Sequence[str],
    begin: Callable[[ToRate], Callable[[list[Usage]], object]],
) -> list[ToRate]:
    """Hand over what `job_usage` returns of each job, some instances at a time, each of them whole.

    However many a job has, no more than a batch of them is in memory. `begin` is called for each
    job, and what it returns with each batch of that job's, while the store is being read.

    Raises:
        JobNotFound: the store has no such job.
        LedgerError: the store cannot be read.
    """

    def read(connection: Connection) -> list[ToRate]:
        found = _to_rate(connection, ledger.location, job_ids)
        takers = {job.job_id: begin(job) for job in found}
        streaming = connection.execution_options(yield_per=ROWS_AT_ONCE)
        rows = streaming.execute(_CLAIMED_BY_INSTANCE, {"of_jobs": job_ids}).mappings()
        waiting: list[RowMapping] = []
        for more in rows.partitions():
            waiting += more
            # Of the last instance more may be to come.
            last = _instance(waiting[-1])
            whole = [row for row in waiting if _instance(row) != last]
            waiting = waiting[len(whole) :]
            _hand_over(whole, takers)
        _hand_over(waiting, takers)
        return found

    return await ledger.read(read)


def _to_rate(connection: Connection, location: str, job_ids: Sequence[str]) -> list[ToRate]:
    jobs = find_jobs(connection, location, job_ids)
    ratings = newest_ratings(connection, job_ids)
    runs = runs_of(connection, job_ids)
    found = []
    for job_id in job_ids:
        rated = ratings.get(job_id, jobs[job_id])
        run_ids = [run["run_id"] for run in runs[job_id]]
        found.append(ToRate(job_id, rated["hosting"], rated["plan"], run_ids))
    return found


def _instance(row: RowMapping) -> tuple[str, str]:
    return row["job_id"], row["instance_id"]


def _hand_over(rows: list[RowMapping], takers: dict[str, Callable[[list[Usage]], object]]) -> None:
    for job_id, its_rows in groupby(rows, key=lambda row: str(row["job_id"])):
        takers[job_id]([to_usage(row) for row in _best(its_rows)])


def find_jobs(
    connection: Connection, location: str, job_ids: Iterable[str]
) -> dict[str, RowMapping]:
    """The rows of some jobs.

    Raises:
        JobNotFound: the store, which is at `location`, does not have one of them.
    """
    rows = connection.execute(_JOBS, {"of_jobs": list(job_ids)}).mappings()
    found = {row["job_id"]: row for row in rows}
    for job_id in job_ids:
        if job_id not in found:
            raise JobNotFound(f"no job {job_id!r} in {location}; see `tallyroom jobs`")
    return found


def runs_of(connection: Connection, job_ids: Iterable[str]) -> dict[str, list[RowMapping]]:
    """The rows of jobs' runs, oldest first."""
    rows = connection.execute(_RUNS, {"of_jobs": list(job_ids)}).mappings()
    return _grouped(rows)


def newest_ratings(connection: Connection, job_ids: Iterable[str]) -> dict[str, RowMapping]:
    """The current rating of each job that has one."""
    rows = connection.execute(_NEWEST_RATINGS, {"of_jobs": list(job_ids)}).mappings()
    return {row["job_id"]: row for row in rows}


def newest_charges(connection: Connection, job_ids: Iterable[str]) -> dict[str, list[RowMapping]]:
    """The rows of the charges of jobs' current ratings, in their order."""
    rows = connection.execute(_NEWEST_CHARGES, {"of_jobs": list(job_ids)}).mappings()
    return _grouped(rows)


def claimed_usage(connection: Connection, job_id: str) -> list[RowMapping]:
    """The rows of what a job has to pay for, in the order in which it began."""
    return _best(connection.execute(_CLAIMED, {"of_jobs": [job_id]}).mappings())


def to_usage(row: RowMapping) -> Usage:
    """A row as what was measured."""
    values = {name: row[name] for name in USAGE_FIELDS}
    return Usage(**values | {"certainty": Certainty(row["certainty"])})


USAGE_FIELDS = tuple(RecordUsage.model_fields)
"""The columns that are a usage's own."""


def _best(rows: Iterable[RowMapping]) -> list[RowMapping]:
    best: dict[tuple[str, str], RowMapping] = {}
    for row in rows:
        key = row["instance_id"], row["meter"]
        if key not in best or _preference(row) < _preference(best[key]):
            best[key] = row
    return list(best.values())


def _preference(row: RowMapping) -> tuple[Any, ...]:
    return (
        _MOST_CERTAIN_FIRST.index(Certainty(row["certainty"])),
        -row["quantity"],
        row["run_id"],
    )


def _grouped(rows: Iterable[RowMapping]) -> dict[str, list[RowMapping]]:
    grouped: dict[str, list[RowMapping]] = defaultdict(list)
    for row in rows:
        grouped[row["job_id"]].append(row)
    return grouped
