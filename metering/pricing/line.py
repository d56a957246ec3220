"""Charges in the making: what the instances of one rate add up to.

Sums of exact decimals do not care about order, so a line is the same however usage is bundled.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ..usage import Certainty, Usage
from .charge_models import ChargeModel
from .charges import ChargeState
from .exact import EXACT, ZERO, billed_quantity, convert
from .parts import WORSE
from .rate_card import Rate

ONE = Decimal(1)


@dataclass(slots=True)
class Line:
    """A charge in the making; quantities are added up here."""

    state: ChargeState
    reason: str
    rate: Rate | None
    unit: str
    instances: int = 0
    consumed: Decimal = ZERO
    pricing: Decimal = ZERO
    certainty: Certainty = Certainty.EXACT

    def take(self, quantity: Decimal, certainty: Certainty) -> None:
        """Add an instance, or what is left of one once its parts have had theirs."""
        self.instances += 1
        self.consumed = EXACT.add(self.consumed, quantity)
        if WORSE[certainty] > WORSE[self.certainty]:
            self.certainty = certainty
        if self.rate is not None and not self.rate.proportional:
            self.pricing = EXACT.add(self.pricing, billed(quantity, self.rate))

    def pricing_quantity(self) -> Decimal:
        """What is billed; instances that are not rounded are converted together."""
        if self.rate is None or not self.rate.proportional:
            return self.pricing
        return convert(self.consumed, self.rate.factor)


LineKey = tuple[str, str, str, tuple[tuple[str, str], ...], str, str, str]


@dataclass(slots=True)
class Other:
    """What sources that disagree with a line's rate would bill."""

    pricing: Decimal = ZERO
    unknown: bool = False

    def take(self, usage: Usage, rate: Rate) -> None:
        """Add an instance, at the rate that the sources disagree about."""
        self.unknown = self.unknown or usage.unreported
        self.pricing = EXACT.add(self.pricing, billed(usage.quantity, rate))


def billed(quantity: Decimal, rate: Rate) -> Decimal:
    """What one instance is billed for at a rate, in its pricing units."""
    if rate.charge_model is ChargeModel.FLAT:
        return ONE
    return billed_quantity(quantity, rate.factor, rate.increment, rate.minimum)


def line_key(usage: Usage, state: ChargeState, reason: str, rate: Rate | None) -> LineKey:
    """What puts instances into the same line."""
    attributes = tuple(sorted(usage.attributes.items()))
    rate_id = rate.rate_id if rate is not None else ""
    meter = rate.meter if rate is not None else usage.meter
    return (meter, usage.provider, usage.model, attributes, state, rate_id, reason)
