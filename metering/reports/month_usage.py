"""What the jobs of a month have in it, one job at a time: whoever states a month reads it so."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..billing.period import Period
from ..ledger.period_queries import PeriodJob
from ..ledger.store import Ledger
from ..ledger.usage_queries import each_job_usage
from ..usage import Usage


async def read_month(
    ledger: Ledger,
    period: Period,
    jobs: Iterable[PeriodJob],
    take: Callable[[PeriodJob, list[Usage]], object],
) -> None:
    """Hand over the instances of each job that end in a period, if it has any.

    Raises:
        LedgerError: the store cannot be read.
    """
    by_id = {job.job_id: job for job in jobs}

    def take_within(job_id: str, usages: list[Usage]) -> None:
        # Another observation of an instance ended in the period than the one that counts.
        if within := [usage for usage in usages if period.holds(usage.ended_at)]:
            take(by_id[job_id], within)

    await each_job_usage(ledger, list(by_id), take_within)
