"""Rows are what FOCUS says of them, and add up to the statement."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from metering.billing.sharing import add_up
from metering.billing.statement import TermCharges, state_terms
from metering.billing.terms import terms_of
from metering.exports.focus import FocusMonth
from metering.exports.focus_columns import ColumnType, FocusRow, FocusVersion, columns_of
from metering.exports.focus_rows import JobParts, focus_rows
from metering.exports.focus_services import focus_unit, service_of
from metering.ledger.period_queries import PeriodJob
from metering.pricing.plans import Plan
from metering.units import _UNITS
from metering.usage import Usage, core_meters
from tests.unit.metering.billing.builders import NOVEMBER, job
from tests.unit.metering.billing.test_bill_properties import instances, plans

from .months import every_kind

HERE = Path(__file__).parent
NEVER = {
    # 1.2 asks for these only where a provider has several kinds of accounts, capacity
    # reservations, prices in other currencies than bills, or commitment discounts.
    "BillingAccountType",
    "SubAccountType",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "CommitmentDiscountQuantity",
    "CommitmentDiscountUnit",
}
TYPES = {
    "String": str,
    "Decimal": Decimal,
    "Date/Time": datetime,
    "JSON": str,
}


def specified(version: FocusVersion) -> dict[str, dict[str, Any]]:
    """The specification's columns by name, in a file beside this one that says where it is from."""
    tables = tomllib.loads((HERE / f"focus_{version}.toml").read_text("utf-8"))["column"]
    return {table["name"]: table for table in tables}


def rows_of(month: FocusMonth) -> list[FocusRow]:
    return list(focus_rows(month.statement, month.parts, month.plan_providers, "account-1"))


def by_line(month: FocusMonth) -> FocusMonth:
    return FocusMonth(month.statement, None, month.plan_providers)


def cost(rows: Iterable[FocusRow], column: str) -> Decimal:
    return add_up([value for row in rows if isinstance(value := row[column], Decimal)])


def only(rows: Iterable[FocusRow], **fields: object) -> list[FocusRow]:
    return [row for row in rows if all(row.get(name) == value for name, value in fields.items())]


MONTHS = {"by job": every_kind(), "by line": by_line(every_kind())}


@pytest.mark.parametrize("version", FocusVersion)
def test_columns_are_the_specifications(version: FocusVersion) -> None:
    columns = specified(version)
    ours = {column.name: column for column in columns_of(version)}
    standard = [name for name in ours if not name.startswith("x_")]
    assert standard == sorted(standard) == list(ours)[: len(standard)]
    assert {name: ours[name].type.value for name in standard} == {
        name: table["type"] for name, table in columns.items() if name not in NEVER
    }
    assert all(columns[name]["level"] == "Conditional" for name in NEVER & columns.keys())


@pytest.mark.parametrize("version", FocusVersion)
@pytest.mark.parametrize("month", MONTHS.values(), ids=MONTHS)
def test_values_are_what_the_specification_allows(month: FocusMonth, version: FocusVersion) -> None:
    rows = rows_of(month)
    assert len(rows) > 10
    for column in columns_of(version):
        if column.name.startswith("x_"):
            continue
        table = specified(version)[column.name]
        for row in rows:
            value = row.get(column.name)
            if value is None:
                assert table["nulls"], f"{column.name} is null in {row}"
                continue
            assert isinstance(value, TYPES[table["type"]])
            assert value != "", column.name
            if "allowed" in table:
                assert value in table["allowed"]
            if column.type is ColumnType.JSON:
                assert isinstance(json.loads(str(value)), dict)


@pytest.mark.parametrize("month", MONTHS.values(), ids=MONTHS)
def test_subcategories_belong_to_their_categories(month: FocusMonth) -> None:
    pairs = specified(FocusVersion.V1_2)["ServiceSubcategory"]["pairs"]
    for row in rows_of(month):
        assert [row["ServiceCategory"], row["ServiceSubcategory"]] in pairs
    for meter in core_meters():
        service = service_of(meter)
        assert [service.category, service.subcategory] in pairs
        assert service.name != "Other", f"{meter} belongs to no service"


@pytest.mark.parametrize("month", MONTHS.values(), ids=MONTHS)
def test_what_the_specification_asks_of_rows(month: FocusMonth) -> None:
    """From v1.2's column pages, by the name of the column."""
    for row in rows_of(month):
        category, correction = row["ChargeCategory"], row["ChargeClass"] == "Correction"
        if category in ("Usage", "Purchase"):
            for name in ("ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "SkuId"):
                assert correction or row[name] is not None, name
            assert row["PricingCategory"] == "Standard"
        if category == "Tax":
            for name in ("ListUnitPrice", "PricingQuantity", "PricingCategory", "SkuId"):
                assert row.get(name) is None
        assert (row.get("ConsumedQuantity") is not None) == (category == "Usage")
        for kind in ("Consumed", "Pricing"):
            assert (row.get(f"{kind}Quantity") is None) == (row.get(f"{kind}Unit") is None)
        for kind in ("List", "Contracted"):
            price, pricing = row.get(f"{kind}UnitPrice"), row.get("PricingQuantity")
            if isinstance(price, Decimal) and isinstance(pricing, Decimal):
                assert price >= 0
                assert price * pricing == row[f"{kind}Cost"]
            else:
                assert row[f"{kind}Cost"] == row["BilledCost"]
        assert (row["ChargeFrequency"] == "Usage-Based") == (category == "Usage")
        assert (row.get("SkuMeter") is None) == (row.get("SkuId") is None)
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]  # type: ignore[operator]
        if category == "Credit":
            assert row["EffectiveCost"] == row["BilledCost"]


def test_a_price_has_one_sku() -> None:
    parents: dict[object, set[object]] = {}
    for row in rows_of(every_kind()):
        if row.get("SkuPriceId") is not None:
            parents.setdefault(row["SkuPriceId"], set()).add(row["SkuId"])
    assert len(parents) > 5
    assert all(len(skus) == 1 for skus in parents.values())


@pytest.mark.parametrize("month", MONTHS.values(), ids=MONTHS)
def test_rows_add_up_to_the_statement(month: FocusMonth) -> None:
    rows = rows_of(month)
    bill = month.statement.bill
    assert bill.prepaid_used == 10  # How it is paid is no charge.
    assert cost(rows, "BilledCost") == cost(rows, "EffectiveCost") == bill.total
    own = only(rows, ChargeClass=None)
    used = only(own, ChargeCategory="Usage")
    assert cost(used, "BilledCost") == bill.usage_cost
    assert cost(used, "ListCost") == cost(used, "ContractedCost") == bill.list_cost
    fees = only(own, ChargeCategory="Purchase")
    assert cost(fees, "BilledCost") == bill.base_fee + bill.shortfall
    credit = add_up([use.amount for use in bill.credits])
    assert credit > 0
    assert cost(only(own, ChargeCategory="Credit"), "BilledCost") == -credit
    assert cost(only(own, ChargeCategory="Tax"), "BilledCost") == bill.tax > 0
    assert cost(only(own, ChargeCategory="Adjustment"), "BilledCost") == bill.rounding != 0
    beside = cost(own, "ListCost") - cost(used, "ListCost")
    assert beside == bill.own_total - bill.usage_cost


@pytest.mark.parametrize("month", MONTHS.values(), ids=MONTHS)
def test_corrections(month: FocusMonth) -> None:
    [correction] = month.statement.bill.corrections
    rows = only(rows_of(month), ChargeClass="Correction")
    assert cost(rows, "BilledCost") == correction.amount
    categories = {row["ChargeCategory"] for row in rows}
    assert categories == {"Usage", "Purchase", "Credit", "Tax", "Adjustment"}
    for row in rows:
        assert row["x_CorrectedStatementId"] == "2026-10-0001"
        assert str(row["ChargeDescription"]).endswith(", correction of 2026-10-0001")
        assert row["BillingPeriodStart"] == NOVEMBER.start
        assert row["ChargePeriodStart"] == datetime(2026, 10, 1, tzinfo=UTC)
        assert row["ChargePeriodEnd"] == datetime(2026, 11, 1, tzinfo=UTC)


def test_usage_by_job() -> None:
    rows = only(rows_of(every_kind()), ChargeCategory="Usage", ChargeClass=None)
    assert {row["ResourceId"] for row in rows} == {"AJ_1", "AJ_2"}
    [audio] = only(rows, SkuMeter="stt_audio")
    known = {name: value for name, value in audio.items() if value is not None}
    assert known.pop("EffectiveCost") == audio["BilledCost"]
    assert known == {
        "BilledCost": audio["ListCost"],
        "BillingAccountId": "account-1",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": datetime(2026, 12, 1, tzinfo=UTC),
        "BillingPeriodStart": datetime(2026, 11, 1, tzinfo=UTC),
        "ChargeCategory": "Usage",
        "ChargeDescription": "stt_audio, deepgram nova-3",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": datetime(2026, 11, 21, tzinfo=UTC),
        "ChargePeriodStart": datetime(2026, 11, 20, tzinfo=UTC),
        "ConsumedQuantity": Decimal("90.5"),
        "ConsumedUnit": "Seconds",
        "ContractedCost": audio["ListCost"],
        "ContractedUnitPrice": audio["ListUnitPrice"],
        "InvoiceIssuerName": "Deepgram",
        "ListCost": audio["ListCost"],
        "ListUnitPrice": audio["ListUnitPrice"],
        "PricingCategory": "Standard",
        "PricingQuantity": audio["PricingQuantity"],
        "PricingUnit": "Seconds",
        "ProviderName": "Deepgram",
        "PublisherName": "Deepgram",
        "ResourceId": "AJ_1",
        "ResourceName": "standup",
        "ResourceType": "Job",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Speech to text",
        "ServiceSubcategory": "Natural Language Processing",
        "SkuId": "deepgram/nova-3/stt_audio",
        "SkuMeter": "stt_audio",
        "SkuPriceId": audio["SkuPriceId"],
        "SubAccountId": '=cmd|"/c calc"!A1',
        "SubAccountName": '=cmd|"/c calc"!A1',
        "Tags": '{"=1+1": true, "weekly": true}',
        "x_Certainty": "exact",
        "x_Instances": 1,
        "x_StatementStatus": "draft",
    }
    assert audio["ListUnitPrice"] == Decimal("0.00008")
    assert audio["ListCost"] == Decimal("0.00724")


def test_the_plans_fee_is_in_what_its_usage_effectively_costs() -> None:
    rows = only(rows_of(every_kind()), ChargeClass=None)
    [fee] = only(rows, SkuId="livekit/ship/base-fee")
    assert (fee["BilledCost"], fee["EffectiveCost"]) == (Decimal(50), Decimal(0))
    of_plan = only(rows, ProviderName="LiveKit", ChargeCategory="Usage")
    assert cost(of_plan, "EffectiveCost") == cost(of_plan, "BilledCost") + 50
    of_others = [row for row in rows if row["ProviderName"] == "OpenAI"]
    assert len(of_others) == 3
    assert cost(of_others, "EffectiveCost") == cost(of_others, "BilledCost") > 0


@pytest.mark.parametrize("month", MONTHS.values(), ids=MONTHS)
def test_what_has_no_price_is_in_no_row(month: FocusMonth) -> None:
    assert [item.provider for item in month.statement.bill.unrated] == ["who"]
    assert only(rows_of(month), ProviderName="who") == []


@examples(max_examples=60, deadline=None)
@given(st.lists(instances(), min_size=1, max_size=4), plans)
def test_any_month_adds_up(arrivals: Sequence[list[Usage]], on: Plan) -> None:
    charged = [job(usages, on, number=number) for number, usages in enumerate(arrivals)]
    terms = [TermCharges(term, charged) for term in terms_of(NOVEMBER, lambda _: on)]
    statement = state_terms(terms, NOVEMBER, rate_card="test")
    if statement is None:
        return
    jobs = {
        one.job_id: PeriodJob(one.job_id, "acme", "", (), "cloud-agents", on.plan_id)
        for one in charged
    }
    parts = JobParts(terms, jobs, dict.fromkeys(jobs, "2026-11-20"))
    for how in (parts, None):
        rows = list(focus_rows(statement, how, {on.plan_id: on.provider}, "account-1"))
        assert cost(rows, "BilledCost") == statement.bill.total
        assert cost(rows, "EffectiveCost") == statement.bill.total
        used = only(rows, ChargeCategory="Usage")
        assert cost(used, "BilledCost") == statement.bill.usage_cost
        assert cost(used, "ListCost") == statement.bill.list_cost


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("second", "Seconds"),
        ("GB", "GB"),
        ("million tokens", "1000000 Tokens"),
        ("1000 message", "1000 Messages"),
        ("5 minute", "300 Seconds"),
    ],
)
def test_units(name: str, written: str) -> None:
    assert focus_unit(name) == written


def test_every_unit_has_a_name() -> None:
    for name in _UNITS:
        assert focus_unit(name)[0].isupper() or focus_unit(name)[0].isdigit()
