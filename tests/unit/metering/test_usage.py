from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import UsageError
from metering.usage import (
    Certainty,
    Usage,
    core_meters,
    format_decimal,
    format_stamp,
    parse_decimal,
)
from tests.unit.metering.samples import START, usage

NAIVE = START.replace(tzinfo=None)

quantities = st.decimals(
    min_value=0, max_value=10**18, allow_nan=False, allow_infinity=False, places=9
)
stamps = st.datetimes(
    min_value=NAIVE.replace(year=2000), max_value=NAIVE.replace(year=2100), timezones=st.just(UTC)
).map(lambda stamp: stamp.replace(microsecond=stamp.microsecond // 1000 * 1000))
texts = st.text(max_size=20)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    lower, quantity, upper = sorted(draw(st.tuples(quantities, quantities, quantities)))
    started_at, ended_at = sorted(draw(st.tuples(stamps, stamps)))
    meter = draw(st.sampled_from(sorted(core_meters())))
    return Usage(
        instance_id=draw(texts),
        meter=meter,
        provider=draw(texts),
        quantity=quantity,
        unit=core_meters()[meter].unit,
        started_at=started_at,
        ended_at=ended_at,
        model=draw(texts),
        attributes=draw(st.dictionaries(texts, texts, max_size=3)),
        participant=draw(st.none() | texts),
        purpose=draw(texts),
        certainty=draw(st.sampled_from(Certainty)),
        quantity_lower=draw(st.none() | st.just(lower)),
        quantity_upper=draw(st.none() | st.just(upper)),
        provider_stated=draw(st.none() | quantities),
        provider_ref=draw(st.none() | texts),
        source=draw(texts),
    )


@given(usages())
def test_json_loses_nothing(measured: Usage) -> None:
    text = json.dumps(measured.to_json())
    assert Usage.from_json(json.loads(text)) == measured


@given(st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.adjusted()) < 99))
def test_a_decimal_as_digits_is_the_same_number(value: Decimal) -> None:
    text = format_decimal(value)
    assert Decimal(text) == value
    assert "E" not in text.upper()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("-0.00", "0"),
        ("0E+5", "0"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("0.30", "0.3"),
        ("10.00", "10"),
        ("1E-9", "0.000000001"),
        ("-2.50", "-2.5"),
        ("0.1234567890123456789012345678901234567890", "0.123456789012345678901234567890123456789"),
    ],
)
def test_equal_decimals_are_equal_text(value: str, text: str) -> None:
    assert format_decimal(Decimal(value)) == text


def test_stamps_are_utc_with_milliseconds() -> None:
    in_berlin = datetime(2026, 7, 1, 2, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert format_stamp(in_berlin) == "2026-07-01T00:00:00.123Z"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("quantity", Decimal(-1), "quantity -1 must be finite and not negative"),
        ("quantity", Decimal("NaN"), "quantity NaN must be finite"),
        ("quantity", Decimal("sNaN"), "quantity sNaN must be finite"),
        ("quantity", Decimal("Infinity"), "quantity Infinity must be finite"),
        ("quantity", 1.5, "1.5 must be a Decimal, not float"),
        ("quantity", 1, "1 must be a Decimal, not int"),
        ("quantity", True, "True must be a Decimal, not bool"),
        ("quantity", None, "None must be a Decimal, not NoneType"),
        ("quantity", Decimal("1E+999999"), r"quantity 1E\+999999 is no plausible measurement"),
        ("quantity", Decimal("1E-999999"), "quantity 1E-999999 is no plausible measurement"),
        ("quantity", Decimal("0E+999999"), "is no plausible measurement"),
        ("provider_stated", Decimal(-1), "provider_stated -1 must be finite"),
        ("provider_stated", 2.0, "2.0 must be a Decimal, not float"),
        ("quantity_lower", Decimal("60.001"), "lower bound 60.001 is above 60"),
        ("quantity_upper", Decimal("59.999"), "upper bound 59.999 is below 60"),
        ("quantity_lower", Decimal(-1), "quantity_lower -1 must be finite"),
        (
            "started_at",
            NAIVE,
            "started_at 2026-11-20 09:00:00 has no time zone",
        ),
        ("ended_at", NAIVE, "ended_at 2026-11-20 09:00:00 has no time zone"),
        ("ended_at", START - timedelta(milliseconds=1), "before its start"),
    ],
)
def test_what_cannot_be_true_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=rf"participant_connection: .*{message}"):
        usage(**{field: value})


def test_bounds_may_touch() -> None:
    measured = usage(quantity_lower=Decimal(60), quantity_upper=Decimal(60))
    assert measured.quantity_lower == measured.quantity == measured.quantity_upper


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": 1.5}, "quantity 1.5 must be a decimal in a string"),
        ({"quantity": 60}, "quantity 60 must be a decimal in a string"),
        ({"quantity": True}, "quantity True must be a decimal in a string"),
        ({"quantity": "much"}, "quantity 'much' is not a decimal number"),
        ({"quantity": "-1"}, "quantity -1 must be finite and not negative"),
        ({"quantity": "1e999999999"}, "no plausible measurement"),
        ({"certainty": "sure"}, "'sure' is not a valid Certainty"),
        ({"started_at": "yesterday"}, "yesterday"),
        ({"started_at": 5}, "not a usage"),
        ({"attributes": 5}, "not a usage"),
        ({"unheard": "of"}, "unheard"),
    ],
)
def test_json_that_is_no_usage_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Usage.from_json(usage().to_json() | changes)


@pytest.mark.parametrize("field", ["instance_id", "meter", "provider", "quantity", "started_at"])
def test_json_without_a_field_that_it_needs_is_refused(field: str) -> None:
    data = usage().to_json()
    del data[field]
    with pytest.raises(UsageError, match=field):
        Usage.from_json(data)


def test_no_number_but_a_string_is_read_as_a_decimal() -> None:
    assert parse_decimal(None, "duration") is None
    assert parse_decimal("0.10", "duration") == Decimal("0.1")
    with pytest.raises(UsageError, match=r"duration 0\.1 must be a decimal"):
        parse_decimal(0.1, "duration")


def test_only_an_unbounded_estimate_is_unreported() -> None:
    estimate = usage(certainty=Certainty.ESTIMATED)
    bounded = usage(certainty=Certainty.ESTIMATED, quantity_upper=Decimal(90))
    assert estimate.unreported
    assert not bounded.unreported
    assert not usage(certainty=Certainty.PARTIAL).unreported


def test_parts_are_of_meters_in_the_same_unit() -> None:
    meters = core_meters()
    parts = {meter.name: meter for meter in meters.values() if meter.part_of}
    assert parts.keys() >= {"llm_cached_input_tokens", "llm_reasoning_tokens"}
    for part in parts.values():
        assert part.part_of is not None
        whole = meters[part.part_of]
        assert whole.unit == part.unit
        assert whole.part_of is None
