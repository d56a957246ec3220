"""From a rate file's tables to rates: every check that keeps a wrong price from being charged."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from ..errors import UsageError
from ..units import Unit, unit
from ..usage import Meter
from .charge_models import FLAT_UNITS, ChargeModel
from .currencies import CURRENCIES
from .exact import EXACT
from .hosting import ROOM_PROVIDERS
from .model_match import TESTS, PricedModel
from .periods import check_periods
from .rate_card import Disagreement, NoPrice, NotBilled, Rate
from .rate_file import RateTable
from .rate_prices import in_exact_unit, read_price


@dataclass
class Entries:
    """What one or more rate files say."""

    rates: list[Rate] = field(default_factory=list)
    unpriced: list[NotBilled | NoPrice] = field(default_factory=list)
    models: list[PricedModel] = field(default_factory=list)
    meters: dict[str, Meter] = field(default_factory=dict)


def read_entries(
    tables: Mapping[str, list[RateTable]],
    meters: Mapping[str, Meter],
    layer: int,
    plans: Collection[str] = (),
) -> Entries:
    """The entries of one file.

    Args:
        tables: the file, by kind of entry.
        meters: the meters known so far; the file may add more.
        plans: ids of the plans known so far; the file may add more.
        layer: 0 for the shipped catalog, 1 for the owner's file.

    Raises:
        RateError: an entry that cannot be used, or two that contradict each other.
    """
    entries = Entries()
    known = dict(meters)
    entries.meters = {meter.name: meter for meter in read_meters(tables, known)}
    known |= entries.meters
    plan_ids = {*plans, *(str(table.take("id")) for table in tables["plan"])}
    for kind in ("rate", "not_billed", "unrated"):
        for table in tables[kind]:
            plan = table.take_optional_str("plan")
            if plan is not None and plan not in plan_ids:
                known_plans = ", ".join(sorted(plan_ids))
                raise table.error(f"plan {plan!r} is unknown; use one of {known_plans}", "plan")
    entries.models = [_model(table) for table in tables["model"]]
    _refuse_twice(tables["model"], entries.models)
    entries.rates = [_rate(table, known, layer) for table in tables["rate"]]
    for table in tables["not_billed"]:
        reason = table.take_str("reason")
        entries.unpriced.append(NotBilled(reason=reason, **_common(table, known, layer)))
        table.finish()
    for table in tables["unrated"]:
        reason = table.take_str("reason")
        entries.unpriced.append(NoPrice(reason=reason, **_common(table, known, layer)))
        table.finish()
    check_periods([*entries.rates, *entries.unpriced])
    return entries


def read_meters(tables: Mapping[str, list[RateTable]], known: Mapping[str, Meter]) -> list[Meter]:
    """The meters that a file adds to the known ones.

    Raises:
        RateError: one that cannot be, or that is there already.
    """
    added: dict[str, Meter] = {}
    for table in tables["meter"]:
        meter = _meter(table, {**known, **added})
        added[meter.name] = meter
    return list(added.values())


def _refuse_twice(tables: list[RateTable], models: list[PricedModel]) -> None:
    first: dict[tuple[str, str], RateTable] = {}
    for table, model in zip(tables, models, strict=True):
        other = first.setdefault((model.provider, model.model), table)
        if other is not table:
            raise table.error(
                f"model {model.model!r} of {model.provider!r} is there already, at {other.place};"
                " put all of its names into one entry",
                "model",
            )


def _meter(table: RateTable, known: Mapping[str, Meter]) -> Meter:
    meter = Meter(
        name=table.take_str("name"),
        unit=table.take_str("unit"),
        part_of=table.take_optional_str("part_of"),
        description=table.take_str("description", ""),
    )
    table.finish()
    measure = _unit(table, "unit", meter.unit)
    if measure.name in FLAT_UNITS:
        raise table.error(f"unit {meter.unit!r} is what flat prices are per, no measure", "unit")
    if measure.base != measure.name:
        raise table.error(
            f"unit {meter.unit!r} is a multiple; usage is measured in {measure.base!r}", "unit"
        )
    if meter.name in known:
        raise table.error(f"a meter is called {meter.name!r} already", "name")
    if meter.part_of is not None and meter.part_of not in known:
        raise table.error(f"part_of {meter.part_of!r} is no meter above this one", "part_of")
    if meter.part_of is not None and known[meter.part_of].unit != meter.unit:
        raise table.error(
            f"part_of {meter.part_of!r} is measured in {known[meter.part_of].unit!r}, "
            f"not in {meter.unit!r}",
            "part_of",
        )
    return meter


def _model(table: RateTable) -> PricedModel:
    alternatives = []
    for number, tests in enumerate(table.take_tables("match"), start=1):
        for test, pattern in tests.items():
            if test not in TESTS:
                known = ", ".join(TESTS)
                raise table.error(f"match {number} has {test!r}; use one of {known}", "match")
            if not isinstance(pattern, str):
                raise table.error(f"match {number}: {pattern!r} must be a text", "match")
            if test == "regex":
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise table.error(
                        f"match {number}: regex {pattern!r} is none: {error}", "match"
                    ) from None
        alternatives.append(tuple(tests.items()))
    model = PricedModel(
        provider=table.take_str("provider").lower(),
        model=table.take_str("model").lower(),
        match=tuple(alternatives),
    )
    table.finish()
    return model


def _rate(table: RateTable, meters: Mapping[str, Meter], layer: int) -> Rate:
    common = _common(table, meters, layer)
    pricing_unit = table.take_str("unit")
    price_unit = _unit(table, "unit", pricing_unit)
    meter = meters[common["meter"]]
    price = read_price(table)
    if price.charge_model is not ChargeModel.FLAT and price_unit.base != unit(meter.unit).base:
        raise table.error(
            f"unit {pricing_unit!r} does not fit the meter {meter.name!r}, "
            f"which is measured in {meter.unit!r}",
            "unit",
        )
    currency = table.take_str("currency", "USD")
    if currency not in CURRENCIES:
        raise table.error(
            f'currency {currency!r} is no ISO 4217 code, as currency = "USD"', "currency"
        )
    rate = Rate(
        unit_price=price.unit_price,
        pricing_unit=pricing_unit,
        charge_model=price.charge_model,
        tiers=price.tiers,
        included=price.included,
        increment=_step(table, "increment", price_unit),
        minimum=_step(table, "minimum", price_unit),
        currency=currency,
        basis=table.take_str("basis", ""),
        dispute=_dispute(table, meter, meters),
        request_input_over=table.take_count("request_input_over"),
        **common,
    )
    if rate.dispute is not None and rate.dispute.price is not None and price.tiers:
        raise table.error(
            f"dispute price {rate.dispute.price} has no place beside tiers; say the reason only",
            "dispute",
        )
    table.finish()
    return in_exact_unit(rate)


def _common(table: RateTable, meters: Mapping[str, Meter], layer: int) -> dict[str, Any]:
    """The fields of `Entry`."""
    meter = table.take_str("meter")
    if meter not in meters:
        raise table.error(f"meter {meter!r} is unknown; {nearest_meter(meter, meters)}", "meter")
    effective_from, effective_until = table.take_period()
    attributes = dict(table.take_texts("attributes"))
    return {
        "provider": table.take_str("provider").lower(),
        "meter": meter,
        "model": table.take_str("model", "").lower(),
        "attributes": MappingProxyType(attributes),
        "plan": table.take_optional_str("plan"),
        "hosting": _hosting(table),
        "effective_from": effective_from,
        "effective_until": effective_until,
        "source": table.take_str("source", ""),
        "checked": table.take_date("checked"),
        "layer": layer,
        "add_on": _add_on(table, attributes),
        "snapshot": table.snapshot,
        "place": table.place,
    }


def _add_on(table: RateTable, attributes: Mapping[str, str]) -> bool:
    add_on = table.take_bool("add_on")
    if add_on and not attributes:
        raise table.error(
            'add_on is about a feature: name it, as attributes = { diarization = "true" }', "add_on"
        )
    return add_on


def _hosting(table: RateTable) -> str | None:
    hosting = table.take_optional_str("hosting")
    if hosting is not None and hosting not in ROOM_PROVIDERS:
        known = ", ".join(ROOM_PROVIDERS)
        raise table.error(f"hosting {hosting!r} is unknown; use one of {known}", "hosting")
    return hosting


def _dispute(table: RateTable, meter: Meter, meters: Mapping[str, Meter]) -> Disagreement | None:
    values = table.take("dispute")
    if values is None:
        return None
    if not isinstance(values, dict):
        raise table.error(f'dispute {values!r} must be a table, as {{ reason = "..." }}', "dispute")
    inner = table.nested("dispute", values)
    other = inner.take_str("meter", "")
    if other and other not in meters:
        raise inner.error(f"meter {other!r} is unknown; {nearest_meter(other, meters)}", "dispute")
    if other and meters[other].unit != meter.unit:
        raise inner.error(
            f"meter {other!r} is measured in {meters[other].unit!r}, not in {meter.unit!r}",
            "dispute",
        )
    dispute = Disagreement(
        reason=inner.take_str("reason"),
        basis=inner.take_str("basis", ""),
        meter=other,
        price=inner.take_amount("price") if "price" in values else None,
    )
    inner.finish()
    return dispute


def _step(table: RateTable, key: str, price_unit: Unit) -> Decimal | None:
    """An increment or minimum in base units, from "1" (pricing units) or "10 second"."""
    value = table.take(key)
    if value is None:
        return None
    text, measure = value, price_unit
    if isinstance(value, str) and " " in value.strip():
        text, _, name = value.strip().partition(" ")
        measure = _unit(table, key, name.strip())
        if measure.base != price_unit.base:
            raise table.error(f"{key} {value!r} is not in a unit of {price_unit.base!r}", key)
    amount = table.nested(key, {key: text}).take_amount(key)
    if amount == 0:
        raise table.error(f"{key} {value!r} must be more than 0; leave it out for none", key)
    return EXACT.multiply(amount, measure.factor)


def _unit(table: RateTable, key: str, name: str) -> Unit:
    try:
        return unit(name)
    except UsageError as error:
        raise table.error(f"{key}: {error}", key) from None


def nearest_meter(name: str, meters: Mapping[str, Meter]) -> str:
    """What to do about a meter that is unknown."""
    near = difflib.get_close_matches(name, meters, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "use one of the registry's, or add a [[meter]]"
