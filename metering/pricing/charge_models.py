"""How a rate turns quantities into money, where that is more than a price times a quantity.

The names are those of the rating engines (Lago's charge models, OpenMeter's price types). What one
instance or one job decides is priced when it is rated. What only a month's quantity decides
(included units, tiers, started packages) goes with the charge as its terms: `metering.billing`
applies them, and the charge's own list cost leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from .exact import ZERO


class ChargeModel(StrEnum):
    """What a rate's price is of."""

    UNIT = "unit"
    """Each unit."""
    GRADUATED = "graduated"
    """Each unit, at the price of the tier that it lies in."""
    VOLUME = "volume"
    """Each unit, at the price of the tier that the month's whole quantity lands in."""
    PACKAGE = "package"
    """Each block of units that the month has started."""
    FLAT = "flat"
    """Each instance or each job, whatever its size."""


TIERED = (ChargeModel.GRADUATED, ChargeModel.VOLUME)
"""Models whose prices are in tiers."""

PER_INSTANCE, PER_JOB = "instance", "job"
FLAT_UNITS = (PER_INSTANCE, PER_JOB)
"""What a flat price can be per. One per month is a plan's base fee."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of what is over so many units, up to where the next tier begins."""

    over: Decimal
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Package:
    """A block that is paid whole once it is started: so many units, at this price for all."""

    size: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class MonthTerms:
    """What a rate says about a whole month; quantities are in its pricing unit.

    `pool` is what shares included units and tiers: the rate, whatever its dates. `tiers` count past
    the `included` units, and so do packages.
    """

    pool: str
    charge_model: ChargeModel
    included: Decimal = ZERO
    tiers: tuple[Tier, ...] = ()
    package: Package | None = None


def tier_of(tiers: tuple[Tier, ...], quantity: Decimal) -> Tier:
    """The tier that a whole quantity lands in; what a tier is over is still of the one below."""
    landed = tiers[0]
    for tier in tiers:
        if quantity > tier.over:
            landed = tier
    return landed
