"""Shares that add up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.billing.rounding import payable, to_currency
from metering.billing.sharing import add_up, share

amounts = st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=15)


@given(amounts, st.lists(amounts, min_size=1, max_size=12))
def test_no_digit_is_lost(amount: Decimal, weights: list[Decimal]) -> None:
    total = add_up(weights)
    if not total:
        weights, total = [*weights, Decimal(1)], Decimal(1)

    shares = share(amount, weights)

    assert add_up(shares) == amount
    for part, weight in zip(shares, weights, strict=True):
        assert part >= 0
        due = Fraction(amount) * Fraction(weight) / Fraction(total)
        assert abs(Fraction(part) - due) <= Fraction(1, 10**12)


def test_shares_that_come_out_are_exact() -> None:
    assert share(Decimal(1), [Decimal(1), Decimal(3)]) == [Decimal("0.25"), Decimal("0.75")]
    assert share(Decimal(10), [Decimal(4), Decimal(6)]) == [Decimal(4), Decimal(6)]


def test_thirds() -> None:
    third = Decimal("0.333333333333")
    assert share(Decimal(1), [Decimal(1)] * 3) == [third, third, Decimal("0.333333333334")]


def test_nothing_can_be_given_to_nobody() -> None:
    assert share(Decimal(0), [Decimal(0)]) == [Decimal(0)]
    with pytest.raises(ValueError, match="all weights are 0"):
        share(Decimal(1), [Decimal(0)])


@pytest.mark.parametrize(
    ("amount", "currency", "rounded", "can_be_paid"),
    [
        ("500.055", "USD", "500.06", "500.05"),
        ("500.045", "USD", "500.04", "500.04"),
        ("500.0450000001", "USD", "500.05", "500.04"),
        ("2.5", "JPY", "2", "2"),
        ("3.5", "JPY", "4", "3"),
        ("1.0005", "KWD", "1.000", "1.000"),
        ("0", "USD", "0.00", "0.00"),
    ],
)
def test_rounding(amount: str, currency: str, rounded: str, can_be_paid: str) -> None:
    assert str(to_currency(Decimal(amount), currency)) == rounded
    assert str(payable(Decimal(amount), currency)) == can_be_paid
