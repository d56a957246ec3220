"""Units of usage and of prices, and the exact factors between them.

Usage is measured in base units (second, byte, token, ...), prices are quoted in larger ones
(minute, GB, million tokens). The factors are exact Decimals, so a conversion loses no digit.
"""

from __future__ import annotations

import functools
import re
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
        Unit("instance", "instance", Decimal(1)),
        Unit("job", "job", Decimal(1)),
    )
}

# As FOCUS writes a pricing unit that is a block of others ("1000 Requests").
_BLOCK = re.compile(r"([1-9][0-9]{0,11}) (.+)", re.ASCII)


@functools.lru_cache(maxsize=1024)
def unit(name: str) -> Unit:
    """The unit of this name, or the block of units that it says: `1000 message`.

    Raises:
        UsageError: no such unit; the message lists those there are.
    """
    if name in _UNITS:
        return _UNITS[name]
    block = _BLOCK.fullmatch(name)
    if block is None or block[2] not in _UNITS:
        raise UsageError(
            f"unknown unit {name!r}; use one of {', '.join(_UNITS)}, or a number of them"
        )
    one = _UNITS[block[2]]
    return Unit(name, one.base, Decimal(block[1]) * one.factor)
