from __future__ import annotations

from decimal import Decimal
from typing import Any

from metering.record import RecordCharge
from metering.savings import savings
from tests.unit.metering.test_record import charge


def used(meter: str, seconds: str, price: str | None = None, **changes: Any) -> RecordCharge:
    values: dict[str, Any] = {
        "meter": meter,
        "provider": "deepgram",
        "model": "nova-3",
        "state": "not_billed" if price is None else "priced",
        "consumed_quantity": Decimal(seconds),
        "consumed_unit": "second",
        "pricing_unit": None if price is None else "minute",
        "unit_price": None if price is None else Decimal(price),
    }
    return charge(**values | changes)


def test_what_was_not_sent_at_the_price_of_what_was() -> None:
    found = savings(
        [
            used("stt_listening", "360"),
            used("stt_connection", "80"),
            used("stt_audio", "60", "0.0048"),
        ]
    )
    assert [(one.meter, one.listened, one.quantity, one.saved_cost) for one in found] == [
        ("stt_connection", Decimal(360), Decimal(80), None),
        ("stt_audio", Decimal(360), Decimal(60), Decimal("0.024")),
    ]
    assert [one.currency for one in found] == [None, "USD"]


def test_an_add_on_is_saved_too_and_its_seconds_are_not_counted_twice() -> None:
    (found,) = savings(
        [
            used("stt_listening", "120"),
            used("stt_audio", "60", "0.0048"),
            used("stt_audio", "60", "0.002"),
        ]
    )
    assert (found.quantity, found.saved_cost) == (Decimal(60), Decimal("0.0068"))


def test_two_prices_for_the_same_seconds_are_no_price() -> None:
    (found,) = savings(
        [
            used("stt_listening", "120"),
            used("stt_audio", "30", "0.0048", attributes={"language": "en"}),
            used("stt_audio", "30", "0.0058", attributes={"language": "multi"}),
        ]
    )
    assert (found.quantity, found.saved_cost, found.currency) == (Decimal(60), None, None)


def test_what_cost_more_than_it_saved_is_below_nothing() -> None:
    (found,) = savings([used("stt_listening", "30"), used("stt_audio", "60", "0.006")])
    assert found.saved_cost == Decimal("-0.003")


def test_without_listening_nothing_was_saved() -> None:
    assert savings([used("stt_audio", "60", "0.0048")]) == []
