"""What differs between databases, so that the rest of the ledger need not know which it speaks to.

SQLite is one machine's store, PostgreSQL several machines'. Both get the same tables by the same
migrations; how a writer waits for another, and what an error means, is each one's own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Table, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from ..errors import LedgerError
from . import schema

BUSY_TIMEOUT_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 5

READS_ONLY = "tallyroom_reads_only"
"""An execution option: the transaction will not write, and need not queue with those that do."""

_PATIENCE_MILLISECONDS = 50
MIGRATIONS = Path(__file__).parent / "migrations"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}

IN_MEMORY = make_url(f"{_DRIVERS['sqlite']}://")
"""A store of one process that is gone when it is closed; no URL of a setting's can be it."""


def parse_url(url: str) -> URL:
    """A database URL, with the driver that we use where it names none.

    Raises:
        LedgerError: it is none; the message has no password in it.
    """
    scheme, separator, rest = url.partition("://")
    try:
        parsed = make_url(f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}")
        if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
            raise ValueError("a store in memory would forget everything")
        return parsed
    except (ArgumentError, ValueError):
        without_password = url.rpartition("@")[2]
        raise LedgerError(
            f"{without_password!r} is no database URL; use postgresql://user@host/name or"
            " sqlite:///path"
        ) from None


def create_engine(url: URL) -> AsyncEngine:
    """An engine whose connections are ready for the ledger; nothing is connected yet."""
    # At debug level the driver logs every statement with what is in it: people's names.
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        )
    engine = create_async_engine(
        url,
        poolclass=StaticPool if url == IN_MEMORY else NullPool,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
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
        reads_only = connection.get_execution_options().get(READS_ONLY)
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


def current_revision(connection: Connection) -> str | None:
    """The schema that the store has, or None for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def migrate(connection: Connection) -> None:
    """Bring the store to this version's schema; of several that try at once one does it.

    Raises:
        LedgerError: it is of a newer version.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    wait_in_line(connection, "migration")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LedgerError(
            f"the store has schema {current_revision(connection)!r}, which this version"
            f" (schema {schema.SCHEMA_REVISION}) cannot upgrade: {error}"
        ) from error


def wait_in_line(connection: Connection, name: str) -> None:
    """Let nobody else be past this line, under this name, until our transaction ends.

    SQLite's writers stand in one line anyway.
    """
    if connection.dialect.name == "postgresql":
        number = zlib.crc32(f"tallyroom {name}".encode())
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


async def insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Any]) -> None:
    """Insert the rows whose key is not there yet."""
    if rows:
        await connection.execute(_insert_unless_there(connection, table), rows)


async def insert_if_new(connection: AsyncConnection, table: Table, row: Any) -> bool:
    """Insert a row if its key is not there yet; returns whether it was new."""
    key = next(iter(table.primary_key))
    statement = _insert_unless_there(connection, table).returning(key)
    return (await connection.execute(statement, row)).first() is not None


def _insert_unless_there(connection: AsyncConnection, table: Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()


def advice(error: BaseException | None) -> str:
    """What a database's error means, and what to do about it, in one line."""
    said = str(error).strip()
    if isinstance(error, sqlite3.DatabaseError):
        if "locked" in said:
            return f"locked by another process for over {BUSY_TIMEOUT_SECONDS} s"
        if "not a database" in said or "malformed" in said:
            return f"corrupt ({said}); move the file away and settle the kept journals again"
        if "readonly" in said or "unable to open" in said:
            return f"cannot be written ({said}); check the folder's permissions"
        if "full" in said:
            return f"disk is full ({said})"
    return said.splitlines()[0] if said else type(error).__name__
