"""What a rate file's entry says its price is of: the charge model, and all that goes with it.

A model asks for some keys and has no place for others. One that was written and would be ignored is
a wrong bill, so it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact

from ..units import unit
from .charge_models import FLAT_UNITS, TIERED, ChargeModel, Package, Tier
from .exact import EXACT, ZERO, convert_exactly
from .rate_card import Rate
from .rate_file import RateTable

_LIST_PRICE = Context(prec=20, rounding=ROUND_HALF_EVEN)

_NOT_WITH_FLAT = ("increment", "minimum", "included")
_NOT_WITH_MONTH = ("request_input_over",)


@dataclass(frozen=True, slots=True)
class Price:
    """The model, and its price or prices: `unit_price` is that of the first tier, if there are."""

    charge_model: ChargeModel
    unit_price: Decimal
    tiers: tuple[Tier, ...] = ()
    included: Decimal = ZERO


def read_price(table: RateTable) -> Price:
    """The price of a [[rate]].

    Raises:
        RateError: a model that does not exist, or keys that do not go together.
    """
    model = _model(table)
    if model in TIERED:
        if table.take("price") is not None:
            raise table.error(
                f"price {table.take('price')!r} has no place in charge_model {str(model)!r};"
                " its prices are in tiers",
                "price",
            )
        tiers = read_tiers(table, "tiers", "tiers")
        price = tiers[0].unit_price
    else:
        if table.take("tiers") is not None:
            raise table.error(
                f"tiers {table.take('tiers')!r} need charge_model graduated or volume,"
                f" not {str(model)!r}",
                "tiers",
            )
        tiers, price = (), table.take_amount("price")
    included = ZERO if table.take("included") is None else table.take_amount("included")
    if model is ChargeModel.FLAT:
        _refuse(table, model, _NOT_WITH_FLAT)
    elif model is not ChargeModel.UNIT or included:
        _refuse(table, model, _NOT_WITH_MONTH)
    return Price(model, price, tiers, included)


def _model(table: RateTable) -> ChargeModel:
    name = table.take_str("charge_model", ChargeModel.UNIT)
    pricing_unit = table.take_str("unit")
    if name not in list(ChargeModel):
        known = ", ".join(ChargeModel)
        raise table.error(f"charge_model {name!r} is unknown; use one of {known}", "charge_model")
    model = ChargeModel(name)
    if (model is ChargeModel.FLAT) != (pricing_unit in FLAT_UNITS):
        raise table.error(
            f"unit {pricing_unit!r} does not go with charge_model {name!r};"
            f" flat prices, and only they, are per {' or '.join(FLAT_UNITS)}",
            "unit",
        )
    return model


def _refuse(table: RateTable, model: ChargeModel, keys: tuple[str, ...]) -> None:
    for key in keys:
        value = table.take(key)
        if value is not None:
            how = f"charge_model {str(model)!r}"
            if model is ChargeModel.UNIT:
                how = f"included {table.take('included')!r}"
            raise table.error(f"{key} {value!r} has no place beside {how}", key)


def read_tiers(table: RateTable, key: str, parent: str) -> tuple[Tier, ...]:
    """Prices by quantity: `[{ over = "0", price = "..." }, ...]`, from 0 upwards.

    Raises:
        RateError: none, not from 0, or not rising.
    """
    tiers = []
    for item in table.take_tables(key):
        step = table.nested(parent, item)
        tiers.append(Tier(step.take_amount("over"), step.take_amount("price")))
        step.finish()
    overs = [tier.over for tier in tiers]
    if not overs or overs[0] != 0 or overs != sorted(set(overs)):
        shown = ", ".join(map(str, overs)) or "none"
        raise table.error(f"{key} must begin over 0 and rise; they are over {shown}", parent)
    return tuple(tiers)


def in_exact_unit(rate: Rate) -> Rate:
    """A rate per minute or hour as one per base unit, where no digit is lost by it.

    10 s are no finite number of minutes, but $0.0048 a minute is $0.00008 a second: so priced, what
    is not rounded to an increment multiplies out exactly. Where a quantity decides (how many
    packages, which tier) it must be exact even if it is rounded to an increment. A package's list
    price per unit may be no finite decimal; only the price of the whole one is ever billed.
    """
    if rate.charge_model is ChargeModel.FLAT or convert_exactly(rate.factor) or _is_whole(rate):
        return rate
    factor, dispute = rate.factor, rate.dispute
    try:
        if rate.package is not None:
            per_base = _LIST_PRICE.divide(rate.unit_price, factor)
        else:
            per_base = EXACT.divide(rate.unit_price, factor)
        tiers = tuple(
            Tier(EXACT.multiply(tier.over, factor), EXACT.divide(tier.unit_price, factor))
            for tier in rate.tiers
        )
        if dispute is not None and dispute.price is not None:
            dispute = replace(dispute, price=EXACT.divide(dispute.price, factor))
    except Inexact:
        return rate
    return replace(
        rate,
        unit_price=per_base,
        pricing_unit=unit(rate.pricing_unit).base,
        dispute=dispute,
        tiers=tiers,
        included=EXACT.multiply(rate.included, factor),
        package=rate.package and Package(factor, rate.package.price),
    )


def _is_whole(rate: Rate) -> bool:
    """Whether what instances are rounded to makes their quantities finite in the rate's unit."""
    steps = [step for step in (rate.increment, rate.minimum) if step is not None]
    if rate.charge_model is ChargeModel.UNIT and not rate.included:
        return bool(steps)
    return rate.increment is not None and not any(
        EXACT.remainder(step, rate.factor) for step in steps
    )
