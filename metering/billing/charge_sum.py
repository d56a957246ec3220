"""Charges of one kind added up: what makes them one line of a month, and the line's sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from ..pricing.charges import Charge, ChargeState
from ..pricing.exact import EXACT, ZERO
from ..pricing.parts import WORSE
from ..usage import Certainty

LineKey = tuple[str, str, str, tuple[tuple[str, str], ...], str, str, str]


def line_key(charge: Charge) -> LineKey:
    """What charges have in common that are one line of a month."""
    return (
        charge.meter,
        charge.provider,
        charge.model,
        tuple(sorted(charge.attributes.items())) if charge.attributes else (),
        charge.state,
        charge.rate_id or "",
        charge.reason,
    )


@dataclass(slots=True)
class ChargeSum:
    """The sum of charges that have their `line_key` in common; `first` is one of them."""

    first: Charge
    instances: int = 0
    consumed: Decimal = ZERO
    pricing: Decimal = ZERO
    list_cost: Decimal = ZERO
    certainty: Certainty = Certainty.EXACT
    disputed_cost: Decimal | None = ZERO

    def add(self, charge: Charge) -> None:
        """Add one."""
        self.instances += charge.instances
        self.consumed = EXACT.add(self.consumed, charge.consumed_quantity)
        if charge.pricing_quantity is not None and charge.list_cost is not None:
            self.pricing = EXACT.add(self.pricing, charge.pricing_quantity)
            self.list_cost = EXACT.add(self.list_cost, charge.list_cost)
        if (
            charge.certainty is not self.certainty
            and WORSE[charge.certainty] > WORSE[self.certainty]
        ):
            self.certainty = charge.certainty
        disputed = charge.disputed
        if disputed is None or disputed.list_cost is None or self.disputed_cost is None:
            self.disputed_cost = None
        else:
            self.disputed_cost = EXACT.add(self.disputed_cost, disputed.list_cost)

    def summed(self) -> Charge:
        """All of them as one charge."""
        priced = self.first.state is ChargeState.PRICED
        disputed = self.first.disputed
        return replace(
            self.first,
            instances=self.instances,
            consumed_quantity=self.consumed,
            pricing_quantity=self.pricing if priced else None,
            list_cost=self.list_cost if priced else None,
            certainty=self.certainty,
            disputed=disputed and replace(disputed, list_cost=self.disputed_cost),
        )
