"""The ledger: opened, migrated, and read and written in single transactions.

SQLite is reached through aiosqlite, PostgreSQL through psycopg, both through the same tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import URL, Connection, bindparam, select
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..clock import utc_now
from ..errors import LedgerError
from ..run import AnyRun
from . import schema
from .database import (
    IN_MEMORY,
    READS_ONLY,
    advice,
    create_engine,
    current_revision,
    insert_new,
    migrate,
    parse_url,
    use_write_ahead_log,
)
from .writing import NewRating, measured_by, next_rows, store_ratings, store_runs

Result = TypeVar("Result")

_SHIPPED = (
    select(schema.journal_parts.c.run_id)
    .where(schema.journal_parts.c.run_id.in_(bindparam("run_ids", expanding=True)))
    .distinct()
)


class Ledger:
    """A connection to the store; use it as an async context manager.

    SQLAlchemy makes statements and rows on the event loop, only the database's own work is done
    elsewhere: an event loop with other duties leaves large transactions to one of its own.
    """

    def __init__(self, url: str | URL) -> None:
        self._url = url if isinstance(url, URL) else parse_url(url)
        self._engine: AsyncEngine | None = None

    @classmethod
    def in_memory(cls) -> Self:
        """A store that needs no disk, and is gone when it is closed."""
        return cls(IN_MEMORY)

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
                self._make_folder(Path(self._url.database).parent)
                await asyncio.to_thread(use_write_ahead_log, self._url.database)
            self._engine = create_engine(self._url)
        try:
            if await self.read(current_revision) != schema.SCHEMA_REVISION:
                await self.write(migrate)
        except BaseException:
            await self.close()
            raise

    @staticmethod
    def _make_folder(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise LedgerError(
                f"{folder} cannot be a folder ({error.strerror}); set TALLYROOM_DATA_DIR"
            ) from error

    async def close(self) -> None:
        """Let the connections go."""
        if self._engine:
            await self._engine.dispose()
            self._engine = None

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do some reading, all from one state of the store.

        Raises:
            LedgerError: the store cannot be read.
        """
        async with self.reading() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do some work in one transaction: all of it is stored, or, where it raises, nothing.

        Raises:
            LedgerError: the store cannot take it.
        """
        with self._translated():
            async with self._opened().begin() as connection:
                return await connection.run_sync(work)

    async def store_runs(self, runs: Sequence[AnyRun]) -> set[str]:
        """Store runs' jobs, usage and people, and claim their instances, in one transaction.

        Of an instance that a run has twice the first is kept.

        Returns:
            The ids of the runs that were not stored already; of others nothing is changed.
        """
        more = measured_by(runs)
        # Nobody waits for this writer while it reads what most runs have all of.
        batch = await asyncio.to_thread(next_rows, more)
        return await self.write(lambda connection: store_runs(connection, runs, batch, more))

    async def store_run(self, run: AnyRun) -> bool:
        """Store one run, as `store_runs` does; returns False if it is stored already."""
        return bool(await self.store_runs([run]))

    async def store_ratings(self, ratings: Sequence[NewRating]) -> dict[str, int]:
        """Append ratings, one at most of each job, in one transaction.

        Returns:
            Each job's revision, the first of which is 1. A job is left out, and nothing is stored
            of it, that has had another run meanwhile than those that were rated.
        """
        return await self.write(lambda connection: store_ratings(connection, ratings))

    async def keep_journal_part(self, run_id: str, start: int, content: str) -> None:
        """Append a piece of a living run's journal, which begins at byte `start` of it."""
        row = {
            "run_id": run_id,
            "start": start,
            "length": len(content.encode()),
            "content": content,
            "shipped_at": utc_now(),
        }
        await self.write(lambda connection: insert_new(connection, schema.journal_parts, [row]))

    async def drop_journals(self, run_ids: Sequence[str]) -> None:
        """Forget the pieces of journals: their runs are settled."""

        def shipped(connection: Connection) -> Sequence[str]:
            return connection.scalars(_SHIPPED, {"run_ids": run_ids}).all()

        # Most runs were never shipped, and need not stand in the writers' line for it.
        if found := await self.read(shipped):
            deletion = schema.journal_parts.delete().where(schema.journal_parts.c.run_id.in_(found))
            await self.write(lambda connection: connection.execute(deletion))

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries."""
        with self._translated():
            async with self._opened().connect() as connection:
                yield await connection.execution_options(**{READS_ONLY: True})

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
            raise LedgerError(f"store {self.location}: {advice(error.orig)}") from error
        except sqlite3.Error as error:
            raise LedgerError(f"store {self.location}: {advice(error)}") from error
        except (NoSuchModuleError, ImportError) as error:
            raise LedgerError(f"store {self.location}: no driver for it: {error}") from error
        except SQLAlchemyError as error:
            raise LedgerError(f"store {self.location}: {error}") from error
        except OSError as error:
            raise LedgerError(f"store {self.location}: {error.strerror or error}") from error
