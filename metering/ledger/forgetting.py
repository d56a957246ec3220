"""Names taken out of the ledger; usage, charges and statements stay as they are.

People are pseudonyms in all usage: without their row in `people` nobody knows whose it was. A job
that is forgotten keeps its ids, its tenant, and what it cost.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, or_, select

from ..errors import LedgerError
from . import schema
from .database import BUSY_TIMEOUT_SECONDS, advice, parse_url
from .store import Ledger
from .writing import ROWS_AT_ONCE

_PAUSE_SECONDS = 0.05
_TOLD = ("room_name", "title")


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """What the ledger has of a person: the name they went by, and the jobs they are in."""

    name: str
    job_ids: list[str]


async def known_person(ledger: Ledger, identity: str) -> KnownPerson | None:
    """What the ledger has of somebody, or None.

    Raises:
        LedgerError: the store cannot be read.
    """
    people, usage = schema.people, schema.usage
    query = select(people.c.pseudonym, people.c.name).where(people.c.identity == identity)

    def read(connection: Connection) -> KnownPerson | None:
        row = connection.execute(query).first()
        if row is None:
            return None
        jobs = select(usage.c.job_id).where(usage.c.participant == row.pseudonym).distinct()
        return KnownPerson(row.name, sorted(connection.scalars(jobs)))

    return await ledger.read(read)


async def jobs_of_tenant(ledger: Ledger, tenant: str) -> list[str]:
    """The jobs that are charged to a tenant.

    Raises:
        LedgerError: the store cannot be read.
    """
    jobs = schema.jobs
    query = select(jobs.c.job_id).where(jobs.c.tenant == tenant).order_by(jobs.c.job_id)
    return await ledger.read(lambda connection: list(connection.scalars(query)))


async def named_jobs(
    ledger: Ledger, before: datetime, *, also: Iterable[str] = ()
) -> list[tuple[str, str, datetime]]:
    """Jobs that ended before a moment and are not forgotten: id, tenant, and when they ended.

    Those that are `also` asked for come even where the ledger has forgotten them.

    Raises:
        LedgerError: the store cannot be read.
    """
    jobs, runs = schema.jobs, schema.runs
    ended = (
        select(jobs.c.job_id, jobs.c.tenant, func.max(runs.c.ended_at))
        .join(runs, runs.c.job_id == jobs.c.job_id)
        .group_by(jobs.c.job_id, jobs.c.tenant)
        .having(func.max(runs.c.ended_at) < before)
    )
    wanted = sorted(also)

    def read(connection: Connection) -> list[tuple[str, str, datetime]]:
        found = {}
        named = or_(*(jobs.c[name] != "" for name in _TOLD))
        for which in (named, *(jobs.c.job_id.in_(some) for some in _parts(wanted))):
            for row in connection.execute(ended.where(which)):
                found[row[0]] = (row[0], row[1], row[2])
        return [found[job_id] for job_id in sorted(found)]

    return await ledger.read(read)


async def stored_jobs(ledger: Ledger, job_ids: Iterable[str]) -> list[str]:
    """Those of some jobs that the ledger has.

    Raises:
        LedgerError: the store cannot be read.
    """
    jobs = schema.jobs
    wanted = sorted(job_ids)

    def read(connection: Connection) -> list[str]:
        return [
            job_id
            for some in _parts(wanted)
            for job_id in connection.scalars(
                select(jobs.c.job_id).where(jobs.c.job_id.in_(some)).order_by(jobs.c.job_id)
            )
        ]

    return await ledger.read(read)


async def people_only_in(ledger: Ledger, job_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Identity and name of everybody who is in some jobs, and in no other.

    Raises:
        LedgerError: the store cannot be read.
    """
    wanted = sorted(job_ids)
    people = schema.people

    def read(connection: Connection) -> list[tuple[str, str]]:
        pseudonyms = sorted(_only_in(connection, wanted))
        return [
            (row.identity, row.name)
            for some in _parts(pseudonyms)
            for row in connection.execute(select(people).where(people.c.pseudonym.in_(some)))
        ]

    return await ledger.read(read)


async def forget_jobs(ledger: Ledger, job_ids: Iterable[str]) -> int:
    """Forget what jobs were called, and who was in no other; returns how many people that were.

    Raises:
        LedgerError: the store cannot take it; nothing is changed then.
    """
    wanted = sorted(job_ids)
    jobs, runs, people = schema.jobs, schema.runs, schema.people

    def work(connection: Connection) -> int:
        _overwrite_what_is_deleted(connection)
        gone = _called(connection, wanted)
        forgotten = 0
        for some in _parts(sorted(_only_in(connection, wanted))):
            deletion = people.delete().where(people.c.pseudonym.in_(some))
            forgotten += connection.execute(deletion).rowcount
        for some in _parts(wanted):
            connection.execute(
                jobs.update().where(jobs.c.job_id.in_(some)).values(room_name="", title="", tags=[])
            )
            # Why a dispatch was declined can quote it.
            connection.execute(runs.update().where(runs.c.job_id.in_(some)).values(error=""))
        forgotten += _forget_nobodys(connection)
        kept = _called(connection, None)
        _rename_groups(connection, lambda name: "forgotten" if name in gone - kept else name)
        return forgotten

    return await ledger.write(work)


async def forget_person(ledger: Ledger, identity: str, without: Callable[[str, str], str]) -> int:
    """Forget who somebody was; returns 1 where they were known.

    `without` takes their names out of a text that tells of a job, given with its id.

    Raises:
        LedgerError: the store cannot take it; nothing is changed then.
    """
    jobs, runs, people = schema.jobs, schema.runs, schema.people

    def work(connection: Connection) -> int:
        _overwrite_what_is_deleted(connection)
        deletion = people.delete().where(people.c.identity == identity)
        forgotten = connection.execute(deletion).rowcount
        called: dict[str, str] = {}
        for row in connection.execute(select(jobs)).mappings().all():
            job_id = row["job_id"]
            told: dict[str, Any] = {name: without(row[name], job_id) for name in _TOLD}
            told["tags"] = [without(tag, job_id) for tag in row["tags"]]
            if any(told[name] != row[name] for name in told):
                connection.execute(jobs.update().where(jobs.c.job_id == job_id).values(**told))
                called[row["room_name"]] = told["room_name"]
                called[_tagged(row["tags"])] = _tagged(told["tags"])
        failed = select(runs.c.run_id, runs.c.job_id, runs.c.error).where(runs.c.error != "")
        for row in connection.execute(failed).mappings().all():
            if (error := without(row["error"], row["job_id"])) != row["error"]:
                update = runs.update().where(runs.c.run_id == row["run_id"]).values(error=error)
                connection.execute(update)
        _rename_groups(connection, lambda name: called.get(name) or without(name, ""))
        return forgotten

    return await ledger.write(work)


async def leave_nothing_behind(url: str, *, whole: bool = True) -> None:
    """Take out of a SQLite store's files what is deleted in it, and out of its write-ahead log.

    Where it is not the `whole` store only what was deleted last: it is overwritten already.

    A server's store is the server's to clean up: PostgreSQL does it by VACUUM FULL.

    Raises:
        LedgerError: somebody reads or writes all the time, or the disk is too full for a copy.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return
    path = Path(str(parsed.database))
    try:
        await asyncio.to_thread(_clean, path, whole)
    except sqlite3.Error as error:
        raise LedgerError(f"store {path}: {advice(error)}") from error


def _clean(path: Path, whole: bool) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)) as connection:
        connection.isolation_level = None
        if whole:
            connection.execute("VACUUM")
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise LedgerError(
                    f"store {path}: names are forgotten, and still in its write-ahead log, which"
                    " somebody reads; forget again"
                )
            time.sleep(_PAUSE_SECONDS)


def _overwrite_what_is_deleted(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def _only_in(connection: Connection, job_ids: list[str]) -> set[str]:
    usage = schema.usage
    pseudonyms: set[str] = set()
    for some in _parts(job_ids):
        query = select(usage.c.participant).where(
            usage.c.job_id.in_(some), usage.c.participant.is_not(None)
        )
        pseudonyms |= set(connection.scalars(query.distinct()))
    wanted = set(job_ids)
    for some in _parts(sorted(pseudonyms)):
        query = select(usage.c.participant, usage.c.job_id).where(usage.c.participant.in_(some))
        for pseudonym, job_id in connection.execute(query.distinct()):
            if job_id not in wanted:
                pseudonyms.discard(pseudonym)
    return pseudonyms


def _forget_nobodys(connection: Connection) -> int:
    """Those whose usage was pruned: nothing is left that they could be named in."""
    people, usage = schema.people, schema.usage
    named = select(usage.c.participant).where(usage.c.participant.is_not(None)).distinct()
    return connection.execute(people.delete().where(people.c.pseudonym.not_in(named))).rowcount


def _called(connection: Connection, job_ids: list[str] | None) -> set[str]:
    """The names of the rooms and tags that some jobs, or all, are put together by."""
    jobs = schema.jobs
    names: set[str] = set()
    for some in [None] if job_ids is None else _parts(job_ids):
        query = select(jobs.c.room_name, jobs.c.tags)
        if some is not None:
            query = query.where(jobs.c.job_id.in_(some))
        for row in connection.execute(query):
            names |= {row.room_name, _tagged(row.tags)}
    return names - {""}


def _tagged(tags: Iterable[str]) -> str:
    """As statements name the group of jobs with these tags."""
    return ", ".join(sorted(set(tags)))


def _rename_groups(connection: Connection, rename: Callable[[str], str]) -> None:
    """What issued statements' jobs can be put together by; what they say stays as it is."""
    statements = schema.statements
    for row in connection.execute(select(statements.c.number, statements.c.groupings)).all():
        before: dict[str, list[dict[str, Any]]] = json.loads(row.groupings)
        after = {
            by: [
                group | {"name": rename(group["name"])} if by in ("room", "tag") else group
                for group in groups
            ]
            for by, groups in before.items()
        }
        if after != before:
            text = json.dumps(after, ensure_ascii=False, indent=2) + "\n"
            connection.execute(
                statements.update().where(statements.c.number == row.number).values(groupings=text)
            )


def _parts(values: list[str]) -> Iterable[list[str]]:
    return (values[at : at + ROWS_AT_ONCE] for at in range(0, len(values), ROWS_AT_ONCE))
