"""The one rounding of money: a statement's total, to the currency's smallest unit, half even."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal

_WITHOUT_DECIMALS = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_WITH_THREE = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
_WIDE = Context(prec=600)


def smallest_unit(currency: str) -> Decimal:
    """What amounts of this currency are multiples of, by ISO 4217: 0.01 for USD, 1 for JPY."""
    if currency in _WITHOUT_DECIMALS:
        return Decimal(1)
    return Decimal("0.001" if currency in _WITH_THREE else "0.01")


def to_currency(amount: Decimal, currency: str) -> Decimal:
    """Rounded to the currency's smallest unit; a tie goes to the even one."""
    return amount.quantize(smallest_unit(currency), ROUND_HALF_EVEN, _WIDE)


def payable(amount: Decimal, currency: str) -> Decimal:
    """As much of an amount as can be paid: what is below the smallest unit stays where it is."""
    return amount.quantize(smallest_unit(currency), ROUND_DOWN, _WIDE)
