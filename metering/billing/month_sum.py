"""A month's charges without its jobs: what it comes to, in memory that does not grow with it.

What the month costs does not depend on which job used the allowances up, so that its charges can be
added up one by one and go through the plan together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..pricing.charges import Charge
from ..pricing.exact import EXACT
from ..pricing.parts import WORSE
from .month import JobCharges, LineKey, line_key


@dataclass(slots=True)
class MonthSum:
    """Charges, added up to one for each line of a month."""

    lines: dict[LineKey, Charge] = field(default_factory=dict)

    def add(self, charges: Iterable[Charge]) -> None:
        """Add a job's charges, or some of them."""
        for charge in charges:
            key = line_key(charge)
            before = self.lines.get(key)
            self.lines[key] = charge if before is None else _together(before, charge)

    def as_job(self) -> list[JobCharges]:
        """All of it as a month's one job, or no job where nothing was charged."""
        if not self.lines:
            return []
        charges = tuple(self.lines.values())
        return [JobCharges(job_id="", ended_at=datetime.min.replace(tzinfo=UTC), charges=charges)]


def _together(one: Charge, other: Charge) -> Charge:
    disputed = one.disputed
    if disputed is not None:
        theirs = None if other.disputed is None else other.disputed.list_cost
        cost = None
        if disputed.list_cost is not None and theirs is not None:
            cost = EXACT.add(disputed.list_cost, theirs)
        disputed = replace(disputed, list_cost=cost)
    pricing, cost = one.pricing_quantity, one.list_cost
    if pricing is not None and other.pricing_quantity is not None:
        pricing = EXACT.add(pricing, other.pricing_quantity)
    if cost is not None and other.list_cost is not None:
        cost = EXACT.add(cost, other.list_cost)
    return replace(
        one,
        instances=one.instances + other.instances,
        consumed_quantity=EXACT.add(one.consumed_quantity, other.consumed_quantity),
        pricing_quantity=pricing,
        list_cost=cost,
        certainty=max(one.certainty, other.certainty, key=WORSE.__getitem__),
        disputed=disputed,
    )
