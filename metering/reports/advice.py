"""From the ledger to advice in money: a month's jobs, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from ..billing.advice import Finding, MonthAdvice
from ..billing.avoidable import DuplicateSweep, is_agents_time, presence_of
from ..billing.bill import Bill
from ..billing.period import Period
from ..billing.summed_month import SummedMonth
from ..ledger.issued import issued_statements
from ..ledger.period_queries import PeriodJob
from ..ledger.presence_queries import see_sessions, seen_connections
from ..ledger.schema import safe_text
from ..ledger.store import Ledger
from ..ledger.usage_queries import job_usage
from ..pricing.plans import Plan, load_plans
from ..settings import MeterSettings
from .statements import of_payer, payers_month


@dataclass(frozen=True, slots=True)
class Advice:
    """A month as it was, and what it could have done without, the most expensive first."""

    plan_id: str
    rate_card: str
    bill: Bill
    findings: Sequence[Finding]


async def advise_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    *,
    plan_id: str | None = None,
    tenant: str | None = None,
    alone: timedelta = timedelta(seconds=60),
    seconds_in: Decimal = Decimal(10),
) -> Advice:
    """What would have made a month cheaper, and by how much.

    However many jobs there were, what is kept of them are sums, and 16 bytes for each time that
    counts towards a plan's limits.

    Args:
        ledger: the store.
        settings: where the owner's rates are, and the plan of a month without jobs.
        period: the month.
        plan_id: the payer's plan; by default as a statement has it.
        tenant: only this tenant's jobs, as the sole payer on the plan.
        alone: an agent that is alone for as long or longer need not be there.
        seconds_in: fewer seconds than these into a started minute are too few to pay it for.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: as for a statement.
    """
    tenant = None if tenant is None else safe_text(tenant)
    issued = [one for one in await issued_statements(ledger) if of_payer(one, tenant)]
    payer = await payers_month(ledger, settings, period, issued, plan_id, None, tenant)
    month = SummedMonth(period, payer.catalog, payer.plan_on, hosting_on=payer.hosting_on)
    own = payer.plan_on(period.following_day - timedelta(days=1))
    candidates = [
        (plan, SummedMonth(period, payer.catalog, plan.on, hosting_on=payer.hosting_on))
        for plan in load_plans(settings.rates).values()
        if _could_be(plan, own, payer.jobs)
    ]
    sweep = DuplicateSweep(alone)
    await see_sessions(ledger, period.start, period.end, tenant, sweep.see)
    advice = MonthAdvice(month, candidates, alone=alone, seconds_in=seconds_in)
    for job in payer.jobs:
        usages = [
            usage for usage in await job_usage(ledger, job.job_id) if period.holds(usage.ended_at)
        ]
        if not usages:
            continue
        presence = None
        if any(map(is_agents_time, usages)):
            presence = presence_of(await seen_connections(ledger, job.job_id))
        await asyncio.to_thread(
            advice.add,
            job.job_id,
            job.hosting,
            usages,
            presence=presence,
            duplicate=sweep.spans.get(job.job_id, ()),
        )
    return Advice(
        own.plan_id,
        payer.catalog.version,
        advice.bill(payer.credits),
        advice.findings(payer.credits),
    )


def _could_be(plan: Plan, own: Plan, jobs: Sequence[PeriodJob]) -> bool:
    """Whether the month's jobs could have run, as they did, on another plan of the provider."""
    if plan.plan_id == own.plan_id or plan.provider != own.provider:
        return False
    hosted = {job.hosting for job in jobs} - {"self"}
    return (
        plan.book == own.book
        and not plan.by_contract
        and (not plan.hostings or hosted <= set(plan.hostings))
    )
