"""From a month's lines to what is due: everything of a bill that is not measured.

The order of application: allowance and tiers (in `month`), commitment, credits (those that expire
first are used first), tax, rounding, prepaid balance. Each step is an amount of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ..pricing.charges import Charge, ChargeState
from ..pricing.exact import EXACT, ZERO
from ..pricing.plans import Credit, Plan
from ..usage import Certainty
from .month import Bucket, Month, MonthLine
from .rounding import payable, to_currency
from .sharing import add_up, share

BASE_FEE: Bucket = ("", "base fee")
SHORTFALL: Bucket = ("", "commitment shortfall")

SERVICE_STOPS = "past the allowance of a plan without overage: service stops there"

Tax = Callable[[Decimal], Decimal]
"""The tax on an amount, in the same currency and exact."""


@dataclass(frozen=True, slots=True)
class CreditUse:
    """What was used of a credit."""

    credit: Credit
    amount: Decimal


@dataclass(frozen=True, slots=True)
class UnratedItem:
    """Something used that has no price: missing from the total, never $0 in it."""

    meter: str
    provider: str
    model: str
    quantity: Decimal
    unit: str
    instances: int
    reason: str


@dataclass(frozen=True, slots=True)
class JobCost:
    """The three costs of one job.

    `list_cost` is without any allowance; `marginal_cost` what it added when it ended, given the
    allowances used by then; `effective_cost` its share of what the month comes to, fees and credits
    included. `unrated` counts its charges that have no price and are in none of them.
    """

    job_id: str
    list_cost: Decimal
    marginal_cost: Decimal
    effective_cost: Decimal
    unrated: int


@dataclass(frozen=True, slots=True)
class Unallocated:
    """A part of the total that belongs to no job, and why."""

    what: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a month comes to.

    `exact_total` is unrounded; `exact_total` + `rounding` = `total`, `total` - `prepaid_used` =
    `due`. The jobs' effective costs, the `unallocated` and the `rounding` add up to `total`.
    """

    currency: str
    lines: tuple[MonthLine, ...]
    usage_cost: Decimal
    base_fee: Decimal
    shortfall: Decimal
    credits: tuple[CreditUse, ...]
    tax: Decimal
    exact_total: Decimal
    rounding: Decimal
    total: Decimal
    prepaid_used: Decimal
    due: Decimal
    unrated: tuple[UnratedItem, ...]
    partial: tuple[Charge, ...]
    jobs: tuple[JobCost, ...]
    unallocated: tuple[Unallocated, ...]

    @property
    def list_cost(self) -> Decimal:
        """What the usage would cost without any allowance, fee or credit."""
        return add_up([line.charge.list_cost or ZERO for line in self.lines])


def make_bill(
    month: Month,
    plan: Plan,
    *,
    day: date,
    other_credits: Sequence[Credit] = (),
    prepaid: Decimal = ZERO,
    tax: Tax | None = None,
) -> Bill:
    """What is due for a month.

    Args:
        month: its lines, under the same plan.
        plan: fee, commitment and monthly credits.
        day: the period's first; a credit that expired before it is not used.
        other_credits: others than the plan's own.
        prepaid: the balance that the bill is paid from as far as it goes.
        tax: what comes on top of what is left after the credits; none by default.
    """
    amounts: dict[Bucket, Decimal] = {}
    for line in month.lines:
        amounts[line.bucket] = EXACT.add(amounts.get(line.bucket, ZERO), line.cost)
    usage_cost = add_up(list(amounts.values()))
    of_provider = [cost for (provider, _), cost in amounts.items() if provider == plan.provider]
    committed = EXACT.add(plan.base_fee, add_up(of_provider))
    shortfall = max(ZERO, EXACT.subtract(plan.commitment, committed))
    amounts |= {BASE_FEE: plan.base_fee, SHORTFALL: shortfall}
    used = _use_credits(amounts, [*plan.monthly_credits, *other_credits], day)
    net = add_up(list(amounts.values()))
    taxed = ZERO if tax is None else tax(net)
    exact = EXACT.add(net, taxed)
    total = to_currency(exact, month.currency)
    prepaid_used = min(payable(prepaid, month.currency), total)
    jobs, unallocated = _allocate(month, plan, amounts, taxed)
    return Bill(
        currency=month.currency,
        lines=month.lines,
        usage_cost=usage_cost,
        base_fee=plan.base_fee,
        shortfall=shortfall,
        credits=used,
        tax=taxed,
        exact_total=exact,
        rounding=EXACT.subtract(total, exact),
        total=total,
        prepaid_used=prepaid_used,
        due=EXACT.subtract(total, prepaid_used),
        unrated=_unrated(month.lines),
        partial=tuple(
            line.charge for line in month.lines if line.charge.certainty is not Certainty.EXACT
        ),
        jobs=jobs,
        unallocated=unallocated,
    )


def _use_credits(
    amounts: dict[Bucket, Decimal], offered: Sequence[Credit], day: date
) -> tuple[CreditUse, ...]:
    """Take credits off the amounts, in place; those that expire first are used first.

    One that covers anything comes off the base fee first: no restricted one could.
    """
    usable = [credit for credit in offered if credit.expires is None or credit.expires >= day]
    uses = []
    for credit in sorted(usable, key=lambda item: (item.expires or date.max, item.name)):
        left = credit.amount
        for bucket in sorted(amounts):
            if _spendable(credit, bucket):
                part = min(left, amounts[bucket])
                amounts[bucket] = EXACT.subtract(amounts[bucket], part)
                left = EXACT.subtract(left, part)
        if left < credit.amount:
            uses.append(CreditUse(credit, EXACT.subtract(credit.amount, left)))
    return tuple(uses)


def _spendable(credit: Credit, bucket: Bucket) -> bool:
    if bucket in (BASE_FEE, SHORTFALL):
        return not credit.providers and not credit.meters
    return credit.covers(*bucket)


def _unrated(lines: Sequence[MonthLine]) -> tuple[UnratedItem, ...]:
    items = []
    for line in lines:
        charge = line.charge
        about = charge.meter, charge.provider, charge.model
        if charge.state is ChargeState.UNRATED:
            quantity, measure = charge.consumed_quantity, charge.consumed_unit
            items.append(UnratedItem(*about, quantity, measure, charge.instances, charge.reason))
        elif line.beyond:
            measure = charge.pricing_unit or ""
            items.append(UnratedItem(*about, line.beyond, measure, charge.instances, SERVICE_STOPS))
    return tuple(items)


def _allocate(
    month: Month, plan: Plan, amounts: dict[Bucket, Decimal], tax: Decimal
) -> tuple[tuple[JobCost, ...], tuple[Unallocated, ...]]:
    """Every amount to the jobs that caused it, by their list costs; the rest by name.

    The base fee is shared by what the jobs used of the plan's provider.
    """
    effective = [ZERO] * len(month.jobs)
    rest = []
    for bucket, amount in sorted(amounts.items()):
        if bucket == BASE_FEE:
            weights = [
                add_up([cost for (of, _), cost in job.list_cost.items() if of == plan.provider])
                for job in month.jobs
            ]
        else:
            weights = [job.list_cost.get(bucket, ZERO) for job in month.jobs]
        if any(weights):
            for number, part in enumerate(share(amount, weights)):
                effective[number] = EXACT.add(effective[number], part)
        elif amount:
            rest.append(Unallocated(bucket[1], amount))
    if tax:
        rest.append(Unallocated("tax", tax))
    jobs = tuple(
        JobCost(
            job.job_id,
            add_up(list(job.list_cost.values())),
            add_up(list(job.cost.values())),
            cost,
            job.unrated,
        )
        for job, cost in zip(month.jobs, effective, strict=True)
    )
    return jobs, tuple(rest)
