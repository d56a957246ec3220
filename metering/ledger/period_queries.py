"""What the ledger has of a month: which jobs, and which of their instances end in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select

from ..errors import UsagePruned
from . import schema
from .store import Ledger
from .writing import ROWS_AT_ONCE


class PeriodJob(NamedTuple):
    """A job with instances that end in a period; hosting and plan are as it was last rated."""

    job_id: str
    tenant: str
    room_name: str
    tags: tuple[str, ...]
    hosting: str
    plan: str


async def jobs_with_usage(
    ledger: Ledger, start: datetime, end: datetime, tenant: str | None = None
) -> list[PeriodJob]:
    """The jobs some of whose instances ended in [start, end), in the order of their ids.

    Which observation of an instance counts is for `job_usage` to say: one that several runs saw can
    end outside after all.

    Raises:
        UsagePruned: the usage of a job that ran then is gone, so that the period cannot be stated.
        LedgerError: the store cannot be read.
    """
    usage, jobs = schema.usage, schema.jobs
    ids = select(usage.c.job_id).where(usage.c.ended_at >= start, usage.c.ended_at < end)
    query = select(jobs).where(jobs.c.job_id.in_(ids.distinct())).order_by(jobs.c.job_id)
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant)

    def read(connection: Connection) -> list[PeriodJob]:
        _refuse_pruned(connection, start, end, tenant)
        found = connection.execute(query).mappings().all()
        rated = _newest_ratings(connection, [job["job_id"] for job in found])
        return [
            PeriodJob(
                job["job_id"],
                job["tenant"],
                job["room_name"],
                tuple(job["tags"]),
                *rated.get(job["job_id"], (job["hosting"], job["plan"])),
            )
            for job in found
        ]

    return await ledger.read(read)


async def first_ended(ledger: Ledger, tenant: str | None = None) -> datetime | None:
    """When the first instance of all that the ledger has ended; None where it has none.

    Raises:
        LedgerError: the store cannot be read.
    """
    usage, jobs = schema.usage, schema.jobs
    query = select(func.min(usage.c.ended_at))
    if tenant is not None:
        query = query.join(jobs, jobs.c.job_id == usage.c.job_id).where(jobs.c.tenant == tenant)
    found: datetime | None = await ledger.read(lambda connection: connection.scalar(query))
    return found


def _newest_ratings(connection: Connection, job_ids: list[str]) -> dict[str, tuple[str, str]]:
    ratings = schema.ratings
    newest: dict[str, tuple[str, str]] = {}
    for some in _batches(job_ids):
        last = (
            select(ratings.c.job_id, func.max(ratings.c.revision).label("revision"))
            .where(ratings.c.job_id.in_(some))
            .group_by(ratings.c.job_id)
            .subquery()
        )
        query = select(ratings.c.job_id, ratings.c.hosting, ratings.c.plan).join(
            last,
            and_(ratings.c.job_id == last.c.job_id, ratings.c.revision == last.c.revision),
        )
        newest |= {row.job_id: (row.hosting, row.plan) for row in connection.execute(query)}
    return newest


def _batches(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + ROWS_AT_ONCE] for start in range(0, len(ids), ROWS_AT_ONCE))


def _refuse_pruned(
    connection: Connection, start: datetime, end: datetime, tenant: str | None
) -> None:
    prunings, runs, jobs = schema.prunings, schema.runs, schema.jobs
    query = (
        select(prunings.c.job_id)
        .join(runs, runs.c.job_id == prunings.c.job_id)
        .join(jobs, jobs.c.job_id == prunings.c.job_id)
        .where(runs.c.started_at < end, runs.c.ended_at >= start)
        .distinct()
    )
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant)
    pruned = list(connection.scalars(query.order_by(prunings.c.job_id)))
    if pruned:
        others = f" and {len(pruned) - 1} more" if len(pruned) > 1 else ""
        raise UsagePruned(
            f"the usage of {pruned[0]}{others} in this period was pruned, so that no statement of"
            " it can be made; restore a backup from before"
        )
