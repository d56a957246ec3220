"""A month that was, on every plan and hosting."""

from __future__ import annotations

from ..billing.comparison import Offer, in_order, refused_by
from ..billing.period import Period
from ..billing.statement import bill_terms, limits_of
from ..display.records import amount
from ..ledger.period_queries import jobs_with_usage
from ..ledger.store import Ledger
from ..pricing.hosting import ROOM_PROVIDERS
from ..pricing.loading import load_card
from ..pricing.plans import Plan, load_plans
from ..settings import MeterSettings
from .month_charges import ChargedMonth, charge


async def replay_month(
    ledger: Ledger, settings: MeterSettings, period: Period, *, tenant: str | None = None
) -> list[Offer]:
    """A month that was, as it would have been on every plan and hosting; each in one currency.

    The plans that hold it come first, then by price; those by contract and of a price book are left
    out. Limits are held against the most that ran at once.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: charges in several currencies.
    """
    catalog = load_card(settings.rates)
    found = await jobs_with_usage(ledger, period.start, period.end, tenant)
    options = [
        (plan, ChargedMonth(period, catalog, plan.on, hosting))
        for plan in load_plans(settings.rates).values()
        if plan.book == "cost" and not plan.by_contract
        for hosting in plan.hostings or ROOM_PROVIDERS
    ]
    await charge(ledger, period, found, [charged for _, charged in options])
    return in_order([_offer(plan, charged) for plan, charged in options])


def _offer(plan: Plan, charged: ChargedMonth) -> Offer:
    parts = charged.charges()
    bill = bill_terms(parts, charged.period)
    limits = limits_of(parts)
    refusals = [
        f"{plan.plan_id} has no room for {amount(line.beyond, line.charge.pricing_unit)}"
        f" of {line.charge.meter}"
        for line in bill.lines
        if line.beyond
    ]
    refusals += refused_by(plan, limits)
    return Offer(plan, charged.hosting or "", bill, limits, tuple(refusals), None, "")
