"""Two bills of one month by two rate cards: what the one changes in money against the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..errors import RateError
from ..pricing.charges import ChargeState
from ..pricing.exact import EXACT, ZERO
from ..usage import format_decimal
from .bill import Bill
from .month import MonthLine


@dataclass(slots=True)
class CardCost:
    """What a meter of a model comes to by one card.

    `cost` is what the month's allowances and tiers leave of `list_cost`. `unrated` counts the
    instances that have no price and are in neither.
    """

    list_cost: Decimal = ZERO
    cost: Decimal = ZERO
    unrated: int = 0

    def add(self, line: MonthLine) -> None:
        """Add one of the month's lines."""
        charge = line.charge
        self.list_cost = EXACT.add(self.list_cost, charge.list_cost or ZERO)
        self.cost = EXACT.add(self.cost, line.cost)
        if charge.state is ChargeState.UNRATED or line.beyond:
            self.unrated += charge.instances


@dataclass(slots=True)
class DiffRow:
    """One meter of one model by both cards."""

    meter: str
    provider: str
    model: str
    present: CardCost = field(default_factory=CardCost)
    new: CardCost = field(default_factory=CardCost)

    @property
    def difference(self) -> Decimal:
        """What the new card adds to the month."""
        return EXACT.subtract(self.new.cost, self.present.cost)


@dataclass(frozen=True, slots=True)
class CardDiff:
    """The month by both cards; `difference` is that of the unrounded totals."""

    present: Bill
    new: Bill
    present_card: str
    new_card: str
    rows: tuple[DiffRow, ...]

    @property
    def difference(self) -> Decimal:
        """What the new card changes about the month, before rounding."""
        return EXACT.subtract(self.new.exact_total, self.present.exact_total)

    @property
    def currency(self) -> str:
        """That of all amounts."""
        return self.new.currency if self.new.exact_total else self.present.currency

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; amounts are strings of exact decimals."""
        return {
            "currency": self.currency,
            "rows": [
                {
                    "meter": row.meter,
                    "provider": row.provider,
                    "model": row.model,
                    "present": _cost(row.present),
                    "new": _cost(row.new),
                    "difference": format_decimal(row.difference),
                }
                for row in self.rows
            ],
            "present": _bill(self.present, self.present_card),
            "new": _bill(self.new, self.new_card),
            "difference": format_decimal(self.difference),
        }


def diff_bills(present: Bill, new: Bill, present_card: str, new_card: str) -> CardDiff:
    """Compare two bills of the same usage.

    Raises:
        RateError: they are in two currencies.
    """
    if present.exact_total and new.exact_total and present.currency != new.currency:
        raise RateError(
            f"the month is in {present.currency} by the present card and in {new.currency} by the"
            " new one; they are not compared across currencies"
        )
    rows: dict[tuple[str, str, str], DiffRow] = {}
    for line in present.lines:
        _row(rows, line).present.add(line)
    for line in new.lines:
        _row(rows, line).new.add(line)
    ordered: Iterable[DiffRow] = (row for _, row in sorted(rows.items()))
    return CardDiff(present, new, present_card, new_card, tuple(ordered))


def _row(rows: dict[tuple[str, str, str], DiffRow], line: MonthLine) -> DiffRow:
    key = line.charge.meter, line.charge.provider, line.charge.model
    return rows.setdefault(key, DiffRow(*key))


def _cost(cost: CardCost) -> dict[str, Any]:
    return {
        "list_cost": format_decimal(cost.list_cost),
        "cost": format_decimal(cost.cost),
        "unrated_instances": cost.unrated,
    }


def _bill(bill: Bill, card: str) -> dict[str, Any]:
    return {
        "rate_card": card,
        "list_cost": format_decimal(bill.list_cost),
        "usage_cost": format_decimal(bill.usage_cost),
        "base_fee": format_decimal(bill.base_fee),
        "exact_total": format_decimal(bill.exact_total),
        "total": format_decimal(bill.total),
        "unrated": len(bill.unrated),
    }
