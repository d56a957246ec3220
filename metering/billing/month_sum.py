"""A month's charges without its jobs: what it comes to, in memory that does not grow with it.

What the month costs does not depend on which job used the allowances up, so that its charges can be
added up one by one and go through the plan together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..pricing.charges import Charge
from .charge_sum import ChargeSum, LineKey, line_key
from .month import JobCharges


@dataclass(slots=True)
class MonthSum:
    """Charges, added up to one for each line of a month."""

    lines: dict[LineKey, ChargeSum] = field(default_factory=dict)

    def add(self, charges: Iterable[Charge]) -> None:
        """Add a job's charges, or some of them."""
        for charge in charges:
            key = line_key(charge)
            line = self.lines.get(key)
            if line is None:
                line = self.lines[key] = ChargeSum(charge)
            line.add(charge)

    def charges(self) -> dict[LineKey, Charge]:
        """One charge for each line."""
        return {key: line.summed() for key, line in self.lines.items()}

    def as_job(self) -> list[JobCharges]:
        """All of it as a month's one job, or no job where nothing was charged."""
        if not self.lines:
            return []
        charges = tuple(self.charges().values())
        return [JobCharges(job_id="", ended_at=datetime.min.replace(tzinfo=UTC), charges=charges)]
