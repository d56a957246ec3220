"""What is left of what tenants pay, once what they cost is paid: by job, by tenant, by month.

A cost is the job's effective one, its share of what the month really comes to; a price is its share
of what its tenant is charged. What belongs to no job (a fee of a tenant without jobs, roundings)
stands beside the rows, so that they add up to the month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..errors import RateError
from ..pricing.exact import EXACT, ZERO
from ..pricing.plans import Plan
from ..usage import format_decimal
from .bill import Bill
from .sharing import add_up


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantMonth:
    """A tenant's month: its jobs, and its plan and bill, or None where it is no customer."""

    tenant: str
    job_ids: tuple[str, ...]
    plan: Plan | None = None
    bill: Bill | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginRow:
    """A tenant's or a job's price less its cost; None is the price of a tenant without a plan.

    `unlimited` says that the plan includes some meter without limit. `unrated` counts what has no
    price or no cost, and is in neither amount.
    """

    tenant: str
    job_id: str | None
    plan_id: str | None
    price: Decimal | None
    cost: Decimal
    unlimited: bool
    unrated: int

    @property
    def margin(self) -> Decimal | None:
        """What is left of the price."""
        return None if self.price is None else EXACT.subtract(self.price, self.cost)

    @property
    def loses_money(self) -> bool:
        """Whether it costs more than it pays."""
        return self.margin is not None and self.margin < 0

    @property
    def flag(self) -> str:
        """What stands out, in words, or nothing."""
        if self.price is None:
            return "on no plan: it costs, and nobody pays"
        if not self.loses_money:
            return ""
        where = " on an unlimited tier" if self.unlimited else ""
        return f"costs more than it pays{where}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; amounts are strings of exact decimals."""
        price, margin = self.price, self.margin
        return {
            "tenant": self.tenant,
            "job_id": self.job_id,
            "plan": self.plan_id,
            "price": None if price is None else format_decimal(price),
            "cost": format_decimal(self.cost),
            "margin": None if margin is None else format_decimal(margin),
            "loses_money": self.loses_money,
            "unlimited": self.unlimited,
            "flag": self.flag,
            "unrated": self.unrated,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """A month's margins. The rows and the unallocated amounts add up to `price` and `cost`."""

    currency: str
    tenants: tuple[MarginRow, ...]
    jobs: tuple[MarginRow, ...]
    price: Decimal
    cost: Decimal

    @property
    def margin(self) -> Decimal:
        """What is left of the month, after all that it costs."""
        return EXACT.subtract(self.price, self.cost)

    def unallocated(self, rows: Sequence[MarginRow]) -> tuple[Decimal, Decimal]:
        """Of price and cost, what is in none of the rows."""
        prices = add_up([row.price or ZERO for row in rows])
        costs = add_up([row.cost for row in rows])
        return EXACT.subtract(self.price, prices), EXACT.subtract(self.cost, costs)


def margins(tenants: Sequence[TenantMonth], cost: Bill | None) -> Margins:
    """The margins of a month.

    Tax is no income of ours and no cost: it is in neither.

    Args:
        tenants: each once, those without jobs and those without a plan too.
        cost: the month's bill over all of their jobs; None where nothing is due.

    Raises:
        RateError: prices and cost are in several currencies.
    """
    costs = {} if cost is None else {job.job_id: job.effective_cost for job in cost.jobs}
    uncosted = {} if cost is None else {job.job_id: job.unrated for job in cost.jobs}
    of_tenants, of_jobs, price = [], [], ZERO
    for month in sorted(tenants, key=lambda one: one.tenant):
        income = None if month.bill is None else _net(month.bill)
        price = EXACT.add(price, income or ZERO)
        jobs = [_job(month, job_id, costs, uncosted) for job_id in sorted(month.job_ids)]
        of_jobs += jobs
        of_tenants.append(
            MarginRow(
                tenant=month.tenant,
                job_id=None,
                plan_id=month.plan.plan_id if month.plan else None,
                price=income,
                cost=add_up([job.cost for job in jobs]),
                unlimited=_is_unlimited(month.plan),
                unrated=sum(job.unrated for job in jobs),
            )
        )
    return Margins(
        currency=_currency([one.bill for one in tenants], cost),
        tenants=tuple(of_tenants),
        jobs=tuple(of_jobs),
        price=price,
        cost=ZERO if cost is None else _net(cost),
    )


def _job(
    month: TenantMonth, job_id: str, costs: Mapping[str, Decimal], uncosted: Mapping[str, int]
) -> MarginRow:
    price, unpriced = None, 0
    if month.bill is not None:
        # A job of which nothing is sold is in no line of the bill, and pays nothing.
        billed = next((job for job in month.bill.jobs if job.job_id == job_id), None)
        price = ZERO if billed is None else billed.effective_cost
        unpriced = 0 if billed is None else billed.unrated
    return MarginRow(
        tenant=month.tenant,
        job_id=job_id,
        plan_id=month.plan.plan_id if month.plan else None,
        price=price,
        cost=costs.get(job_id, ZERO),
        unlimited=_is_unlimited(month.plan),
        unrated=unpriced + uncosted.get(job_id, 0),
    )


def _net(bill: Bill) -> Decimal:
    return EXACT.subtract(bill.total, bill.tax)


def _is_unlimited(plan: Plan | None) -> bool:
    return plan is not None and any(one.quantity is None for one in plan.allowances)


def _currency(prices: Sequence[Bill | None], cost: Bill | None) -> str:
    bills = [bill for bill in (*prices, cost) if bill is not None]
    found = sorted({bill.currency for bill in bills if bill.exact_total})
    if len(found) > 1:
        raise RateError(
            f"prices and cost are in {' and '.join(found)}; a margin is of one currency only"
        )
    return next(iter(found or [bill.currency for bill in bills]), "USD")
