from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.record import CostRecord, RecordCharge, list_unrated, sum_priced
from metering.run import Status
from tests.unit.metering.samples import START, usage

RECORD_FIELDS = {
    "schema_version",
    "revision",
    "job_id",
    "dispatch_id",
    "run_ids",
    "room_name",
    "room_sid",
    "agent_name",
    "tenant",
    "title",
    "tags",
    "hosting",
    "plan",
    "status",
    "error",
    "started_at",
    "ended_at",
    "usage",
    "charges",
    "list_cost",
    "currency",
    "unrated",
    "rate_card",
    "savings",
}
USAGE_FIELDS = {
    "instance_id",
    "meter",
    "provider",
    "model",
    "attributes",
    "participant",
    "purpose",
    "quantity",
    "unit",
    "certainty",
    "quantity_lower",
    "quantity_upper",
    "provider_stated",
    "provider_ref",
    "started_at",
    "ended_at",
    "source",
}
CHARGE_FIELDS = {
    "book",
    "meter",
    "provider",
    "model",
    "attributes",
    "state",
    "reason",
    "instances",
    "consumed_quantity",
    "consumed_unit",
    "pricing_quantity",
    "pricing_unit",
    "unit_price",
    "list_cost",
    "currency",
    "rate_id",
}
OF_OURS = {"certainty", "disputed"}
"""Fields of a charge that were added to the contract's."""


def charge(**changes: Any) -> RecordCharge:
    values: dict[str, Any] = {
        "book": "cost",
        "meter": "participant_connection",
        "provider": "livekit-cloud",
        "model": "",
        "attributes": {},
        "state": "priced",
        "reason": "",
        "instances": 1,
        "consumed_quantity": Decimal("70.5"),
        "consumed_unit": "second",
        "pricing_quantity": Decimal(2),
        "pricing_unit": "minute",
        "unit_price": Decimal("0.0005"),
        "list_cost": Decimal("0.0010"),
        "currency": "USD",
        "rate_id": "livekit/ship/webrtc",
        "certainty": "exact",
        "disputed": None,
    }
    return RecordCharge(**values | changes)


def unrated(**changes: Any) -> RecordCharge:
    values: dict[str, Any] = {
        "state": "unrated",
        "reason": "no rate fits",
        "pricing_quantity": None,
        "pricing_unit": None,
        "unit_price": None,
        "list_cost": None,
        "currency": None,
        "rate_id": None,
    }
    return charge(**values | changes)


def record(**changes: Any) -> CostRecord:
    charges = changes.get("charges", [charge(), unrated(model="secret-model")])
    list_cost, currency = sum_priced(charges)
    values: dict[str, Any] = {
        "revision": 1,
        "job_id": "AJ_1",
        "dispatch_id": "AD_1",
        "run_ids": ["run_1"],
        "room_name": "board room",
        "room_sid": "RM_1",
        "agent_name": "transcriber",
        "tenant": "acme",
        "title": "Takeover",
        "tags": ["hush"],
        "hosting": "cloud",
        "plan": "livekit/ship",
        "status": Status.COMPLETE,
        "error": "",
        "started_at": START,
        "ended_at": START + timedelta(seconds=70.5),
        "usage": [usage(participant="alice").to_json()],
        "charges": charges,
        "list_cost": list_cost,
        "currency": currency,
        "unrated": list_unrated(charges),
        "rate_card": "abc",
    }
    return CostRecord(**values | changes)


def test_the_contracts_names_and_no_other() -> None:
    data = record().model_dump(mode="json")
    assert data.keys() == RECORD_FIELDS
    assert data["usage"][0].keys() == USAGE_FIELDS
    assert data["charges"][0].keys() == CHARGE_FIELDS | OF_OURS
    assert data["unrated"][0].keys() == {
        "meter",
        "provider",
        "model",
        "quantity",
        "unit",
        "reason",
    }
    assert [status.value for status in Status] == [
        "running",
        "complete",
        "recovered",
        "failed",
        "declined",
    ]


def test_quantities_and_money_are_strings_of_exact_decimals() -> None:
    data = json.loads(record().model_dump_json())
    assert data["list_cost"] == "0.001"
    priced, missing = data["charges"]
    assert priced["consumed_quantity"] == "70.5"
    assert priced["pricing_quantity"] == "2"
    assert priced["unit_price"] == "0.0005"
    assert priced["list_cost"] == "0.001"
    assert (missing["unit_price"], missing["list_cost"], missing["currency"]) == (None, None, None)
    assert data["usage"][0]["quantity"] == "60"
    assert data["usage"][0]["quantity_upper"] is None
    assert data["started_at"] == "2026-11-20T09:00:00.000Z"
    assert data["ended_at"] == "2026-11-20T09:01:10.500Z"
    assert data["schema_version"] == 1


def test_the_schema_says_so_too() -> None:
    schema = CostRecord.model_json_schema(mode="serialization")
    assert set(schema["properties"]) == RECORD_FIELDS
    quantity = schema["$defs"]["RecordUsage"]["properties"]["quantity"]
    assert quantity["type"] == "string"


def test_the_log_line_names_nobody() -> None:
    line = record().for_log()
    assert line.keys() == RECORD_FIELDS - {"usage", "room_name", "title", "tags"}
    text = json.dumps(line)
    for private in ("board room", "alice", "Takeover", "hush", "PA_alice"):
        assert private not in text
    assert line["list_cost"] == "0.001"


def test_the_total_loses_no_digit() -> None:
    """More digits than the decimal module keeps unless it is told to."""
    large, small = Decimal("12345678901234567890.1"), Decimal("0.000000000000000000001")
    total, currency = sum_priced([charge(list_cost=large), charge(list_cost=small)])
    assert str(total) == "12345678901234567890.100000000000000000001"
    assert currency == "USD"


def test_floats_that_would_not_add_up() -> None:
    total, _ = sum_priced([charge(list_cost=Decimal("0.1")), charge(list_cost=Decimal("0.2"))])
    assert total == Decimal("0.3")


def test_nothing_is_added_up_across_currencies() -> None:
    assert sum_priced([charge(), charge(currency="EUR")]) == (None, None)
    assert sum_priced([charge(currency="EUR"), unrated()]) == (Decimal("0.001"), "EUR")


def test_what_has_no_price_is_named_and_not_zero() -> None:
    charges = [charge(), unrated(model="m", consumed_quantity=Decimal(7), consumed_unit="token")]
    (missing,) = list_unrated(charges)
    assert missing.model_dump(mode="json") == {
        "meter": "participant_connection",
        "provider": "livekit-cloud",
        "model": "m",
        "quantity": "7",
        "unit": "token",
        "reason": "no rate fits",
    }
    not_billed = unrated().model_copy(update={"state": "not_billed"})
    assert list_unrated([charge(), not_billed]) == []


@pytest.mark.parametrize("status", Status)
def test_every_status_can_be_on_a_record(status: Status) -> None:
    assert record(status=status).model_dump(mode="json")["status"] == status.value
