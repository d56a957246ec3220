"""Cells of a CSV that no spreadsheet runs."""

from __future__ import annotations

from decimal import Decimal

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: a stranger chose the tenant's name.

    A number of ours may be negative, and stays one.
    """
    if not cell.startswith(_STARTS_A_FORMULA):
        return cell
    try:
        Decimal(cell)
    except ArithmeticError:
        return f"'{cell}"
    return cell
