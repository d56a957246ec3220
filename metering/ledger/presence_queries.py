"""Who was in a room with an agent, whoever pays for it: for what a job could have done without.

Of two agents in one room only one has claimed a person's connection, but both have seen it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, select

from . import schema
from .store import Ledger
from .writing import ROWS_AT_ONCE

Seen = tuple[str, tuple[datetime, datetime]]
"""A participant's kind, and when it was connected."""


async def seen_connections(ledger: Ledger, job_id: str) -> list[Seen]:
    """Every connection to the room that a job's runs have seen, claimed by it or not.

    Raises:
        LedgerError: the store cannot be read.
    """
    usage = schema.usage
    query = select(usage.c.attributes, usage.c.started_at, usage.c.ended_at).where(
        usage.c.job_id == job_id, usage.c.meter == "participant_connection"
    )

    def read(connection: Connection) -> list[Seen]:
        return [
            (str(attributes.get("kind", "")), (started_at, ended_at))
            for attributes, started_at, ended_at in connection.execute(query)
        ]

    return await ledger.read(read)


async def see_sessions(
    ledger: Ledger,
    start: datetime,
    end: datetime,
    tenant: str | None,
    see: Callable[[tuple[str, str], str, datetime, datetime], None],
) -> None:
    """Hand over the agent sessions that ended in [start, end): room and agent, job, begin, end.

    Those of one room and agent come together, in the order in which they began; a session whose
    room has no SID is left out.

    Raises:
        LedgerError: the store cannot be read.
    """
    usage, jobs = schema.usage, schema.jobs
    query = (
        select(
            jobs.c.room_sid,
            jobs.c.agent_name,
            usage.c.job_id,
            usage.c.started_at,
            usage.c.ended_at,
        )
        .join(jobs, jobs.c.job_id == usage.c.job_id)
        .where(
            usage.c.meter == "agent_session",
            usage.c.ended_at >= start,
            usage.c.ended_at < end,
            jobs.c.room_sid != "",
        )
        .order_by(jobs.c.room_sid, jobs.c.agent_name, usage.c.started_at, usage.c.job_id)
    )
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant)

    def read(connection: Connection) -> None:
        streaming = connection.execution_options(yield_per=ROWS_AT_ONCE)
        for room, agent, job_id, started_at, ended_at in streaming.execute(query):
            see((room, agent), job_id, started_at, ended_at)

    await ledger.read(read)
