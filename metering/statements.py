"""From the ledger to a month's statement: the one place where pure billing meets what is stored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from .billing.bill import make_bill
from .billing.comparison import Offer, in_order, refused_by
from .billing.concurrency import PeakWatch, check_limits
from .billing.month import JobCharges, add_up_month
from .billing.period import Period
from .billing.plan_card import card_on_plan
from .billing.sharing import add_up
from .billing.statement import Statement, make_statement
from .errors import RateError
from .ledger.period_queries import PeriodJob, jobs_with_usage
from .ledger.store import Ledger
from .ledger.usage_queries import job_usage
from .pricing.charges import Charge
from .pricing.hosting import ROOM_PROVIDERS, as_hosted
from .pricing.loading import load_card
from .pricing.plans import Plan, find_plan, load_plans
from .pricing.rate_card import RateCard
from .pricing.rating import rate
from .settings import MeterSettings
from .tables import amount
from .usage import Usage

NO_PLAN = "none"


class GroupBy(StrEnum):
    """What jobs are put together by."""

    TENANT = "tenant"
    TAG = "tag"
    ROOM = "room"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs of a statement with something in common, and what they cost together."""

    name: str
    jobs: int
    list_cost: Decimal
    marginal_cost: Decimal
    effective_cost: Decimal
    unrated: int


@dataclass(frozen=True, slots=True)
class StatedMonth:
    """A statement, or None where nothing is due, with what its jobs can be grouped by."""

    statement: Statement | None
    jobs: Mapping[str, PeriodJob]
    days: Mapping[str, str]

    def groups(self, by: GroupBy) -> list[Group]:
        """The jobs' costs, summed; the effective costs of all groups are those of all jobs.

        A job with several tags stands under all of them together, so that nothing counts twice.
        """
        if self.statement is None:
            return []
        found = defaultdict(list)
        for cost in self.statement.bill.jobs:
            found[self._name(cost.job_id, by)].append(cost)
        return [
            Group(
                name,
                len(costs),
                add_up([cost.list_cost for cost in costs]),
                add_up([cost.marginal_cost for cost in costs]),
                add_up([cost.effective_cost for cost in costs]),
                sum(cost.unrated for cost in costs),
            )
            for name, costs in sorted(found.items())
        ]

    def _name(self, job_id: str, by: GroupBy) -> str:
        job = self.jobs[job_id]
        if by is GroupBy.DAY:
            return self.days[job_id]
        if by is GroupBy.TAG:
            return ", ".join(sorted(set(job.tags)))
        return job.tenant if by is GroupBy.TENANT else job.room_name


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a month is rated on: as it ran, unless a hosting is given."""

    plan: Plan
    card: RateCard
    hosting: str | None = None

    def charges(self, usages: list[Usage], hosting: str) -> tuple[Charge, ...]:
        return tuple(rate(usages, self.card, hosting=hosting, plan=self.plan.plan_id))


@dataclass(slots=True)
class _Charged:
    """A month's charges on some terms."""

    terms: _Terms
    jobs: list[JobCharges] = field(default_factory=list)
    hostings: set[str] = field(default_factory=set)
    watch: PeakWatch = field(default_factory=PeakWatch.empty)

    def add(self, job: PeriodJob, usages: list[Usage]) -> None:
        terms, hosting = self.terms, self.terms.hosting or job.hosting
        if terms.hosting is not None:
            usages = as_hosted(usages, hosting)
        self.hostings.add(hosting)
        self.watch.add(usages, hosting)
        ended_at = max(usage.ended_at for usage in usages)
        charges = terms.charges(usages, hosting)
        self.jobs.append(JobCharges(job_id=job.job_id, ended_at=ended_at, charges=charges))


async def state_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    *,
    plan_id: str | None = None,
    hosting: str | None = None,
    tenant: str | None = None,
) -> StatedMonth:
    """A draft of the statement of a month, from what the ledger has now.

    Args:
        ledger: the store.
        settings: where the owner's rates are, and the plan of a month without jobs.
        period: the month; an instance belongs to it if it ends in it.
        plan_id: the payer's plan; by default the one that the month's jobs ran on.
        hosting: rate everything as if it had run so; by default each job as it did.
        tenant: only this tenant's jobs, as the sole payer on the plan.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: no such plan or hosting, jobs on several plans, charges in several currencies, a
            plan of a price book (`tenants.state_tenant` states those) or by contract.
    """
    plans = load_plans(settings.rates)
    asked = find_plan(plans, plan_id) if plan_id is not None else None
    found = await jobs_with_usage(ledger, period.start, period.end, tenant)
    plan = asked or find_plan(plans, plan_of(found, settings))
    if plan.book != "cost":
        raise RateError(
            f"plan {plan.plan_id!r} is of a price book, and this statement is of what providers"
            " charge; use a plan of theirs, or say --book price and whose statement with --tenant"
        )
    catalog = load_card(settings.rates)
    charged = _Charged(_Terms(plan, card_on_plan(catalog, plan), hosting))
    await _charge(ledger, period, found, [charged])
    statement = make_statement(
        charged.jobs,
        plan,
        period,
        rate_card=catalog.version,
        tenant=tenant or "",
        hostings=sorted(charged.hostings),
        peaks=charged.watch.peaks(),
    )
    days = {job.job_id: period.day_of(job.ended_at).isoformat() for job in charged.jobs}
    return StatedMonth(statement, {job.job_id: job for job in found}, days)


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
        _Charged(_Terms(plan, card_on_plan(catalog, plan), hosting))
        for plan in load_plans(settings.rates).values()
        if plan.book == "cost" and not plan.by_contract
        for hosting in plan.hostings or ROOM_PROVIDERS
    ]
    await _charge(ledger, period, found, options)
    offers = [_offer(charged, period) for charged in options]
    return in_order(offers)


def _offer(charged: _Charged, period: Period) -> Offer:
    plan = charged.terms.plan
    bill = make_bill(add_up_month(charged.jobs, plan), plan, day=period.first_day)
    limits = check_limits(plan.limits, charged.watch.peaks())
    refusals = [
        f"{plan.plan_id} has no room for {amount(line.beyond, line.charge.pricing_unit)}"
        f" of {line.charge.meter}"
        for line in bill.lines
        if line.beyond
    ]
    refusals += refused_by(plan, limits)
    return Offer(plan, charged.terms.hosting or "", bill, limits, tuple(refusals), None, "")


async def _charge(
    ledger: Ledger, period: Period, jobs: Iterable[PeriodJob], options: Iterable[_Charged]
) -> None:
    """Rate what each job has in the period, on all terms at once: it is read only once."""
    for job in jobs:
        usages = [
            usage for usage in await job_usage(ledger, job.job_id) if period.holds(usage.ended_at)
        ]
        # Another observation of an instance ended in the period than the one that counts.
        if usages:
            for charged in options:
                await asyncio.to_thread(charged.add, job, usages)


def plan_of(jobs: Iterable[PeriodJob], settings: MeterSettings) -> str:
    """The plan of the month's jobs; those on one's own server are on none, beside any other."""
    named = {job.plan for job in jobs}
    on_none, plans = NO_PLAN in named, sorted(named - {NO_PLAN})
    if len(plans) > 1:
        raise RateError(
            f"the jobs of this month ran on {' and '.join(plans)}; name one of them with --plan"
        )
    if plans:
        return plans[0]
    return NO_PLAN if on_none else settings.resolved_plan
