"""Units of usage and of prices, and the exact factors between them.

Usage is measured in base units (second, byte, token, ...), prices are quoted in larger ones
(minute, GB, million tokens). The factors are exact Decimals, so a conversion loses no digit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from .errors import UsageError


class Unit(NamedTuple):
    """A named multiple of a base unit.

    `base` is the unit that usage is measured in, `factor` how many of it make one of this.
    """

    name: str
    base: str
    factor: Decimal


_UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        Unit("second", "second", Decimal(1)),
        Unit("minute", "second", Decimal(60)),
        Unit("hour", "second", Decimal(3600)),
        Unit("byte", "byte", Decimal(1)),
        Unit("GB", "byte", Decimal(10) ** 9),
        Unit("token", "token", Decimal(1)),
        Unit("thousand tokens", "token", Decimal(10) ** 3),
        Unit("million tokens", "token", Decimal(10) ** 6),
        Unit("character", "character", Decimal(1)),
        Unit("thousand characters", "character", Decimal(10) ** 3),
        Unit("million characters", "character", Decimal(10) ** 6),
        Unit("event", "event", Decimal(1)),
        Unit("message", "message", Decimal(1)),
    )
}


def unit(name: str) -> Unit:
    """The unit of this name.

    Raises:
        UsageError: no such unit; the message lists those there are.
    """
    try:
        return _UNITS[name]
    except KeyError:
        raise UsageError(f"unknown unit {name!r}; use one of {', '.join(_UNITS)}") from None
