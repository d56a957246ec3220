"""Requests that look alike are looked up once.

Most requests of a month differ in nothing but their quantities: the same meters of the same model
on the same day. What becomes of each quantity is found for the first of them; the others are added
to the same lines. Where a quantity decides what is billed (tiers by a request's size, a part larger
than its whole) there is no such shape, and each request is looked at on its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import NamedTuple

from ..usage import Certainty, Usage
from .exact import EXACT
from .line import Line, Other
from .parts import Share
from .rate_card import Rate

ShapeKey = tuple[Hashable, ...]


class Step(NamedTuple):
    """What becomes of the usage `at` this place in a request.

    It is taken out of the one at `whole`, if any, and added to its line; `others` are what sources
    that disagree would bill for it.
    """

    at: int
    whole: int | None
    line: Line
    others: tuple[tuple[Other, Rate], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of the quantities of all requests of one shape."""

    steps: tuple[Step, ...]

    def add(self, usages: Sequence[Usage]) -> bool:
        """Add a request to its lines; False, and nothing is added, where a part exceeds its whole.

        Raises:
            decimal.DecimalException: quantities too far apart in size to be added exactly.
        """
        if len(self.steps) == 1:
            self._add_to_line(self.steps[0], usages[0], usages[0].quantity)
            return True
        quantities = [usage.quantity for usage in usages]
        for at, whole, _, _ in self.steps:
            if whole is not None:
                if quantities[at] > quantities[whole]:
                    return False
                quantities[whole] = EXACT.subtract(quantities[whole], quantities[at])
        for step in self.steps:
            self._add_to_line(step, usages[step.at], quantities[step.at])
        return True

    def _add_to_line(self, step: Step, usage: Usage, quantity: Decimal) -> None:
        step.line.take(quantity, usage.certainty)
        for other, rate in step.others:
            other.take(usage, rate)


def shape_key(usages: Sequence[Usage]) -> ShapeKey:
    """What decides about a request, but for its quantities."""
    first = usages[0]
    if len(usages) == 1:
        return (first.provider, first.model, *_usage_key(first))
    return (first.provider, first.model, *map(_usage_key, usages))


def _usage_key(usage: Usage) -> ShapeKey:
    began = usage.started_at
    return (
        usage.meter,
        usage.unit,
        usage.certainty,
        (began if began.tzinfo is UTC else began.astimezone(UTC)).toordinal(),
        frozenset(usage.attributes.items()) if usage.attributes else None,
    )


def is_regular(shares: Sequence[Share]) -> bool:
    """Whether quantities decide about nothing but how much is billed."""
    several = len(shares) > 1
    if several and len({share.usage.meter for share in shares}) < len(shares):
        return False
    for share in shares:
        # How sure a part is decides how sure its whole is; and what was never reported has no size.
        if share.certainty is Certainty.ESTIMATED:
            return False
        if several and share.certainty is not Certainty.EXACT:
            return False
        rates = share.finding.rates
        if share.finding.add_ons or share.finding.unpriced_add_ons or len(rates) > 1:
            return False
        if rates and rates[0].request_input_over is not None:
            return False
    return True
