"""From the ledger to a month's forecast: what has ended in it, and the weeks before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ..billing.bill import Bill
from ..billing.forecast import WEEKS_BACK, Forecast, ForecastMonth
from ..billing.period import Period
from ..errors import UsagePruned
from ..ledger.issued import issued_statements
from ..ledger.period_queries import PeriodJob, first_ended, jobs_with_usage
from ..ledger.schema import safe_text
from ..ledger.store import Ledger
from ..ledger.usage_queries import job_usage
from ..settings import MeterSettings
from .statements import of_payer, of_period, payers_month, read_issued


@dataclass(frozen=True, slots=True)
class MonthForecast:
    """A forecast; of a month that was `issued` it is its statement."""

    plan_id: str
    rate_card: str
    forecast: Forecast
    issued: bool = False


async def forecast_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    now: datetime,
    *,
    plan_id: str | None = None,
    tenant: str | None = None,
) -> MonthForecast:
    """What a month's statement is to be expected to come to.

    Args:
        ledger: the store.
        settings: where the owner's rates are, and the plan where no jobs say it.
        period: the month.
        now: what ended at this instant or later is left out.
        plan_id: the payer's plan; by default as a statement has it.
        tenant: only this tenant's jobs, as the sole payer on the plan.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: as for a statement.
    """
    tenant = None if tenant is None else safe_text(tenant)
    issued = [one for one in await issued_statements(ledger) if of_payer(one, tenant)]
    frozen = of_period(issued, period)
    if frozen is not None and plan_id in (None, frozen.plan):
        stated = (await read_issued(ledger, frozen)).statement
        if stated is not None:
            return MonthForecast(
                stated.plan_id, stated.rate_card, _as_issued(stated.bill), issued=True
            )
    since, before = await _history(ledger, period, now, tenant)
    payer = await payers_month(
        ledger, settings, period, issued, plan_id, None, tenant, before=before
    )
    month = ForecastMonth(
        period, payer.catalog, payer.plan_on, now, since, hosting_on=payer.hosting_on
    )
    jobs = {job.job_id: job for job in (*before, *payer.jobs)}
    for job in jobs.values():
        usages = await job_usage(ledger, job.job_id)
        await asyncio.to_thread(month.add, job.hosting, usages)
    return MonthForecast(
        payer.plan_on(period.following_day - timedelta(days=1)).plan_id,
        payer.catalog.version,
        month.forecast(payer.credits, payer.due.corrections),
    )


def _as_issued(bill: Bill) -> Forecast:
    total = bill.total
    basis = "the month's statement was issued: its total"
    return Forecast(
        so_far=bill,
        so_far_total=total,
        total=total,
        low=total,
        high=total,
        days_left=0,
        history=(),
        replays=0,
        refused=0,
        basis=basis,
    )


async def _history(
    ledger: Ledger, period: Period, now: datetime, tenant: str | None
) -> tuple[date | None, list[PeriodJob]]:
    """The first day that is looked at, and the jobs since; None where there was no usage yet.

    Where usage of the weeks before was pruned, the month's own days are all that is known.
    """
    first = await first_ended(ledger, tenant)
    if first is None or first >= now:
        return None, []
    today = period.day_of(now)
    since = max(period.day_of(first), today - timedelta(weeks=WEEKS_BACK))
    if since >= today:
        return None, []
    try:
        return since, await jobs_with_usage(ledger, period.start_of(since), now, tenant)
    except UsagePruned:
        since = max(since, period.first_day)
        if since >= today:
            return None, []
        return since, await jobs_with_usage(ledger, period.start_of(since), now, tenant)
