"""A month that was, on every plan and hosting, and with other models than it was held with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..billing.comparison import Offer, in_order, refused_by
from ..billing.period import Period
from ..billing.statement import bill_terms, limits_of
from ..billing.summed_month import SummedMonth
from ..billing.swap import Swap, Swapped, Swapping, not_used, with_unmeasured
from ..display.records import amount
from ..ledger.period_queries import jobs_with_usage
from ..ledger.store import Ledger
from ..ledger.usage_queries import job_usage
from ..pricing.hosting import ROOM_PROVIDERS
from ..pricing.loading import load_card
from ..pricing.plans import Plan, load_plans
from ..settings import MeterSettings


@dataclass(frozen=True, slots=True)
class Replay:
    """A month on every plan and hosting, those that hold it first, then by price.

    With swaps, `as_used` has the offer without them, by plan and hosting; `swapped` says what they
    replaced, and `assumptions` what that takes for granted.
    """

    offers: Sequence[Offer]
    as_used: Mapping[tuple[str, str], Offer] = field(default_factory=dict)
    swapped: Mapping[Swap, Swapped] = field(default_factory=dict)
    assumptions: Sequence[str] = ()


async def replay_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    *,
    tenant: str | None = None,
    swaps: Sequence[Swap] = (),
) -> Replay:
    """A month that was, as it would have been on every plan and hosting; each in one currency.

    Those by contract and of a price book are left out. Limits are held against the most that ran at
    once. However many jobs there were, only sums are kept of them.

    Args:
        ledger: the store.
        settings: where the owner's rates are.
        period: the month.
        tenant: only this tenant's jobs.
        swaps: models to have been used instead of others.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: charges in several currencies, two swaps of one source, or of one that was not
            used.
    """
    catalog = load_card(settings.rates)
    found = await jobs_with_usage(ledger, period.start, period.end, tenant)
    offered = [
        (plan, hosting)
        for plan in load_plans(settings.rates).values()
        if plan.book == "cost" and not plan.by_contract
        for hosting in plan.hostings or ROOM_PROVIDERS
    ]
    as_used = [SummedMonth(period, catalog, plan.on, hosting) for plan, hosting in offered]
    swapping = Swapping(swaps, catalog)
    card = with_unmeasured(catalog, swaps) if swaps else catalog
    instead = [SummedMonth(period, card, plan.on, hosting) for plan, hosting in offered]
    for job in found:
        usages = [
            usage for usage in await job_usage(ledger, job.job_id) if period.holds(usage.ended_at)
        ]
        if not usages:
            continue
        for month in as_used:
            month.add(await asyncio.to_thread(month.rate, job.hosting, usages, watched=True))
        if swaps:
            swapped = swapping.swap(usages)
            for month in instead:
                month.add(await asyncio.to_thread(month.rate, job.hosting, swapped, watched=True))
    before = [
        _offer(plan, hosting, month)
        for (plan, hosting), month in zip(offered, as_used, strict=True)
    ]
    if not swaps:
        return Replay(in_order(before))
    if unused := swapping.unused():
        raise not_used(unused, swapping.models, period.name)
    after = [
        _offer(plan, hosting, month)
        for (plan, hosting), month in zip(offered, instead, strict=True)
    ]
    return Replay(
        in_order(after),
        {(offer.plan.plan_id, offer.hosting): offer for offer in before},
        swapping.swapped,
        swapping.assumptions(),
    )


def _offer(plan: Plan, hosting: str, month: SummedMonth) -> Offer:
    parts = month.charges()
    bill = bill_terms(parts, month.period)
    limits = limits_of(parts)
    refusals = [
        f"{plan.plan_id} has no room for {amount(line.beyond, line.charge.pricing_unit)}"
        f" of {line.charge.meter}"
        for line in bill.lines
        if line.beyond
    ]
    refusals += refused_by(plan, limits)
    return Offer(plan, hosting, bill, limits, tuple(refusals), None, "")
