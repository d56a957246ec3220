"""What rating gives: charges, and their sum in each currency beside what is missing from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..usage import Certainty, format_decimal
from .charge_models import MonthTerms
from .exact import EXACT, ZERO


class ChargeState(StrEnum):
    """What became of some usage."""

    PRICED = "priced"
    NOT_BILLED = "not_billed"
    """The provider does not bill this: it bills something else, or counts it in another line."""
    UNRATED = "unrated"
    """No rate fits, or the size is unknown: it costs something, and nobody can say what."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """What a charge would be by the sources that disagree with its rate.

    `list_cost` is in the charge's currency, and None where the other basis was not measured.
    """

    basis: str
    list_cost: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One rate applied to the usage of one meter, provider, model and set of attributes.

    `consumed_quantity` is what was measured, in base units, unrounded, without what another line
    prices. `pricing_quantity` is the sum of the instances, each rounded up on its own; times
    `unit_price` it is `list_cost`, to the last digit. They are None unless the state is priced:
    what is not billed has no price either, and what is unrated is never $0. `reason` says why a
    charge has no price, or what to mind about one that has. `certainty` is the worst of its usages.
    `month_terms` are what the rate says about a month's whole quantity; the list cost is without.
    """

    book: str
    meter: str
    provider: str
    model: str
    attributes: Mapping[str, str]
    state: ChargeState
    reason: str
    instances: int
    consumed_quantity: Decimal
    consumed_unit: str
    pricing_quantity: Decimal | None = None
    pricing_unit: str | None = None
    unit_price: Decimal | None = None
    list_cost: Decimal | None = None
    currency: str | None = None
    rate_id: str | None = None
    certainty: Certainty = Certainty.EXACT
    disputed: Dispute | None = None
    month_terms: MonthTerms | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values under the cost record's names; decimals are strings."""

        def plain(value: Decimal | None) -> str | None:
            return None if value is None else format_decimal(value)

        disputed = self.disputed
        return {
            "book": self.book,
            "meter": self.meter,
            "provider": self.provider,
            "model": self.model,
            "attributes": dict(sorted(self.attributes.items())),
            "state": str(self.state),
            "reason": self.reason,
            "instances": self.instances,
            "consumed_quantity": plain(self.consumed_quantity),
            "consumed_unit": self.consumed_unit,
            "pricing_quantity": plain(self.pricing_quantity),
            "pricing_unit": self.pricing_unit,
            "unit_price": plain(self.unit_price),
            "list_cost": plain(self.list_cost),
            "currency": self.currency,
            "rate_id": self.rate_id,
            "certainty": str(self.certainty),
            "disputed": None
            if disputed is None
            else {
                "basis": disputed.basis,
                "list_cost": plain(disputed.list_cost),
                "reason": disputed.reason,
            },
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """List cost in each currency, and the charges that are missing from it for want of a price."""

    list_cost: Mapping[str, Decimal]
    unrated: tuple[Charge, ...]


def totals(charges: Iterable[Charge]) -> Totals:
    """The sum of charges of one book, in each currency; nothing is summed across currencies."""
    sums: dict[str, Decimal] = {}
    unrated = []
    for charge in charges:
        if charge.state is ChargeState.UNRATED:
            unrated.append(charge)
        elif charge.list_cost is not None and charge.currency is not None:
            sums[charge.currency] = EXACT.add(sums.get(charge.currency, ZERO), charge.list_cost)
    return Totals(dict(sorted(sums.items())), tuple(unrated))
