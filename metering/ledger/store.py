"""The ledger: opened, migrated, and written to in single transactions.

Everything that is written here is written once. A run that is stored a second time changes
nothing, and an instance that two runs or two jobs have seen is claimed by whoever came first, in
the same transaction that writes it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, select
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..clock import utc_now
from ..errors import LedgerError
from ..pricing.charges import Charge
from ..run import Run
from ..usage import Usage
from . import schema
from .database import (
    IN_MEMORY,
    READS_ONLY,
    advice,
    create_engine,
    current_revision,
    insert_if_new,
    insert_new,
    migrate,
    parse_url,
    wait_in_line,
)


class Ledger:
    """A connection to the store; use it as an async context manager."""

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
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine(self._url)
            async with self.reading() as connection:
                revision = await connection.run_sync(current_revision)
            if revision != schema.SCHEMA_REVISION:
                async with self._engine.begin() as connection:
                    await connection.run_sync(migrate)

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
            await connection.run_sync(wait_in_line, f"job {info.job_id}")
            await insert_new(
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
            is_new = await insert_if_new(
                connection,
                schema.runs,
                {
                    "run_id": info.run_id,
                    "job_id": info.job_id,
                    "status": run.status,
                    "error": run.error,
                    "started_at": info.started_at,
                    "ended_at": run.ended_at,
                    "damaged_lines": run.damaged_lines,
                },
            )
            if not is_new:
                return False
            pseudonyms = await _pseudonyms(connection, run)
            # Always in the same order: of two that store the same instances one waits, never both.
            ordered = sorted(run.usages, key=lambda usage: (usage.instance_id, usage.meter))
            rows = [_usage_row(run, usage, pseudonyms) for usage in ordered]
            await insert_new(connection, schema.usage, rows)
            await insert_new(
                connection,
                schema.claims,
                [{name: row[name] for name in ("instance_id", "meter", "job_id")} for row in rows],
            )
            return True

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
        async with self._writing() as connection:
            await connection.run_sync(wait_in_line, f"job {job_id}")
            runs = schema.runs
            stored_runs = await connection.scalars(
                select(runs.c.run_id).where(runs.c.job_id == job_id)
            )
            if set(stored_runs) != set(rated_runs):
                return None
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

    async def keep_journal_part(self, run_id: str, start: int, content: str) -> None:
        """Append a piece of a living run's journal, which begins at byte `start` of it."""
        async with self._writing() as connection:
            row = {
                "run_id": run_id,
                "start": start,
                "length": len(content.encode()),
                "content": content,
                "shipped_at": utc_now(),
            }
            await insert_new(connection, schema.journal_parts, [row])

    async def drop_journal(self, run_id: str) -> None:
        """Forget the pieces of a journal: its run is settled."""
        async with self._writing() as connection:
            parts = schema.journal_parts
            await connection.execute(parts.delete().where(parts.c.run_id == run_id))

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries."""
        with self._translated():
            async with self._opened().connect() as connection:
                yield await connection.execution_options(**{READS_ONLY: True})

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
            raise LedgerError(f"store {self.location}: {advice(error.orig)}") from error
        except (NoSuchModuleError, ImportError) as error:
            raise LedgerError(f"store {self.location}: no driver for it: {error}") from error
        except SQLAlchemyError as error:
            raise LedgerError(f"store {self.location}: {error}") from error
        except OSError as error:
            raise LedgerError(f"store {self.location}: {error.strerror or error}") from error


async def _pseudonyms(connection: AsyncConnection, run: Run) -> dict[str, str]:
    """A pseudonym for everyone that the run names, new ones made up at random."""
    people = schema.people
    identities = {usage.participant for usage in run.usages if usage.participant} | set(run.people)
    known = await connection.execute(
        select(people.c.identity).where(people.c.identity.in_(identities))
    )
    unnamed = identities - {row.identity for row in known}
    new = [
        {
            "identity": identity,
            "pseudonym": f"person_{uuid.uuid4().hex[:16]}",
            "name": run.people.get(identity, ""),
        }
        for identity in sorted(unnamed)
    ]
    await insert_new(connection, people, new)
    # Somebody else may have named them in the meantime; whoever was first has.
    named = await connection.execute(
        select(people.c.identity, people.c.pseudonym).where(people.c.identity.in_(identities))
    )
    return {row.identity: row.pseudonym for row in named}


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
