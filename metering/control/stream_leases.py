"""The pool of STT streams in the store, where all jobs that share it meet.

One exchange is one transaction, and of those that concern one provider's limits one goes on at a
time: no two jobs take the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, select

from ..clock import utc_now
from ..ledger import schema
from ..ledger.database import wait_in_line
from ..ledger.store import Ledger
from .stream_limits import StreamLimits
from .stream_pool import Answer, Held, Lease, exchange


async def exchange_in_store(
    url: str, provider: str, limits: StreamLimits, holder: str, held: Sequence[Held]
) -> Answer:
    """Say what a job holds and waits for, and get what it may open.

    Raises:
        LedgerError: the store cannot be reached, read or written.
    """
    async with Ledger(url) as ledger:
        return await ledger.write(
            lambda connection: exchange_rows(connection, provider, limits, holder, held)
        )


def exchange_rows(
    connection: Connection,
    provider: str,
    limits: StreamLimits,
    holder: str,
    held: Sequence[Held],
    now: datetime | None = None,
) -> Answer:
    """The same, inside a transaction that writes; `now` is by the store's own clock if not given.

    Machines' clocks differ, and jobs say only how long ago something was.
    """
    wait_in_line(connection, f"stt streams of {provider}")
    table = schema.stream_leases
    rows = connection.execute(select(table).where(table.c.provider == provider)).mappings()
    before = {row["lease_id"]: _lease(row) for row in rows}
    after = dict(before)
    stamp = now or _store_time(connection)
    answer = exchange(after, limits, holder, held, stamp.timestamp())

    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if stale := sorted(changed & before.keys()):
        connection.execute(
            table.delete().where(table.c.provider == provider, table.c.lease_id.in_(stale))
        )
    if fresh := [_row(provider, after[key]) for key in sorted(changed & after.keys())]:
        connection.execute(table.insert(), fresh)
    return answer


def _store_time(connection: Connection) -> datetime:
    """Of this moment, not of the transaction's beginning: it may have stood in line."""
    if connection.dialect.name == "postgresql":
        stamp = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        assert isinstance(stamp, datetime)
        return stamp
    return utc_now()


def _lease(row: RowMapping) -> Lease:
    opened_at, released_at = row["opened_at"], row["released_at"]
    return Lease(
        lease_id=row["lease_id"],
        holder=row["run_id"],
        asked_at=row["asked_at"].timestamp(),
        opened_at=opened_at and opened_at.timestamp(),
        released_at=released_at and released_at.timestamp(),
        expires_at=row["expires_at"].timestamp(),
    )


def _row(provider: str, lease: Lease) -> dict[str, object]:
    return {
        "provider": provider,
        "lease_id": lease.lease_id,
        "run_id": lease.holder,
        "asked_at": _stamp(lease.asked_at),
        "opened_at": None if lease.opened_at is None else _stamp(lease.opened_at),
        "released_at": None if lease.released_at is None else _stamp(lease.released_at),
        "expires_at": _stamp(lease.expires_at),
    }


def _stamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
