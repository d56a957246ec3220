from __future__ import annotations

from decimal import Decimal

import pytest

from metering.errors import UsageError
from metering.units import unit
from metering.usage import core_meters


@pytest.mark.parametrize(
    ("name", "base", "factor"),
    [
        ("second", "second", "1"),
        ("minute", "second", "60"),
        ("hour", "second", "3600"),
        ("byte", "byte", "1"),
        ("GB", "byte", "1000000000"),
        ("thousand tokens", "token", "1000"),
        ("million tokens", "token", "1000000"),
        ("thousand characters", "character", "1000"),
        ("million characters", "character", "1000000"),
    ],
)
def test_factors(name: str, base: str, factor: str) -> None:
    assert unit(name) == (name, base, Decimal(factor))


def test_every_meter_is_counted_in_a_base_unit() -> None:
    for meter in core_meters().values():
        assert unit(meter.unit).base == meter.unit


def test_an_unknown_unit_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"unknown unit 'gb'; use one of second, minute, .*GB"):
        unit("gb")
