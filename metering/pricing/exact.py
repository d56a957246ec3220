"""Arithmetic that loses no digit, and the one place where a quantity is rounded: up, on its own.

A price is per minute and a measurement in seconds, and 10 s are no finite number of minutes. So
that every charge multiplies out (pricing quantity x unit price = list cost, to the last digit, as
FOCUS asks), such a quantity is rounded up at the 12th decimal, unless the price itself can be
exactly restated per second when it is loaded. Units with a finite reciprocal (token, GB, character)
convert exactly.
"""

from __future__ import annotations

import functools
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

EXACT = Context(
    prec=600,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow],
)
"""Raises instead of dropping a digit; 600 digits is beyond any quantity times any price."""

CONVERSION_DECIMALS = 12
"""Decimals kept of a quantity whose unit has no finite reciprocal; finer than any clock."""

ZERO = Decimal(0)


def ceil_to(quantity: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` (> 0) that is not below `quantity` (>= 0)."""
    whole = EXACT.divide_int(quantity, step)
    multiple = EXACT.multiply(whole, step)
    return multiple if multiple >= quantity else EXACT.add(multiple, step)


@functools.cache
def _reciprocal(factor: Decimal) -> Decimal | None:
    try:
        return EXACT.divide(Decimal(1), factor)
    except Inexact:
        return None


def convert_exactly(factor: Decimal) -> bool:
    """Whether every quantity in base units is a finite decimal in units of `factor` of them."""
    return _reciprocal(factor) is not None


def convert(quantity: Decimal, factor: Decimal) -> Decimal:
    """A quantity in base units as one in units of `factor` base units; see the module's head."""
    if factor == 1:
        return quantity
    reciprocal = _reciprocal(factor)
    if reciprocal is not None:
        return EXACT.multiply(quantity, reciprocal)
    scaled = quantity.scaleb(CONVERSION_DECIMALS, EXACT)
    whole = EXACT.divide_int(scaled, factor)
    if EXACT.multiply(whole, factor) < scaled:
        whole = EXACT.add(whole, Decimal(1))
    return whole.scaleb(-CONVERSION_DECIMALS, EXACT)


def billed_quantity(
    quantity: Decimal, factor: Decimal, increment: Decimal | None, minimum: Decimal | None
) -> Decimal:
    """What one instance is billed for, in pricing units.

    Args:
        quantity: what was measured, in base units.
        factor: base units in one pricing unit.
        increment: base units that the instance is rounded up to a multiple of; None is exact.
        minimum: base units that the instance is raised to.

    An instance of nothing is billed as nothing: LiveKit rounds "each individual resource usage" up
    to its increment, and zero is a multiple of it. Only a minimum raises it.
    """
    if increment is not None:
        quantity = ceil_to(quantity, increment)
    if minimum is not None and quantity < minimum:
        quantity = minimum
    return convert(quantity, factor)
