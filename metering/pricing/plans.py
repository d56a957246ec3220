"""Plans: what is paid each month whatever is used, and what that already covers.

Overage prices are rates like any other, with the plan's name on them. Here is what a rate cannot
say: base fee, allowances, limits and credit. They are applied by the statement; a charge's list
cost is always at the overage rate, as if no allowance were left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

from ..errors import RateError, UsageError
from ..units import unit
from ..usage import core_meters
from .currencies import CURRENCIES
from .exact import EXACT
from .loading import catalog_tables
from .rate_file import RateTable, read_file


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a plan includes of a meter each month, in `pricing_unit`; None is unlimited."""

    meter: str
    quantity: Decimal | None
    pricing_unit: str

    @property
    def base_quantity(self) -> Decimal | None:
        """The same in the meter's base unit."""
        if self.quantity is None:
            return None
        return EXACT.multiply(self.quantity, unit(self.pricing_unit).factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A provider's plan.

    `base_fee` is per month. `credit` is a monthly amount off what `credit_provider` charges.
    Without `overage` service stops past the allowances. `limits` are counts (concurrent agents,
    connections). Allowances reset on the 1st, without rollover.
    """

    plan_id: str
    name: str
    provider: str
    base_fee: Decimal
    currency: str = "USD"
    credit: Decimal = Decimal(0)
    credit_provider: str = ""
    overage: bool = True
    allowances: tuple[Allowance, ...] = ()
    limits: Mapping[str, int]
    effective_from: date | None = None
    effective_until: date | None = None
    source: str = ""
    checked: date | None = None
    note: str = ""

    def allowance(self, meter: str) -> Allowance | None:
        """What the plan includes of a meter, or None where it includes nothing."""
        return next((item for item in self.allowances if item.meter == meter), None)


def load_plans(owner_file: Path | None = None) -> Mapping[str, Plan]:
    """The plans of the catalog and of the owner's file, by id; the owner's replace the catalog's.

    Raises:
        RateError: a plan that cannot be used, with its file, line and value.
    """
    sources = [catalog_tables()]
    if owner_file is not None:
        sources.append((read_file(owner_file),))
    plans: dict[str, Plan] = {}
    for tables in sources:
        layer: dict[str, Plan] = {}
        for file in tables:
            for table in file["plan"]:
                plan = _plan(table)
                if plan.plan_id in layer:
                    raise table.error(f"there is a plan {plan.plan_id!r} already", "id")
                layer[plan.plan_id] = plan
        plans |= layer
    return MappingProxyType(plans)


def find_plan(plans: Mapping[str, Plan], plan_id: str) -> Plan:
    """The plan of this id.

    Raises:
        RateError: no such plan; the message lists those there are.
    """
    try:
        return plans[plan_id]
    except KeyError:
        raise RateError(f"unknown plan {plan_id!r}; use one of {', '.join(plans)}") from None


def _plan(table: RateTable) -> Plan:
    currency = table.take_str("currency", "USD")
    if currency not in CURRENCIES:
        raise table.error(f"currency {currency!r} is no ISO 4217 code", "currency")
    overage = table.take("overage")
    if overage is not None and not isinstance(overage, bool):
        raise table.error(f"overage {overage!r} must be true or false", "overage")
    plan = Plan(
        plan_id=table.take_str("id"),
        name=table.take_str("name"),
        provider=table.take_str("provider"),
        base_fee=table.take_amount("base_fee"),
        currency=currency,
        credit=table.take_amount("credit") if table.take("credit") is not None else Decimal(0),
        credit_provider=table.take_str("credit_provider", ""),
        overage=overage is not False,
        allowances=tuple(_allowance(table, item) for item in table.take_tables("allowances")),
        limits=MappingProxyType(_limits(table)),
        effective_from=table.take_date("effective_from"),
        effective_until=table.take_date("effective_until"),
        source=table.take_str("source", ""),
        checked=table.take_date("checked"),
        note=table.take_str("note", ""),
    )
    table.finish()
    return plan


def _allowance(table: RateTable, values: Mapping[str, object]) -> Allowance:
    inner = table.nested("allowances", values)
    meter = inner.take_str("meter")
    pricing_unit = inner.take_str("unit")
    quantity = None if inner.take("quantity") == "unlimited" else inner.take_amount("quantity")
    inner.finish()
    known = core_meters().get(meter)
    if known is None:
        raise inner.error(f"meter {meter!r} is unknown", "allowances")
    try:
        measure = unit(pricing_unit)
    except UsageError as error:
        raise inner.error(str(error), "allowances") from None
    if measure.base != known.unit:
        raise inner.error(f"unit {pricing_unit!r} does not fit {meter!r}", "allowances")
    return Allowance(meter, quantity, pricing_unit)


def _limits(table: RateTable) -> dict[str, int]:
    values = table.take("limits") or {}
    if not isinstance(values, dict):
        raise table.error(f"limits {values!r} must be a table", "limits")
    inner = table.nested("limits", values)
    limits = {}
    for name in values:
        count = inner.take_count(name)
        if count is not None:
            limits[name] = count
    return limits
