"""From the ledger to what tenants are charged, and to what is left of that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from ..billing.bill import make_bill
from ..billing.margin import Margins, TenantMonth, margins
from ..billing.month import JobCharges, add_up_month
from ..billing.period import Period
from ..billing.plan_card import card_on_plan
from ..billing.statement import make_statement
from ..errors import RateError
from ..ledger.issued import issued_statements
from ..ledger.period_queries import PeriodJob, jobs_with_usage
from ..ledger.store import Ledger
from ..pricing.loading import load_card
from ..pricing.plans import Plan, find_plan, load_plans
from ..pricing.price_book import NotSold, PriceBook, PriceTerms, book_card
from ..pricing.price_book_file import load_price_book
from ..settings import MeterSettings
from ..usage import Usage
from .month_usage import read_month
from .statements import Draft, StatedMonth, draft_month, of_payer, plan_of


@dataclass(frozen=True, slots=True)
class MonthMargins:
    """The margins, what they were made by, and what nobody buys, with the tenants that use it."""

    margins: Margins
    rate_card: str
    not_sold: Mapping[NotSold, tuple[str, ...]]


class _Books:
    """Cost book and price book as they are in force, and the terms of each plan that is sold."""

    def __init__(
        self, settings: MeterSettings, found: Iterable[PeriodJob], cost_plan: str | None = None
    ) -> None:
        self.plans = load_plans(settings.rates)
        self.card = load_card(settings.rates)
        self.book: PriceBook = load_price_book(settings.rates)
        self._cost_plan = find_plan(self.plans, cost_plan or plan_of(found, settings))
        self._cost_card = card_on_plan(self.card, self._cost_plan)
        self._terms: dict[str, PriceTerms] = {}

    def terms(self, plan_id: str) -> PriceTerms:
        if plan_id not in self._terms:
            plan = find_plan(self.plans, plan_id)
            if plan.book != "price":
                raise RateError(
                    f'plan {plan_id!r} is not sold to tenants; write one with book = "price"'
                )
            prices = card_on_plan(book_card(self.card, plan), plan)
            cost_plan = self._cost_plan.plan_id
            self._terms[plan_id] = PriceTerms(plan, prices, self._cost_card, cost_plan, self.book)
        return self._terms[plan_id]

    def customers(self, period: Period) -> dict[str, str]:
        last = period.day_of(period.end - timedelta(microseconds=1))
        return self.book.customers_in(period.first_day, last + timedelta(days=1))


async def state_tenant(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    tenant: str,
    *,
    plan_id: str | None = None,
) -> StatedMonth:
    """A draft of what a tenant is charged for a month, by a plan of a price book.

    Args:
        ledger: the store.
        settings: where the owner's rates and customers are.
        period: the month.
        tenant: the payer.
        plan_id: by default the plan that a [[customer]] entry gives the tenant.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: the tenant is on no plan, the plan is not sold, or several currencies.
    """
    found = await jobs_with_usage(ledger, period.start, period.end, tenant)
    books = _Books(settings, found)
    chosen = plan_id or books.customers(period).get(tenant)
    if chosen is None:
        raise RateError(
            f"tenant {tenant!r} is on no plan in {period.name}; give it one with a [[customer]]"
            " entry in your rate file, or name one with --plan"
        )
    terms = books.terms(chosen)
    charged: list[JobCharges] = []
    await read_month(
        ledger,
        period,
        found,
        lambda job, usages: charged.append(_sell(job, usages, terms)[0]),
    )
    statement = make_statement(
        charged, terms.plan, period, rate_card=books.card.version, tenant=tenant
    )
    days = {job.job_id: period.day_of(job.ended_at).isoformat() for job in charged}
    return Draft(statement, {job.job_id: job for job in found}, days).stated()


async def month_margins(
    ledger: Ledger, settings: MeterSettings, period: Period, *, cost_plan: str | None = None
) -> MonthMargins:
    """What is left of what tenants pay for a month.

    Args:
        ledger: the store.
        settings: where the owner's rates and customers are.
        period: the month.
        cost_plan: the plan that we are on; by default the one that the month's jobs ran on.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: jobs on several plans, a plan that cannot be used, or several currencies.
    """
    # Issued or not: both books are of what the ledger has now, and a late instance is in the month
    # that it ended in. So no correction is in another month's.
    issued = [one for one in await issued_statements(ledger) if of_payer(one, None)]
    cost = await draft_month(
        ledger, settings, period, issued, cost_plan, None, None, corrected=False
    )
    found = await jobs_with_usage(ledger, period.start, period.end)
    books = _Books(settings, found, cost_plan)
    customers = books.customers(period)
    by_tenant: dict[str, list[PeriodJob]] = defaultdict(list)
    for job in found:
        by_tenant[job.tenant].append(job)
    not_sold: dict[NotSold, set[str]] = defaultdict(set)
    charged: dict[str, list[JobCharges]] = defaultdict(list)

    def sell(job: PeriodJob, usages: list[Usage]) -> None:
        made, left_out = _sell(job, usages, books.terms(customers[job.tenant]))
        charged[job.tenant].append(made)
        for one in left_out:
            not_sold[one].add(job.tenant)

    await read_month(ledger, period, [job for job in found if job.tenant in customers], sell)
    months = []
    for tenant in sorted({*by_tenant, *customers}):
        jobs = by_tenant.get(tenant, [])
        job_ids = tuple(job.job_id for job in jobs)
        if tenant not in customers:
            months.append(TenantMonth(tenant=tenant, job_ids=job_ids))
            continue
        terms = books.terms(customers[tenant])
        months.append(_tenant_month(tenant, job_ids, terms.plan, charged[tenant], period))
    bill = None if cost.statement is None else cost.statement.bill
    unsold = {one: tuple(sorted(not_sold[one])) for one in sorted(not_sold)}
    return MonthMargins(margins(months, bill), books.card.version, unsold)


def _tenant_month(
    tenant: str, job_ids: tuple[str, ...], plan: Plan, charged: list[JobCharges], period: Period
) -> TenantMonth:
    bill = make_bill(add_up_month(charged, plan), plan, day=period.first_day)
    return TenantMonth(tenant=tenant, job_ids=job_ids, plan=plan, bill=bill)


def _sell(
    job: PeriodJob, usages: list[Usage], terms: PriceTerms
) -> tuple[JobCharges, frozenset[NotSold]]:
    """What a tenant is charged for a job, and what of it nobody buys."""
    sold = terms.charges(usages, job.hosting)
    ended_at = max(usage.ended_at for usage in usages)
    return JobCharges(job_id=job.job_id, ended_at=ended_at, charges=sold.charges), sold.not_sold
