"""A plan's terms for a part of a month, and what of them is left when it changes within it.

What is per month (base fee, allowances, tiers past them, commitment, credits) is prorated by the
payer's calendar days; the day of a change counts for the new plan. No provider's documents that we
know say how a change within a month is billed, so this is an assumption, and a statement says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from ..pricing.exact import EXACT
from ..pricing.plans import Plan
from .period import Period

PRORATED = (
    "base fee, allowances, tiers, commitment and monthly credits of each plan are prorated by day,"
    " the day of a change counting for the new plan: no provider's documents say how it is done"
)

_DECIMALS = 12


@dataclass(frozen=True, slots=True)
class Term:
    """The plan that holds from `since` until the day before `until`, prorated to these days."""

    plan: Plan
    since: date
    until: date
    of_days: int

    @property
    def days(self) -> int:
        """How many of the month's `of_days` it holds."""
        return (self.until - self.since).days


def terms_of(period: Period, plan_on: Callable[[date], Plan]) -> tuple[Term, ...]:
    """The terms of a month, in order; one of them where the plan does not change.

    Args:
        period: the month.
        plan_on: the plan, with the terms of a day of it.
    """
    first = period.first_day
    following = period.following_day
    of_days = (following - first).days
    changes = [(first, plan_on(first))]
    for number in range(1, of_days):
        day = first + timedelta(days=number)
        plan = plan_on(day)
        if plan != changes[-1][1]:
            changes.append((day, plan))
    ends = [day for day, _ in changes[1:]] + [following]
    return tuple(
        Term(
            prorated(plan, (since - first).days, (until - first).days, of_days),
            since,
            until,
            of_days,
        )
        for (since, plan), until in zip(changes, ends, strict=True)
    )


def prorated(plan: Plan, begin: int, end: int, of_days: int) -> Plan:
    """What a plan comes to for the days from `begin` to before `end` of a month, counted from 0.

    Each amount is a difference of two running ones, cut at the twelfth decimal: the parts of a
    month add up to the whole.
    """
    if (begin, end) == (0, of_days):
        return plan

    def part(amount: Decimal) -> Decimal:
        return EXACT.subtract(_until(amount, end, of_days), _until(amount, begin, of_days))

    return replace(
        plan,
        base_fee=part(plan.base_fee),
        credit=part(plan.credit),
        credits=tuple(replace(item, amount=part(item.amount)) for item in plan.credits),
        allowances=tuple(
            item if item.quantity is None else replace(item, quantity=part(item.quantity))
            for item in plan.allowances
        ),
        tiers=tuple(
            replace(item, tiers=tuple(replace(tier, over=part(tier.over)) for tier in item.tiers))
            for item in plan.tiers
        ),
        commitment=part(plan.commitment),
    )


def _until(amount: Decimal, day: int, of_days: int) -> Decimal:
    if day == of_days:
        return amount
    scaled = EXACT.multiply(amount, Decimal(day)).scaleb(_DECIMALS, EXACT)
    return EXACT.divide_int(scaled, Decimal(of_days)).scaleb(-_DECIMALS, EXACT)
