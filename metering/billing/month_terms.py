"""What a rate's own terms make of a month: included units, tiers and packages.

Jobs go through in the order in which they end. What each adds is the difference of what the month
has come to before and after it, so that they add up to the month. With volume prices that can be
less than nothing: the job that reaches a cheaper tier makes all before it cheaper, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from ..pricing.charge_models import ChargeModel, MonthTerms, Package, tier_of
from ..pricing.exact import EXACT, ZERO, ceil_to


class PricePart(NamedTuple):
    """Some of a quantity at one price; `over` is where its tier begins, if there are tiers."""

    over: Decimal | None
    quantity: Decimal
    unit_price: Decimal


class Taken(NamedTuple):
    """What the terms made of a quantity.

    `past` is what was not included. `parts` are its prices, none with volume prices: those are
    known when the month is. `added` is what the month's cost grew by.
    """

    included: Decimal
    past: Decimal
    parts: tuple[PricePart, ...]
    added: Decimal


@dataclass(slots=True)
class TermsPool:
    """How much of a rate's month has gone; in its pricing unit.

    A rate whose price changes within a month goes on where it was, but volume prices count what was
    used at each of them.
    """

    used: Decimal = ZERO
    past: Decimal = ZERO
    volumes: dict[MonthTerms, Decimal] = field(default_factory=dict)

    def take(self, quantity: Decimal, unit_price: Decimal, terms: MonthTerms) -> Taken:
        """Let a job's quantity through; `unit_price` is the rate's."""
        left = max(ZERO, EXACT.subtract(terms.included, self.used))
        included = min(quantity, left)
        past = EXACT.subtract(quantity, included)
        self.used = EXACT.add(self.used, quantity)
        begin, end = self.past, EXACT.add(self.past, past)
        self.past = end
        if terms.charge_model is ChargeModel.VOLUME:
            before = self.volumes.get(terms, ZERO)
            after = self.volumes[terms] = EXACT.add(before, past)
            added = EXACT.subtract(_at_volume(terms, after), _at_volume(terms, before))
            return Taken(included, past, (), added)
        if terms.charge_model is ChargeModel.GRADUATED:
            parts = _graduated(terms, begin, end)
        elif terms.package is not None:
            parts = _packages(terms.package, begin, end)
        else:
            parts = (PricePart(None, past, unit_price),) if past else ()
        added = ZERO
        for part in parts:
            added = EXACT.add(added, EXACT.multiply(part.quantity, part.unit_price))
        return Taken(included, past, parts, added)

    def at_volume(self, terms: MonthTerms, past: Decimal) -> PricePart:
        """Some of the month's quantity, at the price of the tier that all of it landed in."""
        tier = tier_of(terms.tiers, self.volumes.get(terms, ZERO))
        return PricePart(tier.over, past, tier.unit_price)


def _at_volume(terms: MonthTerms, quantity: Decimal) -> Decimal:
    return EXACT.multiply(quantity, tier_of(terms.tiers, quantity).unit_price)


def _packages(package: Package, begin: Decimal, end: Decimal) -> tuple[PricePart, ...]:
    more = EXACT.subtract(ceil_to(end, package.size), ceil_to(begin, package.size))
    started = EXACT.divide_int(more, package.size)
    return (PricePart(None, started, package.price),) if started else ()


def _graduated(terms: MonthTerms, begin: Decimal, end: Decimal) -> tuple[PricePart, ...]:
    parts = []
    for number, tier in enumerate(terms.tiers):
        last = number + 1 == len(terms.tiers)
        until = end if last else min(end, terms.tiers[number + 1].over)
        within = EXACT.subtract(until, max(begin, tier.over))
        if within > 0:
            parts.append(PricePart(tier.over, within, tier.unit_price))
    return tuple(parts)
