"""One amount among several, so that the shares add up to it to the last digit.

A third of a cent is no finite decimal. Each share is the difference of two running totals, cut at
the twelfth decimal; the last running total is the amount itself. So nothing is lost, and no share
is further than that decimal from its due.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ..pricing.exact import EXACT, ZERO

_DECIMALS = 12


def add_up(amounts: Sequence[Decimal]) -> Decimal:
    """The exact sum."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def share(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """An amount in proportion to weights, none of either negative.

    Raises:
        ValueError: the weights are all 0, so that nobody can be given the amount.
    """
    total = add_up(weights)
    if total == amount:
        return list(weights)
    if not total:
        raise ValueError(f"{amount} cannot be shared: all weights are 0")
    shares = []
    weight_before = given_before = ZERO
    for weight in weights:
        weight_so_far = EXACT.add(weight_before, weight)
        given = amount if weight_so_far == total else _cut(amount, weight_so_far, total)
        shares.append(EXACT.subtract(given, given_before))
        weight_before, given_before = weight_so_far, given
    return shares


def _cut(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    scaled = EXACT.multiply(amount, part).scaleb(_DECIMALS, EXACT)
    return EXACT.divide_int(scaled, whole).scaleb(-_DECIMALS, EXACT)
