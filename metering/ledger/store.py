"""The ledger: opened, migrated, and written to in single transactions.

Everything that is written here is written once. A run that is stored a second time changes
nothing, and an instance that two runs or two jobs have seen is claimed by whoever came first, in
the same transaction that writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Table, event, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ..clock import utc_now
from ..errors import LedgerError
from ..pricing.charges import Charge
from ..run import Run
from ..usage import Usage
from . import schema

BUSY_TIMEOUT_SECONDS = 30
_PATIENCE_MILLISECONDS = 50

_READS_ONLY = "tallyroom_reads_only"

_MIGRATIONS = Path(__file__).parent / "migrations"


class Ledger:
    """A connection to the store; use it as an async context manager."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
        except (ArgumentError, ValueError):
            without_password = url.rpartition("@")[2]
            raise LedgerError(
                f"{without_password!r} is no database URL; use sqlite+aiosqlite:///path"
            ) from None
        self._engine: AsyncEngine | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def location(self) -> str:
        """Where the store is, without a password."""
        if self._url.get_backend_name() == "sqlite":
            return str(self._url.database)
        return self._url.render_as_string(hide_password=True)

    async def open(self) -> None:
        """Connect, and bring the store to this version's schema if it is older.

        Raises:
            LedgerError: it cannot be reached, read, or written, or is of a newer version.
        """
        with self._translated():
            if self._url.get_backend_name() == "sqlite" and self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            self._engine = _create_engine(self._url)
            async with self.reading() as connection:
                revision = await connection.run_sync(_current_revision)
            if revision != schema.SCHEMA_REVISION:
                async with self._engine.begin() as connection:
                    await connection.run_sync(_migrate)

    async def close(self) -> None:
        """Let the connections go."""
        if self._engine:
            await self._engine.dispose()
            self._engine = None

    async def store_run(self, run: Run) -> bool:
        """Store a run's job, usage and people, and claim its instances, in one transaction.

        Returns:
            False if this run is stored already; then nothing is changed.
        """
        async with self._writing() as connection:
            info = run.info
            await _insert_new(
                connection,
                schema.jobs,
                [
                    {
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
                ],
            )
            is_new = await _insert_new(
                connection,
                schema.runs,
                [
                    {
                        "run_id": info.run_id,
                        "job_id": info.job_id,
                        "status": run.status,
                        "error": run.error,
                        "started_at": info.started_at,
                        "ended_at": run.ended_at,
                        "damaged_lines": run.damaged_lines,
                    }
                ],
            )
            if not is_new:
                return False
            pseudonyms = await _pseudonyms(connection, run)
            rows = [_usage_row(run, usage, pseudonyms) for usage in run.usages]
            await _insert_new(connection, schema.usage, rows)
            await _insert_new(
                connection,
                schema.claims,
                [{name: row[name] for name in ("instance_id", "meter", "job_id")} for row in rows],
            )
            return True

    async def store_rating(
        self, job_id: str, charges: Sequence[Charge], *, rate_card: str, hosting: str, plan: str
    ) -> int:
        """Append a rating of a job; returns its revision, the first of which is 1."""
        async with self._writing() as connection:
            ratings = schema.ratings
            revisions = await connection.scalars(
                select(ratings.c.revision).where(ratings.c.job_id == job_id)
            )
            revision = max(revisions, default=0) + 1
            await connection.execute(
                ratings.insert(),
                {
                    "job_id": job_id,
                    "revision": revision,
                    "rate_card": rate_card,
                    "hosting": hosting,
                    "plan": plan,
                    "rated_at": utc_now(),
                },
            )
            rows = [
                _charge_row(job_id, revision, position, charge)
                for position, charge in enumerate(charges)
            ]
            if rows:
                await connection.execute(schema.charges.insert(), rows)
            return revision

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries."""
        with self._translated():
            async with self._opened().connect() as connection:
                yield await connection.execution_options(**{_READS_ONLY: True})

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with self._translated():
            async with self._opened().begin() as connection:
                yield connection

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise LedgerError("the store is not open")
        return self._engine

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Database errors as one line that says what to do."""
        try:
            yield
        except DBAPIError as error:
            raise LedgerError(f"store {self.location}: {_advice(error.orig)}") from error
        except (NoSuchModuleError, ImportError) as error:
            raise LedgerError(f"store {self.location}: no driver for it: {error}") from error
        except SQLAlchemyError as error:
            raise LedgerError(f"store {self.location}: {error}") from error
        except OSError as error:
            raise LedgerError(f"store {self.location}: {error.strerror or error}") from error


def _create_engine(url: Any) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url)
    engine = create_async_engine(
        url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        # The driver's own transactions begin late and cannot be upgraded safely; ours begin below.
        connection.isolation_level = None
        connection.run_async(_use_write_ahead_log)
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that turns writer halfway deadlocks with another; a writer queues from the start.
        reads_only = connection.get_execution_options().get(_READS_ONLY)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


async def _use_write_ahead_log(driver: Any) -> None:
    """Let readers read on while somebody writes; the file keeps this once it is set.

    Of several that set it on a new file at once SQLite refuses one, or lets two wait for each other
    until their patience ends: so a little patience, many times.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    await driver.execute(f"PRAGMA busy_timeout = {_PATIENCE_MILLISECONDS}")
    while True:
        try:
            await driver.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                # Nobody else closes a connection that was never handed out, nor ends its thread.
                await driver.close()
                raise
        await asyncio.sleep(random.uniform(0, _PATIENCE_MILLISECONDS / 1000))
    await driver.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_SECONDS * 1000)}")


def _current_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _migrate(connection: Connection) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LedgerError(
            f"the store has schema {_current_revision(connection)!r}, which this version"
            f" (schema {schema.SCHEMA_REVISION}) cannot upgrade: {error}"
        ) from error


async def _insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Any]) -> int:
    """Insert the rows whose key is not there yet; returns how many were inserted."""
    if not rows:
        return 0
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    inserted = 0
    statement = dialect.insert(table).on_conflict_do_nothing()
    if len(rows) == 1:
        inserted = (await connection.execute(statement, rows[0])).rowcount
    else:
        await connection.execute(statement, rows)
    return inserted


async def _pseudonyms(connection: AsyncConnection, run: Run) -> dict[str, str]:
    """A pseudonym for everyone that the run names, new ones made up at random."""
    people = schema.people
    identities = {usage.participant for usage in run.usages if usage.participant} | set(run.people)
    known = await connection.execute(
        select(people.c.identity, people.c.pseudonym).where(people.c.identity.in_(identities))
    )
    pseudonyms: dict[str, str] = {row.identity: row.pseudonym for row in known}
    new = [
        {
            "identity": identity,
            "pseudonym": f"person_{uuid.uuid4().hex[:16]}",
            "name": run.people.get(identity, ""),
        }
        for identity in sorted(identities - pseudonyms.keys())
    ]
    await _insert_new(connection, people, new)
    return pseudonyms | {row["identity"]: row["pseudonym"] for row in new}


def _usage_row(run: Run, usage: Usage, pseudonyms: dict[str, str]) -> dict[str, Any]:
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
    columns = {column.name for column in schema.charges.columns}
    row = {name: getattr(charge, name) for name in columns if hasattr(charge, name)}
    return row | {
        "job_id": job_id,
        "revision": revision,
        "position": position,
        "attributes": dict(charge.attributes),
        "disputed": charge.to_json()["disputed"],
    }


def _advice(error: BaseException | None) -> str:
    text = str(error)
    if isinstance(error, sqlite3.DatabaseError):
        if "locked" in text:
            return f"locked by another process for over {BUSY_TIMEOUT_SECONDS} s"
        if "not a database" in text or "malformed" in text:
            return f"corrupt ({text}); move the file away and settle the kept journals again"
        if "readonly" in text or "unable to open" in text:
            return f"cannot be written ({text}); check the folder's permissions"
        if "full" in text:
            return f"disk is full ({text})"
    return text
