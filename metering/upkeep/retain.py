"""Jobs whose time is over forget what they were called and who was in them, by themselves.

What people can ask for with `forget` happens here at the end of the retention, but for the backups:
these are as old as whoever keeps them lets them be.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from ..clock import utc_now
from ..journal import SUFFIX
from ..ledger.forgetting import named_jobs
from ..ledger.store import Ledger
from ..ledger.upkeep import shipped_heads
from ..settings import MeterSettings
from ..sweeping import SETTLED_FOLDER
from .forget import forget_old
from .prune import journal_head, told_by


async def retain(
    settings: MeterSettings, *, now: datetime | None = None, dry_run: bool = False
) -> list[str]:
    """Forget the jobs whose tenants' retention is over; returns which.

    A job of which something is still to be settled waits. With `dry_run` nothing is forgotten.

    Raises:
        JournalError: a journal cannot be read or rewritten.
        LedgerError: the store cannot be read or written.
        OutboxError: what waits cannot be rewritten.
    """
    retention = settings.retention
    now = now or utc_now()
    if retention.shortest is None:
        return []
    local = await asyncio.to_thread(_named_here, settings)
    async with Ledger(settings.ledger_url) as ledger:
        old = await named_jobs(ledger, now - timedelta(days=retention.shortest), also=local)
        heads = await shipped_heads(ledger)
    busy = await asyncio.to_thread(_unsettled, settings)
    busy |= {info.job_id for head in heads if (info := told_by(head))}
    due = [
        job_id
        for job_id, tenant, ended_at in old
        if job_id not in busy and retention.is_over(tenant, ended_at, now)
    ]
    if due and not dry_run:
        await forget_old(settings, due)
    return due


def _named_here(settings: MeterSettings) -> set[str]:
    """The jobs that settled journals still name: of a shared store another machine has forgotten
    them already, and cannot reach this one's disk."""
    return {
        info.job_id
        for path in (settings.journals_path / SETTLED_FOLDER).glob(f"*{SUFFIX}")
        if (info := journal_head(path)) and info.room_name
    }


def _unsettled(settings: MeterSettings) -> set[str]:
    return {
        info.job_id
        for path in settings.journals_path.glob(f"*{SUFFIX}")
        if (info := journal_head(path))
    }
