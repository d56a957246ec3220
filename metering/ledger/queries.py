"""What the ledger is asked about jobs, runs and journals; nothing here writes.

The command line, statements and exports all read through these modules, so that they cannot
disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    exists,
    func,
    or_,
    select,
)

from ..record import (
    CostRecord,
    JobSummary,
    RecordCharge,
    RecordUsage,
    list_unrated,
    sum_priced,
)
from ..run import Status
from ..savings import savings
from . import schema
from .store import Ledger
from .usage_queries import (
    USAGE_FIELDS,
    claimed_usage,
    find_jobs,
    newest_charges,
    newest_ratings,
    runs_of,
)
from .writing import ROWS_AT_ONCE

_WORST_FIRST = (Status.FAILED, Status.RECOVERED, Status.RUNNING, Status.COMPLETE, Status.DECLINED)

_JOBS_AT_ONCE = 200


async def cost_record(ledger: Ledger, job_id: str) -> CostRecord:
    """The newest cost record of a job, people by the identities they went by.

    Raises:
        JobNotFound: the store has no such job.
        LedgerError: the store cannot be read.
    """

    def read(connection: Connection) -> CostRecord:
        (record,) = _cost_records(connection, ledger.location, [job_id])
        rows = claimed_usage(connection, job_id)
        identities = _identities(connection, rows)
        return record.model_copy(
            update={"usage": [_to_record_usage(row, identities) for row in rows]}
        )

    return await ledger.read(read)


async def cost_records(ledger: Ledger, job_ids: Sequence[str]) -> list[CostRecord]:
    """The newest cost records of some jobs, without their usage: a job can have very much of it.

    Raises:
        JobNotFound: the store has no such job.
        LedgerError: the store cannot be read.
    """
    return await ledger.read(lambda connection: _cost_records(connection, ledger.location, job_ids))


def _cost_records(
    connection: Connection, location: str, job_ids: Sequence[str]
) -> list[CostRecord]:
    jobs = find_jobs(connection, location, job_ids)
    runs = runs_of(connection, job_ids)
    ratings = newest_ratings(connection, job_ids)
    charges = newest_charges(connection, job_ids)
    return [
        _cost_record(jobs[job_id], runs[job_id], ratings.get(job_id), charges[job_id])
        for job_id in job_ids
    ]


def _cost_record(
    job: RowMapping,
    runs: Sequence[RowMapping],
    rating: RowMapping | None,
    charge_rows: Iterable[RowMapping],
) -> CostRecord:
    charges = [RecordCharge.model_validate(dict(row)) for row in charge_rows]
    list_cost, currency = sum_priced(charges)
    return CostRecord(
        **{name: job[name] for name in _JOB_FIELDS},
        revision=rating["revision"] if rating else 0,
        run_ids=[run["run_id"] for run in runs],
        hosting=rating["hosting"] if rating else job["hosting"],
        plan=rating["plan"] if rating else job["plan"],
        usage=[],
        charges=charges,
        list_cost=list_cost,
        currency=currency,
        unrated=list_unrated(charges),
        savings=savings(charges),
        rate_card=rating["rate_card"] if rating else "",
        **_standing(runs),
    )


_JOB_FIELDS = (
    "job_id",
    "dispatch_id",
    "room_name",
    "room_sid",
    "agent_name",
    "tenant",
    "title",
    "tags",
)


async def list_jobs(
    ledger: Ledger,
    *,
    tenant: str | None = None,
    status: Status | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> list[JobSummary]:
    """The newest jobs first.

    Raises:
        LedgerError: the store cannot be read.
    """
    jobs = schema.jobs
    query = select(jobs).order_by(jobs.c.started_at.desc(), jobs.c.job_id)
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant)
    if since is not None:
        query = query.where(jobs.c.started_at >= since)

    def read(connection: Connection) -> list[JobSummary]:
        summaries: list[JobSummary] = []
        # A job's status is that of its runs, so jobs are looked through until enough stand so.
        page = query.limit(_JOBS_AT_ONCE)
        while True:
            found = connection.execute(page).mappings().all()
            ids = [job["job_id"] for job in found]
            runs = runs_of(connection, ids)
            charges = newest_charges(connection, ids)
            looked_at = [
                _summary(job, runs[job["job_id"]], charges[job["job_id"]]) for job in found
            ]
            summaries += [summary for summary in looked_at if status in (None, summary.status)]
            if len(summaries) >= limit or len(found) < _JOBS_AT_ONCE:
                return summaries[:limit]
            last = found[-1]["started_at"], found[-1]["job_id"]
            page = query.where(_listed_after(*last)).limit(_JOBS_AT_ONCE)

    return await ledger.read(read)


def _listed_after(started_at: datetime, job_id: str) -> ColumnElement[bool]:
    """Where a page goes on: counting off those before it would take longer with every page."""
    jobs = schema.jobs
    tied = and_(jobs.c.started_at == started_at, jobs.c.job_id > job_id)
    return and_(jobs.c.started_at <= started_at, or_(jobs.c.started_at < started_at, tied))


async def job_ids(ledger: Ledger) -> list[str]:
    """Every job in the store, oldest first.

    Raises:
        LedgerError: the store cannot be read.
    """
    jobs = schema.jobs
    query = select(jobs.c.job_id).order_by(jobs.c.started_at)
    return await ledger.read(lambda connection: list(connection.scalars(query)))


async def run_quantities(ledger: Ledger, run_id: str) -> dict[tuple[str, str], Decimal]:
    """What a run has stored: the quantity of each instance and meter.

    Raises:
        LedgerError: the store cannot be read.
    """
    usage = schema.usage
    query = select(usage).where(usage.c.run_id == run_id)
    return await ledger.read(
        lambda connection: {
            (row.instance_id, row.meter): row.quantity for row in connection.execute(query)
        }
    )


async def shipped_length(ledger: Ledger, run_id: str) -> int:
    """How many bytes of a living run's journal are in the store.

    Raises:
        LedgerError: the store cannot be read.
    """
    parts = schema.journal_parts
    query = select(func.max(parts.c.start + parts.c.length)).where(parts.c.run_id == run_id)
    return await ledger.read(lambda connection: connection.scalar(query)) or 0


async def lost_runs(ledger: Ledger, before: datetime) -> list[str]:
    """Runs of whose journal nothing has come since `before`, and which have not been settled.

    Raises:
        LedgerError: the store cannot be read.
    """
    parts = schema.journal_parts
    query = (
        select(parts.c.run_id)
        .group_by(parts.c.run_id)
        .having(func.max(parts.c.shipped_at) < before)
        .order_by(parts.c.run_id)
    )
    return await ledger.read(lambda connection: list(connection.scalars(query)))


async def shipped_journal(ledger: Ledger, run_id: str) -> bytes:
    """What the store has of a living run's journal.

    Raises:
        LedgerError: the store cannot be read.
    """
    parts = schema.journal_parts
    query = select(parts.c.content).where(parts.c.run_id == run_id).order_by(parts.c.start)
    return await ledger.read(lambda connection: "".join(connection.scalars(query)).encode())


async def unclaimed(ledger: Ledger) -> list[tuple[str, str]]:
    """Instances and meters that are stored and in no job's record.

    Raises:
        LedgerError: the store cannot be read.
    """
    usage, claims = schema.usage, schema.claims
    seen_by_payer = select(usage.c.job_id).where(
        usage.c.instance_id == claims.c.instance_id,
        usage.c.meter == claims.c.meter,
        usage.c.job_id == claims.c.job_id,
    )
    has_payer = select(claims.c.job_id).where(
        claims.c.instance_id == usage.c.instance_id,
        claims.c.meter == usage.c.meter,
        exists(seen_by_payer),
    )
    query = select(usage.c.instance_id, usage.c.meter).where(~exists(has_payer)).distinct()
    return await ledger.read(
        lambda connection: [(row.instance_id, row.meter) for row in connection.execute(query)]
    )


def _summary(
    job: RowMapping, runs: Sequence[RowMapping], charge_rows: Iterable[RowMapping]
) -> JobSummary:
    charges = [RecordCharge.model_validate(dict(row)) for row in charge_rows]
    list_cost, currency = sum_priced(charges)
    return JobSummary(
        **{
            name: job[name]
            for name in ("job_id", "tenant", "title", "room_name", "hosting", "plan")
        },
        list_cost=list_cost,
        currency=currency,
        unrated=sum(charge.state == "unrated" for charge in charges),
        **_standing(runs),
    )


def _standing(runs: Sequence[RowMapping]) -> dict[str, Any]:
    """Status, error and times of a job, from all of its runs."""
    return {
        "status": min((Status(run["status"]) for run in runs), key=_WORST_FIRST.index),
        "error": next((run["error"] for run in runs if run["error"]), ""),
        "started_at": min(run["started_at"] for run in runs),
        "ended_at": max(run["ended_at"] for run in runs),
    }


def _identities(connection: Connection, usage_rows: Iterable[RowMapping]) -> dict[str, str]:
    people = schema.people
    pseudonyms = sorted({row["participant"] for row in usage_rows if row["participant"]})
    identities: dict[str, str] = {}
    for start in range(0, len(pseudonyms), ROWS_AT_ONCE):
        some = pseudonyms[start : start + ROWS_AT_ONCE]
        rows = connection.execute(
            select(people.c.pseudonym, people.c.identity).where(people.c.pseudonym.in_(some))
        )
        identities |= {row["pseudonym"]: row["identity"] for row in rows.mappings()}
    return identities


def _to_record_usage(row: RowMapping, identities: dict[str, str]) -> RecordUsage:
    values = {name: row[name] for name in USAGE_FIELDS}
    pseudonym = row["participant"]
    return RecordUsage(**values | {"participant": identities.get(pseudonym, pseudonym)})
