"""The ledger: opened, migrated, and written to in single transactions.

Everything that is written here is written once. A run that is stored a second time changes
nothing, and an instance that two runs or two jobs have seen is claimed by whoever came first, in
the same transaction that writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, bindparam, select
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..clock import utc_now
from ..errors import LedgerError
from ..pricing.charges import Charge
from ..run import AnyRun
from ..usage import Usage
from . import schema
from .database import (
    IN_MEMORY,
    READS_ONLY,
    SharedEngine,
    advice,
    create_engine,
    current_revision,
    insert_if_new,
    insert_new,
    insert_selected,
    migrate,
    parse_url,
    shared_engine,
    wait_in_line,
)

Result = TypeVar("Result")

ROWS_AT_ONCE = 1000
"""How many rows are held in memory at once, however many a run has; a database takes as many
parameters."""

# To build a statement takes as long as to run it, and each job runs these.
_SEEN = (
    select(schema.usage.c.instance_id, schema.usage.c.meter, schema.usage.c.job_id)
    .where(schema.usage.c.run_id == bindparam("seen_by"))
    .order_by(schema.usage.c.instance_id, schema.usage.c.meter)
)
_NAMED = select(schema.people.c.identity, schema.people.c.pseudonym).where(
    schema.people.c.identity.in_(bindparam("identities", expanding=True))
)
_RUNS = select(schema.runs.c.run_id).where(schema.runs.c.job_id == bindparam("of_job"))
_REVISIONS = select(schema.ratings.c.revision).where(schema.ratings.c.job_id == bindparam("of_job"))


class Ledger:
    """A connection to the store; use it as an async context manager.

    A transaction runs on a thread of its own; `blocking` runs it on the caller's, for an event loop
    that has nothing else to do.
    """

    def __init__(self, url: str | URL, *, blocking: bool = False) -> None:
        self._url = url if isinstance(url, URL) else parse_url(url)
        self._engine: AsyncEngine | None = None
        self._shared: SharedEngine | None = None
        self._blocking = blocking
        self._is_open = False

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
            self._shared = shared_engine(self._url)
            if self._shared is not None:
                self._shared.acquire()
            self._is_open = True
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
        self._is_open = False
        if self._shared:
            self._shared.release()
            self._shared = None

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do some reading, all from one state of the store.

        Raises:
            LedgerError: the store cannot be read.
        """
        with self._translated():
            if self._shared is not None:
                return await self.off_loop(_read, self._shared.engine, work)
            async with self._opened().connect() as connection:
                await connection.execution_options(**{READS_ONLY: True})
                return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do some work in one transaction: all of it is stored, or, where it raises, nothing.

        Raises:
            LedgerError: the store cannot take it.
        """
        with self._translated():
            if self._shared is not None:
                return await self.off_loop(_write, self._shared.engine, work)
            async with self._opened().begin() as connection:
                return await connection.run_sync(work)

    async def off_loop(self, work: Callable[..., Result], *args: Any) -> Result:
        """Do work that takes a while where this ledger does its own."""
        if self._blocking:
            return work(*args)
        return await asyncio.to_thread(work, *args)

    async def store_run(self, run: AnyRun) -> bool:
        """Store a run's job, usage and people, and claim its instances, in one transaction.

        Of an instance that the run has twice the first is kept.

        Returns:
            False if this run is stored already; then nothing is changed.
        """
        usages = iter(run.usages)
        # Nobody waits for this writer while it reads what most runs have all of.
        batch = await self.off_loop(_next_batch, usages)
        return await self.write(lambda connection: _store_run(connection, run, batch, usages))

    async def store_rating(
        self,
        job_id: str,
        charges: Sequence[Charge],
        *,
        rate_card: str,
        hosting: str,
        plan: str,
        rated_runs: Collection[str],
    ) -> int | None:
        """Append a rating of a job.

        Returns:
            Its revision, the first of which is 1; None, and nothing is stored, where the job has
            had another run meanwhile than those that were rated.
        """

        def store(connection: Connection) -> int | None:
            wait_in_line(connection, f"job {job_id}")
            stored_runs = connection.scalars(_RUNS, {"of_job": job_id})
            if set(stored_runs) != set(rated_runs):
                return None
            revisions = connection.scalars(_REVISIONS, {"of_job": job_id})
            revision = max(revisions, default=0) + 1
            rating = {
                "job_id": job_id,
                "revision": revision,
                "rate_card": rate_card,
                "hosting": hosting,
                "plan": plan,
                "rated_at": utc_now(),
            }
            connection.execute(schema.ratings.insert(), rating)
            rows = [
                _charge_row(job_id, revision, position, charge)
                for position, charge in enumerate(charges)
            ]
            if rows:
                connection.execute(schema.charges.insert(), rows)
            return revision

        return await self.write(store)

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

    async def drop_journal(self, run_id: str) -> None:
        """Forget the pieces of a journal: its run is settled."""
        its_parts = schema.journal_parts.c.run_id == run_id
        # Most runs were never shipped, and need not stand in the writers' line for it.
        any_part = select(its_parts).where(its_parts).limit(1)
        if await self.read(lambda connection: connection.execute(any_part).first()):
            deletion = schema.journal_parts.delete().where(its_parts)
            await self.write(lambda connection: connection.execute(deletion))

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries."""
        with self._translated():
            async with self._opened().connect() as connection:
                yield await connection.execution_options(**{READS_ONLY: True})

    def _opened(self) -> AsyncEngine:
        if not self._is_open:
            raise LedgerError("the store is not open")
        if self._engine is None:
            self._engine = create_engine(self._url)
        return self._engine

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Database errors as one line that says what to do."""
        try:
            yield
        except DBAPIError as error:
            raise LedgerError(f"store {self.location}: {advice(error.orig)}") from error
        except (NoSuchModuleError, ImportError) as error:
            raise LedgerError(f"store {self.location}: no driver for it: {error}") from error
        except SQLAlchemyError as error:
            raise LedgerError(f"store {self.location}: {error}") from error
        except OSError as error:
            raise LedgerError(f"store {self.location}: {error.strerror or error}") from error


def _next_batch(usages: Iterator[Usage]) -> list[Usage]:
    return list(itertools.islice(usages, ROWS_AT_ONCE))


def _read(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.connect() as connection:
        return work(connection.execution_options(**{READS_ONLY: True}))


def _write(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


def _store_run(
    connection: Connection, run: AnyRun, batch: list[Usage], usages: Iterator[Usage]
) -> bool:
    info = run.info
    wait_in_line(connection, f"job {info.job_id}")
    job = {
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
    insert_new(connection, schema.jobs, [job])
    stored = {
        "run_id": info.run_id,
        "job_id": info.job_id,
        "status": run.status,
        "error": run.error,
        "started_at": info.started_at,
        "ended_at": run.ended_at,
        "damaged_lines": run.damaged_lines,
    }
    if not insert_if_new(connection, schema.runs, stored):
        return False
    pseudonyms = _pseudonyms(connection, run)
    while batch:
        rows = [_usage_row(run, usage, pseudonyms) for usage in batch]
        insert_new(connection, schema.usage, rows)
        batch = _next_batch(usages) if len(batch) == ROWS_AT_ONCE else []
    _claim(connection, info.run_id)
    return True


def _claim(connection: Connection, run_id: str) -> None:
    """Claim a run's instances for its job, where nobody has.

    Always in the same order: of two that claim the same instances one waits, never both.
    """
    insert_selected(connection, schema.claims, _SEEN, {"seen_by": run_id})


def _pseudonyms(connection: Connection, run: AnyRun) -> dict[str, str]:
    """A pseudonym for everyone that the run names, new ones made up at random.

    Everyone at once and in order, as in `_claim`.
    """
    participants = run.participants
    if participants is None:
        participants = frozenset(used.participant for used in run.usages if used.participant)
    identities = sorted(participants | set(run.people))
    pseudonyms = _named(connection, identities)
    if unnamed := [identity for identity in identities if identity not in pseudonyms]:
        new = [
            {
                "identity": identity,
                "pseudonym": f"person_{uuid.uuid4().hex[:16]}",
                "name": run.people.get(identity, ""),
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


def _usage_row(run: AnyRun, usage: Usage, pseudonyms: dict[str, str]) -> dict[str, Any]:
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
