"""Which credit pays for what: those that are lost first are used first, each only where it applies.

A plan's credit is new each month and lost at its end, so it goes before one that lives longer. What
is carried over from month to month says how much it has `left`.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ..pricing.exact import EXACT
from ..pricing.plans import Credit
from .month import Bucket

BASE_FEE: Bucket = ("", "base fee")
SHORTFALL: Bucket = ("", "commitment shortfall")


@dataclass(frozen=True, slots=True)
class CreditUse:
    """What was used of a credit.

    `carried` is one that is used up over the months, of which `left` remains; a plan's is new each
    month. In a correction the amount is a difference, and nothing is said of what remains.
    """

    credit: Credit
    amount: Decimal
    carried: bool = False
    left: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A credit, and the amounts that it may come off: those of its plan's part of the month."""

    credit: Credit
    parts: Sequence[dict[Bucket, Decimal]]
    carried: bool = False


def last_of_month(day: date) -> date:
    """The last day of a day's month."""
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def use_credits(offers: Sequence[Offered], day: date) -> tuple[CreditUse, ...]:
    """Take credits off the amounts, in place.

    One that covers anything comes off the base fee first: no restricted one could.

    Args:
        offers: in any order.
        day: the period's first; a credit that expired before it is not used.
    """
    month_ends = last_of_month(day)

    def lost(offer: Offered) -> tuple[date, date, str]:
        expires = offer.credit.expires or date.max
        return (expires if offer.carried else min(expires, month_ends)), expires, offer.credit.name

    uses = []
    for offer in sorted(offers, key=lost):
        credit = offer.credit
        if credit.expires is not None and credit.expires < day:
            continue
        left = credit.amount
        for amounts in offer.parts:
            for bucket in sorted(amounts):
                if _spendable(credit, bucket):
                    part = min(left, amounts[bucket])
                    amounts[bucket] = EXACT.subtract(amounts[bucket], part)
                    left = EXACT.subtract(left, part)
        if left < credit.amount:
            used = EXACT.subtract(credit.amount, left)
            remains = left if offer.carried else None
            uses.append(CreditUse(credit, used, offer.carried, remains))
    return tuple(uses)


def _spendable(credit: Credit, bucket: Bucket) -> bool:
    if bucket in (BASE_FEE, SHORTFALL):
        return not credit.providers and not credit.meters
    return credit.covers(*bucket)
