"""From a month's lines to what is due: everything of a bill that is not measured.

The order of application: allowance and tiers (in `month`), commitment, credits (those that expire
first are used first), tax, rounding, prepaid balance. Each step is an amount of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from ..errors import RateError
from ..pricing.charges import Charge, ChargeState
from ..pricing.exact import EXACT, ZERO
from ..pricing.plans import Credit, Plan
from ..usage import Certainty
from .allocation import JobCost, Unallocated, allocate, together
from .correction import Correction
from .credits import BASE_FEE, SHORTFALL, CreditUse, Offered, use_credits
from .month import Bucket, Month, MonthLine
from .rounding import payable, to_currency
from .sharing import add_up

SERVICE_STOPS = "past the allowance of a plan without overage: service stops there"

Tax = Callable[[Decimal], Decimal]
"""The tax on an amount, in the same currency and exact."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a month comes to.

    `exact_total` is unrounded; `exact_total` + `rounding` = `total`, `total` - `prepaid_used` =
    `due`. The jobs' effective costs, the `unallocated` and the `rounding` add up to `total`.
    Corrections of months that were issued before are rounded already.
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
    corrections: tuple[Correction, ...] = ()
    prepaid_left: Decimal = ZERO

    @property
    def own_total(self) -> Decimal:
        """The total without corrections of other months."""
        return EXACT.subtract(self.total, add_up([one.amount for one in self.corrections]))

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
    """What is due for a month on one plan.

    Args:
        month: its lines, under the same plan.
        plan: fee, commitment and monthly credits.
        day: the period's first; a credit that expired before it is not used.
        other_credits: others than the plan's own; what is left of them is kept.
        prepaid: the balance that the bill is paid from as far as it goes.
        tax: what comes on top of what is left after the credits; none by default.
    """
    return bill_of_terms(
        [(month, plan)], day=day, other_credits=other_credits, prepaid=prepaid, tax=tax
    )


def bill_of_terms(
    terms: Sequence[tuple[Month, Plan]],
    *,
    day: date,
    other_credits: Sequence[Credit] = (),
    prepaid: Decimal = ZERO,
    tax: Tax | None = None,
) -> Bill:
    """What is due for a month in which the plan may change: `make_bill`, with a part for each plan.

    Every plan is prorated already, and its credits come off its own part only.

    Raises:
        RateError: the parts are in several currencies.
    """
    currency = _currency(terms)
    amounts: list[dict[Bucket, Decimal]] = []
    for month, _ in terms:
        of_part: dict[Bucket, Decimal] = {}
        for line in month.lines:
            of_part[line.bucket] = EXACT.add(of_part.get(line.bucket, ZERO), line.cost)
        amounts.append(of_part)
    usage_cost = add_up([cost for of_part in amounts for cost in of_part.values()])
    shortfalls = []
    for (_, plan), of_part in zip(terms, amounts, strict=True):
        of_provider = [cost for (provider, _), cost in of_part.items() if provider == plan.provider]
        committed = EXACT.add(plan.base_fee, add_up(of_provider))
        shortfalls.append(max(ZERO, EXACT.subtract(plan.commitment, committed)))
        of_part |= {BASE_FEE: plan.base_fee, SHORTFALL: shortfalls[-1]}
    offers = [
        Offered(credit, [of_part])
        for (_, plan), of_part in zip(terms, amounts, strict=True)
        for credit in plan.monthly_credits
    ]
    offers += [
        Offered(credit, amounts, carried=True)
        for credit in other_credits
        if credit.currency in ("", currency)
    ]
    used = use_credits(offers, day)
    net = add_up([amount for of_part in amounts for amount in of_part.values()])
    taxed = ZERO if tax is None else tax(net)
    exact = EXACT.add(net, taxed)
    total = to_currency(exact, currency)
    lines = tuple(
        replace(line, term=number)
        for number, (month, _) in enumerate(terms)
        for line in month.lines
    )
    costs: list[JobCost] = []
    rest: list[Unallocated] = []
    for (month, plan), of_part in zip(terms, amounts, strict=True):
        of_jobs, of_none = allocate(month, plan, of_part)
        costs += of_jobs
        rest += of_none
    if taxed:
        rest.append(Unallocated("tax", taxed))
    prepaid_used = min(payable(prepaid, currency), total)
    return Bill(
        currency=currency,
        lines=lines,
        usage_cost=usage_cost,
        base_fee=add_up([plan.base_fee for _, plan in terms]),
        shortfall=add_up(shortfalls),
        credits=used,
        tax=taxed,
        exact_total=exact,
        rounding=EXACT.subtract(total, exact),
        total=total,
        prepaid_used=prepaid_used,
        prepaid_left=EXACT.subtract(prepaid, prepaid_used),
        due=EXACT.subtract(total, prepaid_used),
        unrated=list_unrated(lines),
        partial=tuple(
            line.charge for line in lines if line.charge.certainty is not Certainty.EXACT
        ),
        jobs=together(costs),
        unallocated=tuple(rest),
    )


def with_corrections(bill: Bill, corrections: Sequence[Correction], prepaid: Decimal) -> Bill:
    """The bill with what issued months come to besides, paid from a balance as far as that goes.

    What comes to less than nothing is due to the payer: it goes back to no balance.

    Args:
        bill: a month's own, not paid from any balance.
        corrections: of other months, in its currency.
        prepaid: the balance.
    """
    amount = add_up([one.amount for one in corrections])
    total = EXACT.add(bill.total, amount)
    prepaid_used = max(ZERO, min(payable(prepaid, bill.currency), total))
    unrated = [
        replace(item, reason=f"{one.name}: {item.reason}")
        for one in corrections
        for item in list_unrated(one.lines)
        if item.quantity > 0
    ]
    return replace(
        bill,
        exact_total=EXACT.add(bill.exact_total, amount),
        total=total,
        prepaid_used=prepaid_used,
        prepaid_left=EXACT.subtract(prepaid, prepaid_used),
        due=EXACT.subtract(total, prepaid_used),
        unrated=(*bill.unrated, *unrated),
        unallocated=(
            *bill.unallocated,
            *(Unallocated(one.name, one.amount) for one in corrections if one.amount),
        ),
        corrections=tuple(corrections),
    )


def _currency(terms: Sequence[tuple[Month, Plan]]) -> str:
    in_use = {
        month.currency
        for month, plan in terms
        if plan.base_fee
        or plan.commitment
        or plan.monthly_credits
        or any(line.charge.list_cost for line in month.lines)
    }
    if len(in_use) > 1:
        raise RateError(
            f"the plans of this month are in {' and '.join(sorted(in_use))}, and are not added up"
            " across currencies"
        )
    return next(iter(in_use), terms[-1][0].currency)


def list_unrated(lines: Iterable[MonthLine]) -> tuple[UnratedItem, ...]:
    """What has no price in these lines, or has none past the plan's allowance."""
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
