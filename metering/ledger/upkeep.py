"""Taking old usage out of the store, and what the store must remember of it.

A job's charges outlive its usage. Its claims do, too: an instance that is reported again after its
usage was pruned has still been paid for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select, tuple_

from ..clock import utc_now
from ..errors import LedgerError
from ..usage import format_stamp
from . import schema
from .database import insert_new, wait_in_line
from .store import Ledger
from .writing import ROWS_AT_ONCE

_KEYS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Old:
    """The usage that is stored of a job that ended long ago.

    `instances` counts the rows. `kept_because` says why they must stay, and is empty where they can
    go.
    """

    job_id: str
    instances: int
    kept_because: str


async def old_usage(ledger: Ledger, before: datetime, *, after: str = "") -> list[Old]:
    """Jobs whose last run ended before a moment and which still have usage: a page, by job id.

    The next page begins `after` the last id of this one; the page after the last is empty.

    Raises:
        LedgerError: the store cannot be read.
    """
    runs = schema.runs
    query = _ended(before).where(runs.c.job_id > after).limit(_KEYS_AT_ONCE)

    def read(connection: Connection) -> list[Old]:
        return [_old(connection, job_id) for job_id in connection.scalars(query).all()]

    return await ledger.read(read)


async def prune_usage(ledger: Ledger, job_id: str, before: datetime) -> int:
    """Remove a job's usage, and note that it is gone; returns how many instances that were.

    Nothing is removed of a job that another run has been stored of meanwhile.

    Raises:
        LedgerError: the store cannot take it; nothing is removed then.
    """

    def work(connection: Connection) -> int:
        wait_in_line(connection, f"job {job_id}")
        still = connection.scalar(_ended(before).where(schema.runs.c.job_id == job_id))
        if still is None or (old := _old(connection, job_id)).kept_because:
            return 0
        claimed = _claimed_instances(connection, job_id)
        row = {"job_id": job_id, "pruned_at": utc_now(), "instances": claimed}
        insert_new(connection, schema.prunings, [row])
        connection.execute(schema.usage.delete().where(schema.usage.c.job_id == job_id))
        return old.instances

    return await ledger.write(work)


async def pruned_among(ledger: Ledger, job_ids: Sequence[str]) -> dict[str, datetime]:
    """Those of some jobs whose usage was pruned, and when.

    Raises:
        LedgerError: the store cannot be read.
    """
    prunings = schema.prunings
    query = select(prunings.c.job_id, prunings.c.pruned_at).where(prunings.c.job_id.in_(job_ids))
    return await ledger.read(
        lambda connection: {row.job_id: row.pruned_at for row in connection.execute(query)}
    )


async def pruned_at(ledger: Ledger, job_id: str) -> datetime | None:
    """When a job's usage was pruned; None where it was not.

    Raises:
        LedgerError: the store cannot be read.
    """
    return (await pruned_among(ledger, [job_id])).get(job_id)


async def refuse_pruned(ledger: Ledger, job_id: str) -> None:
    """Refuse to rate again what is no longer there.

    Raises:
        LedgerError: the job's usage was pruned, or the store cannot be read.
    """
    if when := await pruned_at(ledger, job_id):
        raise LedgerError(
            f"usage of job {job_id!r} was pruned at {format_stamp(when)}: its charges stand, and"
            " it cannot be rated again"
        )


async def claimed_since_pruned(ledger: Ledger, job_id: str) -> int:
    """How many instances were claimed for a job after its usage was pruned: in no rating of its.

    Raises:
        LedgerError: the store cannot be read.
    """
    return await ledger.read(lambda connection: _claimed_since(connection, job_id))


async def not_paid_by_pruned(
    ledger: Ledger, keys: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Of some instances and meters, those that no job has claimed whose usage was pruned.

    Raises:
        LedgerError: the store cannot be read.
    """
    claims, prunings = schema.claims, schema.prunings
    key = tuple_(claims.c.instance_id, claims.c.meter)
    query = select(claims.c.instance_id, claims.c.meter).join(
        prunings, prunings.c.job_id == claims.c.job_id
    )

    def read(connection: Connection) -> list[tuple[str, str]]:
        remaining: list[tuple[str, str]] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            paid = {(row[0], row[1]) for row in connection.execute(query.where(key.in_(some)))}
            remaining += [one for one in some if one not in paid]
        return remaining

    return await ledger.read(read)


async def run_ends(ledger: Ledger, run_ids: Sequence[str]) -> dict[str, datetime]:
    """When each of these runs ended; those that are not stored are left out.

    Raises:
        LedgerError: the store cannot be read.
    """
    runs = schema.runs

    def read(connection: Connection) -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for start in range(0, len(run_ids), ROWS_AT_ONCE):
            some = run_ids[start : start + ROWS_AT_ONCE]
            rows = connection.execute(
                select(runs.c.run_id, runs.c.ended_at).where(runs.c.run_id.in_(some))
            )
            found |= {row.run_id: row.ended_at for row in rows}
        return found

    return await ledger.read(read)


async def shipped_heads(ledger: Ledger) -> Iterable[str]:
    """The beginnings of the journals that other machines' runs have shipped so far.

    Raises:
        LedgerError: the store cannot be read.
    """
    parts = schema.journal_parts
    query = select(parts.c.content).where(parts.c.start == 0)
    return await ledger.read(lambda connection: connection.scalars(query).all())


def _ended(before: datetime) -> Select[Any]:
    runs, usage = schema.runs, schema.usage
    return (
        select(runs.c.job_id)
        .where(exists(select(usage.c.job_id).where(usage.c.job_id == runs.c.job_id)))
        .group_by(runs.c.job_id)
        .having(func.max(runs.c.ended_at) < before)
        .order_by(runs.c.job_id)
    )


def _old(connection: Connection, job_id: str) -> Old:
    usage = schema.usage
    rows = select(func.count()).select_from(usage).where(usage.c.job_id == job_id)
    return Old(job_id, connection.scalar(rows) or 0, _needed_for(connection, job_id))


def _needed_for(connection: Connection, job_id: str) -> str:
    runs, ratings = schema.runs, schema.ratings
    if late := _claimed_since(connection, job_id):
        return f"{late} instances were reported after its usage was pruned, and never rated"
    ended_at = connection.scalar(select(func.max(runs.c.ended_at)).where(runs.c.job_id == job_id))
    newest = (
        select(ratings.c.rated_at, ratings.c.rate_card)
        .where(ratings.c.job_id == job_id)
        .order_by(ratings.c.revision.desc())
        .limit(1)
    )
    rating = connection.execute(newest).first()
    if rating is None or not rating.rate_card:
        return "it was never rated by a rate card: rerate it first"
    # A pruned job's rating is as old as it is; what a late run brought has been looked at above.
    if rating.rated_at < ended_at and not _is_pruned(connection, job_id):
        return "it was last rated before it ended: rerate it first"
    return ""


def _is_pruned(connection: Connection, job_id: str) -> bool:
    prunings = schema.prunings
    found = select(prunings.c.job_id).where(prunings.c.job_id == job_id)
    return connection.scalar(found) is not None


def _claimed_instances(connection: Connection, job_id: str) -> int:
    claims = schema.claims
    query = select(func.count()).select_from(claims).where(claims.c.job_id == job_id)
    return connection.scalar(query) or 0


def _claimed_since(connection: Connection, job_id: str) -> int:
    prunings = schema.prunings
    by_then = select(prunings.c.instances).where(prunings.c.job_id == job_id)
    claimed = connection.scalar(by_then)
    return 0 if claimed is None else _claimed_instances(connection, job_id) - claimed
