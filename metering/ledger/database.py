"""What differs between databases, so that the rest of the ledger need not know which it speaks to.

SQLite is one machine's store, PostgreSQL several machines'. Both get the same tables by the same
migrations; how a writer waits for another, and what an error means, is each one's own.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import sqlite3
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Select, Table, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from ..errors import LedgerError
from . import schema

BUSY_TIMEOUT_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 5

READS_ONLY = "tallyroom_reads_only"
"""An execution option: the transaction will not write, and need not queue with those that do."""

_PATIENCE_SECONDS = 0.05
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
    # One connection is kept for as long as a ledger is open: most need no second one at a time, and
    # to connect for each transaction costs as much as the transaction.
    pooled: dict[str, Any] = {"pool_size": 1, "max_overflow": -1}
    if url.get_backend_name() != "sqlite":
        connect_args = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        return create_async_engine(url, connect_args=connect_args, **pooled)
    if url == IN_MEMORY:
        pooled = {"poolclass": StaticPool}
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **pooled)
    event.listen(engine.sync_engine, "connect", _make_ready)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # A reader that turns writer halfway deadlocks with another; a writer queues from the start.
    reads_only = connection.get_execution_options().get(READS_ONLY)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _make_ready(connection: Any, _: object) -> None:
    # The driver's own transactions begin late and cannot be upgraded safely; ours begin above.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def use_write_ahead_log(path: str) -> None:
    """Let a file's readers read on while somebody writes; the file keeps this once it is set.

    Of several that set it on a new file at once SQLite refuses one, or lets two wait for each other
    until their patience ends: so a little patience, many times. Blocks meanwhile.

    By Python's own driver, which fails on the caller's thread where a file cannot be opened:
    aiosqlite's thread outlives the failure, and can then complain on stderr.

    Raises:
        sqlite3.Error: it is no store, or cannot be written.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.DatabaseError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0, _PATIENCE_SECONDS))


def current_revision(connection: Connection) -> str | None:
    """The schema that the store has, or None for a new one."""
    if connection.dialect.name == "postgresql":
        # An inspector's question joins half the catalog, and each job asks it.
        is_there = connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar()
    else:
        is_there = inspect(connection).has_table("alembic_version")
    if not is_there:
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


def wait_in_line(connection: Connection, *names: str) -> None:
    """Let nobody else be past these lines, known by their names, until our transaction ends.

    SQLite's writers stand in one line anyway.
    """
    if connection.dialect.name == "postgresql":
        # In the same order everywhere, so that no two wait for each other.
        numbers = sorted(zlib.crc32(f"tallyroom {name}".encode()) for name in names)
        connection.execute(_LOCKS, {"numbers": numbers})


_LOCKS = text(
    "SELECT pg_advisory_xact_lock(number) FROM unnest(CAST(:numbers AS bigint[])) AS number"
)


def insert_new(connection: Connection, table: Table, rows: Sequence[Any]) -> None:
    """Insert the rows whose key is not there yet."""
    if rows:
        connection.execute(_insert_unless_there(connection.dialect.name, table), rows)


def insert_selected(
    connection: Connection, table: Table, rows: Select[Any], parameters: dict[str, Any]
) -> None:
    """Insert what a query finds, in its order, where the key is not there yet."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    names = [column.name for column in rows.selected_columns]
    statement = dialect.insert(table).from_select(names, rows)
    connection.execute(statement.on_conflict_do_nothing(), parameters)


def insert_noting_new(connection: Connection, table: Table, rows: Sequence[Any]) -> set[str]:
    """Insert the rows whose key, of one column, is not there yet; returns the keys of those."""
    if not rows:
        return set()
    (key,) = table.primary_key
    statement = _insert_unless_there(connection.dialect.name, table).returning(key)
    return set(connection.scalars(statement, rows))


@functools.cache
def _insert_unless_there(dialect_name: str, table: Table) -> Any:
    dialect = sqlite if dialect_name == "sqlite" else postgresql
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
