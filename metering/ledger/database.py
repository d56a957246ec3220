"""What differs between databases, so that the rest of the ledger need not know which it speaks to.

SQLite is one machine's store, PostgreSQL several machines'. Both get the same tables by the same
migrations; how a writer waits for another, and what an error means, is each one's own.
"""

from __future__ import annotations

import functools
import logging
import random
import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Select, Table, event, inspect, text
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool, StaticPool

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


_POOLED: dict[str, Any] = {
    "poolclass": AsyncAdaptedQueuePool,
    "pool_size": 1,
    "max_overflow": -1,
}
"""One connection is kept for as long as a ledger is open: most need no second one at a time, and to
connect for each transaction costs as much as the transaction."""


class SharedEngine:
    """The engine that all of a process's ledgers of one store share while they are open.

    It is for whole transactions on one thread each: asynchronous drivers change threads or
    contexts several times a statement, which cost more than all the rest of settling a job. It
    stays when the last has been closed, without its connections: what SQL it has compiled serves
    the next, and a worker opens its store every few seconds.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._users = 0
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Say that another ledger uses it."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Say that a ledger no longer does; the last one closes the connections."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self.engine.dispose()


@functools.lru_cache(maxsize=8)
def shared_engine(url: URL) -> SharedEngine | None:
    """The engine for this store; None where no two connections see the same, or none can block."""
    if url == IN_MEMORY:
        return None
    if url.get_backend_name() == "sqlite":
        return SharedEngine(_create_file_engine(url))
    if url.get_dialect().is_async:
        return None
    connect_args = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
    return SharedEngine(
        create_sync_engine(url, connect_args=connect_args, pool_size=1, max_overflow=-1)
    )


def _create_file_engine(url: URL) -> Engine:
    engine = create_sync_engine(
        url.set(drivername="sqlite+pysqlite"),
        poolclass=QueuePool,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        pool_size=1,
        max_overflow=-1,
    )

    @event.listens_for(engine, "connect")
    def _configure(driver: sqlite3.Connection, _: object) -> None:
        driver.isolation_level = None
        _use_write_ahead_log(driver)
        _make_ready(driver)

    event.listen(engine, "begin", _begin)
    return engine


def create_engine(url: URL) -> AsyncEngine:
    """An engine whose connections are ready for the ledger; nothing is connected yet.

    A store in a file has been opened by its `shared_engine` before, and stays as that has set it.
    """
    # At debug level the driver logs every statement with what is in it: people's names.
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}, **_POOLED
        )
    pool: dict[str, Any] = {"poolclass": StaticPool} if url == IN_MEMORY else _POOLED
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, **pool)

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        # The driver's own transactions begin late and cannot be upgraded safely; ours begin below.
        connection.isolation_level = None
        _make_ready(connection)

    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # A reader that turns writer halfway deadlocks with another; a writer queues from the start.
    reads_only = connection.get_execution_options().get(READS_ONLY)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _make_ready(driver: Any) -> None:
    cursor = driver.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_SECONDS * 1000)}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_write_ahead_log(driver: sqlite3.Connection) -> None:
    """Let readers read on while somebody writes; the file keeps this once it is set.

    Of several that set it on a new file at once SQLite refuses one, or lets two wait for each other
    until their patience ends: so a little patience, many times.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    driver.execute(f"PRAGMA busy_timeout = {_PATIENCE_MILLISECONDS}")
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                # Nobody else closes a connection that was never handed out.
                driver.close()
                raise
        time.sleep(random.uniform(0, _PATIENCE_MILLISECONDS / 1000))


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


def wait_in_line(connection: Connection, name: str) -> None:
    """Let nobody else be past this line, under this name, until our transaction ends.

    SQLite's writers stand in one line anyway.
    """
    if connection.dialect.name == "postgresql":
        number = zlib.crc32(f"tallyroom {name}".encode())
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


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


def insert_if_new(connection: Connection, table: Table, row: Any) -> bool:
    """Insert a row if its key is not there yet; returns whether it was new."""
    key = next(iter(table.primary_key))
    statement = _insert_unless_there(connection.dialect.name, table).returning(key)
    return connection.execute(statement, row).first() is not None


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
