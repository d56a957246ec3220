"""What is written of runs and their ratings, within a transaction of the ledger's.

Everything that is written here is written once. A run that is stored a second time changes
nothing, and an instance that two runs or two jobs have seen is claimed by whoever came first, in
the same transaction that writes it. Many runs are stored as one is: it is the number of statements
that takes time, and not what is in them.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from ..clock import utc_now
from ..pricing.charges import Charge
from ..record import PSEUDONYM_PREFIX
from ..run import AnyRun
from ..usage import Usage
from . import schema
from .database import insert_new, insert_noting_new, insert_selected, wait_in_line

ROWS_AT_ONCE = 1000
"""How many rows are held in memory at once, however many a run has; a database takes as many
parameters."""

Measured = tuple[AnyRun, Usage]
"""An instance, and the run that has seen it."""

# To build a statement takes as long as to run it, and each job runs these.
_SEEN = (
    select(schema.usage.c.instance_id, schema.usage.c.meter, schema.usage.c.job_id)
    .where(schema.usage.c.run_id.in_(bindparam("seen_by", expanding=True)))
    .order_by(schema.usage.c.instance_id, schema.usage.c.meter, schema.usage.c.job_id)
)
_NAMED = select(schema.people.c.identity, schema.people.c.pseudonym).where(
    schema.people.c.identity.in_(bindparam("identities", expanding=True))
)
_RUNS = select(schema.runs.c.job_id, schema.runs.c.run_id).where(
    schema.runs.c.job_id.in_(bindparam("of_jobs", expanding=True))
)
_REVISIONS = (
    select(schema.ratings.c.job_id, func.max(schema.ratings.c.revision))
    .where(schema.ratings.c.job_id.in_(bindparam("of_jobs", expanding=True)))
    .group_by(schema.ratings.c.job_id)
)


@dataclass(frozen=True, slots=True)
class NewRating:
    """A rating of a job, from the usage of `rated_runs`."""

    job_id: str
    charges: Sequence[Charge]
    rate_card: str
    hosting: str
    plan: str
    rated_runs: Collection[str]


def next_rows(rows: Iterator[Measured]) -> list[Measured]:
    """As many as are held in memory at once."""
    return list(itertools.islice(rows, ROWS_AT_ONCE))


def measured_by(runs: Sequence[AnyRun]) -> Iterator[Measured]:
    """The instances of some runs, each with its run."""
    return ((run, usage) for run in runs for usage in run.usages)


def store_runs(
    connection: Connection, runs: Sequence[AnyRun], batch: list[Measured], more: Iterator[Measured]
) -> set[str]:
    """Store the jobs, usage and people of those runs that are not there, and claim their instances.

    Their instances are those of `batch` and then those of `more`. Returns the ids of the new ones.
    """
    wait_in_line(connection, *{f"job {run.info.job_id}" for run in runs})
    return add_runs(connection, runs, batch, more)


def add_runs(
    connection: Connection, runs: Sequence[AnyRun], batch: list[Measured], more: Iterator[Measured]
) -> set[str]:
    """As `store_runs`, for one who stands in another line, or rates all of the jobs afterwards."""
    jobs = {run.info.job_id: _job_row(run) for run in reversed(runs)}
    insert_new(connection, schema.jobs, [jobs[job_id] for job_id in sorted(jobs)])
    new = insert_noting_new(connection, schema.runs, [_run_row(run) for run in runs])
    pseudonyms = _pseudonyms(connection, [run for run in runs if run.info.run_id in new])
    while batch:
        rows = [
            _usage_row(run, usage, pseudonyms) for run, usage in batch if run.info.run_id in new
        ]
        insert_new(connection, schema.usage, rows)
        batch = next_rows(more) if len(batch) == ROWS_AT_ONCE else []
    if new:
        # Always in the same order: of two that claim the same instances one waits, never both.
        insert_selected(connection, schema.claims, _SEEN, {"seen_by": sorted(new)})
    return new


def store_ratings(connection: Connection, ratings: Sequence[NewRating]) -> dict[str, int]:
    """Append ratings; returns the revision of each job's that was appended.

    The first is 1. A job is left out that has had another run meanwhile than those that were rated.
    """
    job_ids = [rating.job_id for rating in ratings]
    wait_in_line(connection, *(f"job {job_id}" for job_id in job_ids))
    of_jobs = {"of_jobs": job_ids}
    stored_runs: dict[str, set[str]] = {job_id: set() for job_id in job_ids}
    for job_id, run_id in connection.execute(_RUNS, of_jobs):
        stored_runs[job_id].add(run_id)
    newest = {row[0]: row[1] for row in connection.execute(_REVISIONS, of_jobs)}
    current = [rating for rating in ratings if stored_runs[rating.job_id] == set(rating.rated_runs)]
    revisions = {rating.job_id: newest.get(rating.job_id, 0) + 1 for rating in current}
    rated_at = utc_now()
    rows = [
        {
            "job_id": rating.job_id,
            "revision": revisions[rating.job_id],
            "rate_card": rating.rate_card,
            "hosting": rating.hosting,
            "plan": rating.plan,
            "rated_at": rated_at,
        }
        for rating in current
    ]
    if rows:
        connection.execute(schema.ratings.insert(), rows)
    charges = [
        _charge_row(rating.job_id, revisions[rating.job_id], position, charge)
        for rating in current
        for position, charge in enumerate(rating.charges)
    ]
    if charges:
        connection.execute(schema.charges.insert(), charges)
    return revisions


def _job_row(run: AnyRun) -> dict[str, Any]:
    info = run.info
    return {
        "job_id": info.job_id,
        "dispatch_id": info.dispatch_id,
        "room_name": info.room_name,
        "room_sid": info.room_sid,
        "agent_name": info.agent_name,
        "tenant": info.tenant,
        "title": info.title,
        "tags": list(info.tags),
        "hosting": info.hosting,
        "plan": info.plan,
        "started_at": info.started_at,
    }


def _run_row(run: AnyRun) -> dict[str, Any]:
    return {
        "run_id": run.info.run_id,
        "job_id": run.info.job_id,
        "status": run.status,
        "error": run.error,
        "started_at": run.info.started_at,
        "ended_at": run.ended_at,
        "damaged_lines": run.damaged_lines,
    }


def _pseudonyms(connection: Connection, runs: Sequence[AnyRun]) -> dict[str, str]:
    """A pseudonym for everyone whom the runs name, new ones made up at random.

    Everyone at once and in order, as claims are.
    """
    names: dict[str, str] = {}
    for run in runs:
        participants = run.participants
        if participants is None:
            participants = frozenset(used.participant for used in run.usages if used.participant)
        for identity in participants | set(run.people):
            names[identity] = names.get(identity) or run.people.get(identity, "")
    identities = sorted(names)
    pseudonyms = _named(connection, identities)
    if unnamed := [identity for identity in identities if identity not in pseudonyms]:
        new = [
            {
                "identity": identity,
                "pseudonym": f"{PSEUDONYM_PREFIX}{uuid.uuid4().hex[:16]}",
                "name": names[identity],
            }
            for identity in unnamed
        ]
        insert_new(connection, schema.people, new)
        # Somebody else may have named them in the meantime; whoever was first has.
        pseudonyms |= _named(connection, unnamed)
    return pseudonyms


def _named(connection: Connection, identities: Sequence[str]) -> dict[str, str]:
    pseudonyms: dict[str, str] = {}
    for start in range(0, len(identities), ROWS_AT_ONCE):
        some = identities[start : start + ROWS_AT_ONCE]
        named = connection.execute(_NAMED, {"identities": some})
        pseudonyms |= {row.identity: row.pseudonym for row in named}
    return pseudonyms


def _usage_row(run: AnyRun, usage: Usage, pseudonyms: Mapping[str, str]) -> dict[str, Any]:
    return {
        "run_id": run.info.run_id,
        "job_id": run.info.job_id,
        "instance_id": usage.instance_id,
        "meter": usage.meter,
        "provider": usage.provider,
        "model": usage.model,
        "attributes": dict(usage.attributes),
        "participant": pseudonyms[usage.participant] if usage.participant else None,
        "purpose": usage.purpose,
        "quantity": usage.quantity,
        "unit": usage.unit,
        "certainty": usage.certainty,
        "quantity_lower": usage.quantity_lower,
        "quantity_upper": usage.quantity_upper,
        "provider_stated": usage.provider_stated,
        "provider_ref": usage.provider_ref,
        "started_at": usage.started_at,
        "ended_at": usage.ended_at,
        "source": usage.source,
    }


def _charge_row(job_id: str, revision: int, position: int, charge: Charge) -> dict[str, Any]:
    return {name: getattr(charge, name) for name in _CHARGE_COLUMNS if hasattr(charge, name)} | {
        "job_id": job_id,
        "revision": revision,
        "position": position,
        "attributes": dict(charge.attributes),
        "disputed": charge.to_json()["disputed"],
    }


_CHARGE_COLUMNS = frozenset(column.name for column in schema.charges.columns)
