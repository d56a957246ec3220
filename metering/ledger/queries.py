"""Every question that is asked of the ledger; nothing here writes.

The command line, statements and exports all read through this module, so that they cannot disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
)

from ..errors import JobNotFound
from ..record import (
    CostRecord,
    JobSummary,
    RecordCharge,
    RecordUsage,
    list_unrated,
    sum_priced,
)
from ..run import Status
from ..usage import Certainty, Usage
from . import schema
from .store import ROWS_AT_ONCE, Ledger

_WORST_FIRST = (Status.FAILED, Status.RECOVERED, Status.RUNNING, Status.COMPLETE, Status.DECLINED)

_MOST_CERTAIN_FIRST = (
    Certainty.EXACT,
    Certainty.BOUNDED,
    Certainty.PARTIAL,
    Certainty.ESTIMATED,
)


_JOBS_AT_ONCE = 200


def _claimed() -> Select[Any]:
    usage, claims = schema.usage, schema.claims
    its_claim = and_(
        usage.c.instance_id == claims.c.instance_id,
        usage.c.meter == claims.c.meter,
        usage.c.job_id == claims.c.job_id,
    )
    return select(usage).join(claims, its_claim).where(usage.c.job_id == _OF_JOB)


# To build a statement takes as long as to run it, and each job that ends runs these.
_OF_JOB: BindParameter[str] = bindparam("of_job")
_JOB = select(schema.jobs).where(schema.jobs.c.job_id == _OF_JOB)
_RUNS = (
    select(schema.runs)
    .where(schema.runs.c.job_id.in_(bindparam("of_jobs", expanding=True)))
    .order_by(schema.runs.c.started_at, schema.runs.c.run_id)
)
_NEWEST_RATING = (
    select(schema.ratings)
    .where(schema.ratings.c.job_id == _OF_JOB)
    .order_by(schema.ratings.c.revision.desc())
    .limit(1)
)
_CHARGES = (
    select(schema.charges)
    .where(schema.charges.c.job_id == _OF_JOB, schema.charges.c.revision == bindparam("as_of"))
    .order_by(schema.charges.c.position)
)
_CLAIMED = _claimed().order_by(
    schema.usage.c.started_at,
    schema.usage.c.meter,
    schema.usage.c.instance_id,
    schema.usage.c.run_id,
)
_CLAIMED_BY_INSTANCE = _claimed().order_by(schema.usage.c.instance_id)


async def job_usage(ledger: Ledger, job_id: str) -> list[Usage]:
    """What a job has to pay for: each instance that it has claimed, by its best observation.

    Participants are pseudonyms. An instance that several of the job's runs have seen is taken from
    whichever saw it most certainly, then for longest.
    """
    return await ledger.read(
        lambda connection: [_to_usage(row) for row in _claimed_usage(connection, job_id)]
    )


class ToRate(NamedTuple):
    """What a job is rated by, apart from its usage, and which runs that usage is of."""

    hosting: str
    plan: str
    run_ids: list[str]


async def read_to_rate(
    ledger: Ledger, job_id: str, begin: Callable[[ToRate], Callable[[list[Usage]], object]]
) -> ToRate:
    """Hand over what `job_usage` returns, some instances at a time, each with all of its meters.

    However many a job has, no more than a batch of them is in memory. What `begin` returns is
    called with each batch while the store is being read, on whatever thread that happens.

    Raises:
        JobNotFound: the store has no such job.
        LedgerError: the store cannot be read.
    """

    def read(connection: Connection) -> ToRate:
        job = connection.execute(_JOB, {"of_job": job_id}).mappings().first()
        if job is None:
            raise _not_found(ledger.location, job_id)
        rated = _newest_rating(connection, job_id) or job
        runs = _runs_of(connection, [job_id])[job_id]
        found = ToRate(rated["hosting"], rated["plan"], [run["run_id"] for run in runs])
        take = begin(found)
        waiting: list[RowMapping] = []
        connection = connection.execution_options(yield_per=ROWS_AT_ONCE)
        found_rows = connection.execute(_CLAIMED_BY_INSTANCE, {"of_job": job_id})
        for rows in found_rows.mappings().partitions():
            waiting += rows
            # Of the last instance more may be to come.
            last = waiting[-1]["instance_id"]
            whole = [row for row in waiting if row["instance_id"] != last]
            waiting = waiting[len(whole) :]
            take([_to_usage(row) for row in _best(whole)])
        take([_to_usage(row) for row in _best(waiting)])
        return found

    return await ledger.read(read)


def _not_found(location: str, job_id: str) -> JobNotFound:
    return JobNotFound(f"no job {job_id!r} in {location}; see `tallyroom jobs`")


async def cost_record(ledger: Ledger, job_id: str, *, with_usage: bool = True) -> CostRecord:
    """The newest cost record of a job, people by the identities they went by.

    A job can have very many instances; `with_usage` says whether they are wanted on it.

    Raises:
        JobNotFound: the store has no such job.
        LedgerError: the store cannot be read.
    """
    return await ledger.read(
        lambda connection: _cost_record(connection, ledger.location, job_id, with_usage)
    )


def _cost_record(
    connection: Connection, location: str, job_id: str, with_usage: bool
) -> CostRecord:
    job = connection.execute(_JOB, {"of_job": job_id}).mappings().first()
    if job is None:
        raise _not_found(location, job_id)
    runs = _runs_of(connection, [job_id])
    rating = _newest_rating(connection, job_id)
    revision = rating["revision"] if rating else 0
    charges = _charges_of(connection, job_id, revision)
    usage_rows = _claimed_usage(connection, job_id) if with_usage else []
    identities = _identities(connection, usage_rows)
    list_cost, currency = sum_priced(charges)
    return CostRecord(
        **{name: job[name] for name in _JOB_FIELDS},
        revision=revision,
        run_ids=[run["run_id"] for run in runs[job_id]],
        hosting=rating["hosting"] if rating else job["hosting"],
        plan=rating["plan"] if rating else job["plan"],
        usage=[_to_record_usage(row, identities) for row in usage_rows],
        charges=charges,
        list_cost=list_cost,
        currency=currency,
        unrated=list_unrated(charges),
        rate_card=rating["rate_card"] if rating else "",
        **_standing(runs[job_id]),
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
            runs = _runs_of(connection, ids)
            charges = _newest_charges(connection, ids)
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
    job: RowMapping, runs: Sequence[RowMapping], charges: Sequence[RecordCharge]
) -> JobSummary:
    list_cost, currency = sum_priced(list(charges))
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


def _runs_of(connection: Connection, job_ids: Iterable[str]) -> dict[str, list[RowMapping]]:
    rows = connection.execute(_RUNS, {"of_jobs": list(job_ids)})
    return _grouped(rows.mappings())


def _newest_rating(connection: Connection, job_id: str) -> RowMapping | None:
    return connection.execute(_NEWEST_RATING, {"of_job": job_id}).mappings().first()


def _charges_of(connection: Connection, job_id: str, revision: int) -> list[RecordCharge]:
    rows = connection.execute(_CHARGES, {"of_job": job_id, "as_of": revision})
    return [RecordCharge.model_validate(dict(row)) for row in rows.mappings()]


def _newest_charges(
    connection: Connection, job_ids: Iterable[str]
) -> dict[str, list[RecordCharge]]:
    charges, ratings = schema.charges, schema.ratings
    newest = (
        select(ratings.c.job_id, func.max(ratings.c.revision).label("revision"))
        .where(ratings.c.job_id.in_(job_ids))
        .group_by(ratings.c.job_id)
        .subquery()
    )
    rows = connection.execute(
        select(charges)
        .join(
            newest,
            and_(charges.c.job_id == newest.c.job_id, charges.c.revision == newest.c.revision),
        )
        .order_by(charges.c.job_id, charges.c.position)
    )
    grouped: dict[str, list[RecordCharge]] = defaultdict(list)
    for row in rows.mappings():
        grouped[row["job_id"]].append(RecordCharge.model_validate(dict(row)))
    return grouped


def _claimed_usage(connection: Connection, job_id: str) -> list[RowMapping]:
    return _best(connection.execute(_CLAIMED, {"of_job": job_id}).mappings())


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


def _to_usage(row: RowMapping) -> Usage:
    values = {name: row[name] for name in _USAGE_FIELDS}
    return Usage(**values | {"certainty": Certainty(row["certainty"])})


def _to_record_usage(row: RowMapping, identities: dict[str, str]) -> RecordUsage:
    values = {name: row[name] for name in _USAGE_FIELDS}
    pseudonym = row["participant"]
    return RecordUsage(**values | {"participant": identities.get(pseudonym, pseudonym)})


_USAGE_FIELDS = tuple(RecordUsage.model_fields)


def _grouped(rows: Iterable[RowMapping]) -> dict[str, list[RowMapping]]:
    grouped: dict[str, list[RowMapping]] = defaultdict(list)
    for row in rows:
        grouped[row["job_id"]].append(row)
    return grouped
