"""Plans: what is paid each month whatever is used, and what that already covers.

Overage prices are rates like any other, with the plan's name on them. Here is what a rate cannot
say: base fee, allowances, graduated tiers past them, limits, credits and commitment. They are
applied by `metering.billing`; a charge's list cost is always at the overage rate, as if no
allowance were left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ..errors import RateError, UsageError
from ..units import Unit, unit
from ..usage import Meter, core_meters
from .charge_models import Tier as Tier
from .currencies import CURRENCIES
from .entries import nearest_meter, read_meters
from .exact import EXACT, ZERO
from .hosting import ROOM_PROVIDERS
from .loading import catalog_tables
from .rate_file import RateTable, read_file
from .rate_prices import read_tiers

Book = Literal["cost", "price"]

LIMITS = ("concurrent_agents", "connections", "inference_stt")
"""What a plan can limit: each is a count of what runs at once."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a plan includes of a meter each month, in `pricing_unit`; None is unlimited.

    `increment` (base units) is what each instance is rounded up to where the plan has no overage
    rate that would say so. Usage with any of the `excluding` attributes is not covered: LiveKit
    bills a call leg, for one, as another resource than a WebRTC connection.
    """

    meter: str
    quantity: Decimal | None
    pricing_unit: str
    increment: Decimal | None = None
    excluding: tuple[Mapping[str, str], ...] = ()

    @property
    def base_quantity(self) -> Decimal | None:
        """The same in the meter's base unit."""
        if self.quantity is None:
            return None
        return EXACT.multiply(self.quantity, unit(self.pricing_unit).factor)

    def covers(self, attributes: Mapping[str, str]) -> bool:
        """Whether usage of this meter with these attributes comes off the allowance."""
        return not any(excluded.items() <= attributes.items() for excluded in self.excluding)


@dataclass(frozen=True, slots=True)
class OverageTiers:
    """Graduated prices of a meter past its allowance, the lowest `over` (0) first.

    They take the place of the rate's one price; both are per `pricing_unit`.
    """

    meter: str
    pricing_unit: str
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Credit:
    """Money off: of what these providers and meters charge; an empty set is any.

    Only a credit without restriction comes off base fee and commitment, too. `expires` is the last
    day it can be used; None is never. An empty `currency` is the bill's, whichever that is.
    """

    name: str
    amount: Decimal
    providers: frozenset[str] = frozenset()
    meters: frozenset[str] = frozenset()
    expires: date | None = None
    currency: str = ""

    def covers(self, provider: str, meter: str) -> bool:
        """Whether it may be spent on what this provider charges for this meter."""
        return (not self.providers or provider in self.providers) and (
            not self.meters or meter in self.meters
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A provider's plan, or, in the book `price`, one that is sold to tenants.

    `base_fee` is per month. `credit` is a monthly amount off what `credit_provider` charges, and
    `credits` are further ones. Without `overage` service stops past the allowances. `limits` are
    counts (concurrent agents, connections). Allowances reset on the 1st, without rollover.
    `hostings` are those it can be had on; empty is any. `commitment` is the least that the
    provider's charges and the base fee come to. `agent_connections_billed` says whether the agent's
    own connection is: sources disagree, so charges for it are flagged. A plan `by_contract` has no
    published terms: its owner writes it down in their own file. `earlier` are the terms that it
    had before `effective_from`, oldest first.
    """

    plan_id: str
    name: str
    provider: str
    base_fee: Decimal
    currency: str = "USD"
    credit: Decimal = ZERO
    credit_provider: str = ""
    credits: tuple[Credit, ...] = ()
    overage: bool = True
    allowances: tuple[Allowance, ...] = ()
    tiers: tuple[OverageTiers, ...] = ()
    limits: Mapping[str, int]
    hostings: tuple[str, ...] = ()
    commitment: Decimal = ZERO
    agent_connections_billed: bool = True
    by_contract: bool = False
    book: Book = "cost"
    effective_from: date | None = None
    effective_until: date | None = None
    source: str = ""
    checked: date | None = None
    note: str = ""
    earlier: tuple[Plan, ...] = ()

    def on(self, day: date) -> Plan:
        """The plan with the terms of a day; before the first of them, with the first."""
        versions = (*self.earlier, self)
        begun = [
            plan for plan in versions if plan.effective_from is None or plan.effective_from <= day
        ]
        return begun[-1] if begun else versions[0]

    def allowance(self, meter: str) -> Allowance | None:
        """What the plan includes of a meter, or None where it includes nothing."""
        return next((item for item in self.allowances if item.meter == meter), None)

    def overage_tiers(self, meter: str) -> OverageTiers | None:
        """The graduated prices of a meter, or None where its rate has the one price."""
        return next((item for item in self.tiers if item.meter == meter), None)

    @property
    def monthly_credits(self) -> tuple[Credit, ...]:
        """All that comes off each month's charges."""
        if not self.credit:
            return self.credits
        providers = frozenset({self.credit_provider} if self.credit_provider else ())
        return (Credit(f"{self.name} monthly credit", self.credit, providers), *self.credits)


def load_plans(owner_file: Path | None = None) -> Mapping[str, Plan]:
    """The plans of the catalog and of the owner's file, by id; the owner's replace the catalog's.

    Raises:
        RateError: a plan that cannot be used, with its file, line and value.
    """
    sources = [catalog_tables()]
    if owner_file is not None:
        sources.append((read_file(owner_file),))
    plans: dict[str, Plan] = {}
    meters = dict(core_meters())
    for tables in sources:
        layer: dict[str, Plan] = {}
        places: dict[str, str] = {}
        for file in tables:
            meters |= {meter.name: meter for meter in read_meters(file, meters)}
            for table in file["plan"]:
                plan = _plan(table, meters)
                before = layer.get(plan.plan_id)
                if before is not None:
                    plan = _after(table, before, places[plan.plan_id], plan)
                layer[plan.plan_id] = plan
                places[plan.plan_id] = table.place
        plans |= layer
    return MappingProxyType(plans)


def _after(table: RateTable, before: Plan, place: str, plan: Plan) -> Plan:
    """New terms of a plan; the file has them in the order in which they came to hold."""
    since, until = before.effective_from, before.effective_until
    name = f"plan {plan.plan_id!r}"
    if plan.effective_from is None or plan.effective_from == since:
        raise table.error(f"there is a {name} already, at {place}", "id")
    if since is not None and plan.effective_from < since:
        raise table.error(
            f"these terms of {name} hold from {plan.effective_from}, and those above from {since};"
            " put the older ones first",
            "effective_from",
        )
    if until is not None and until != plan.effective_from:
        what = "overlap" if until > plan.effective_from else "leave a gap to"
        raise table.error(
            f"these terms of {name} hold from {plan.effective_from}, and {what} those above, until"
            f" {until}",
            "effective_from",
        )
    return replace(plan, earlier=(*before.earlier, replace(before, earlier=())))


def find_plan(plans: Mapping[str, Plan], plan_id: str) -> Plan:
    """The plan of this id.

    Raises:
        RateError: no such plan; the message lists those there are.
    """
    try:
        return plans[plan_id]
    except KeyError:
        raise RateError(f"unknown plan {plan_id!r}; use one of {', '.join(plans)}") from None


def _plan(table: RateTable, meters: Mapping[str, Meter]) -> Plan:
    currency = table.take_str("currency", "USD")
    if currency not in CURRENCIES:
        raise table.error(f"currency {currency!r} is no ISO 4217 code", "currency")
    book = table.take_str("book", "cost")
    if book not in ("cost", "price"):
        raise table.error(f"book {book!r} is unknown; use cost or price", "book")
    by_contract = table.take_bool("by_contract")
    effective_from, effective_until = table.take_period()
    plan = Plan(
        plan_id=table.take_str("id"),
        name=table.take_str("name"),
        provider=table.take_str("provider"),
        base_fee=ZERO if by_contract else table.take_amount("base_fee"),
        currency=currency,
        credit=_amount(table, "credit"),
        credit_provider=table.take_str("credit_provider", ""),
        credits=tuple(_credit(table, item, meters) for item in table.take_tables("credits")),
        overage=_yes_unless_false(table, "overage"),
        allowances=tuple(
            _allowance(table, item, meters) for item in table.take_tables("allowances")
        ),
        tiers=tuple(_tiers(table, item, meters) for item in table.take_tables("tiers")),
        limits=MappingProxyType(_limits(table)),
        hostings=_hostings(table),
        commitment=_amount(table, "commitment"),
        agent_connections_billed=_yes_unless_false(table, "agent_connections_billed"),
        by_contract=by_contract,
        book="cost" if book == "cost" else "price",
        effective_from=effective_from,
        effective_until=effective_until,
        source=table.take_str("source", ""),
        checked=table.take_date("checked"),
        note=table.take_str("note", ""),
    )
    for key, named in (
        ("allowances", [item.meter for item in plan.allowances]),
        ("tiers", [item.meter for item in plan.tiers]),
    ):
        for meter in named:
            if named.count(meter) > 1:
                raise table.error(f"{key} name the meter {meter!r} twice", key)
    table.finish()
    return plan


def _amount(table: RateTable, key: str) -> Decimal:
    return table.take_amount(key) if table.take(key) is not None else ZERO


def _yes_unless_false(table: RateTable, key: str) -> bool:
    value = table.take(key)
    if value is not None and not isinstance(value, bool):
        raise table.error(f"{key} {value!r} must be true or false", key)
    return value is not False


def _hostings(table: RateTable) -> tuple[str, ...]:
    listed = table.take_names("hostings")
    for name in listed:
        if name not in ROOM_PROVIDERS:
            known = ", ".join(ROOM_PROVIDERS)
            raise table.error(f"hosting {name!r} is unknown; use one of {known}", "hostings")
    return tuple(listed)


def _allowance(
    table: RateTable, values: Mapping[str, object], meters: Mapping[str, Meter]
) -> Allowance:
    inner = table.nested("allowances", values)
    meter = inner.take_str("meter")
    pricing_unit = inner.take_str("unit")
    measure = _unit_of(inner, "allowances", meter, pricing_unit, meters)
    unlimited = inner.take("quantity") == "unlimited"
    quantity = None if unlimited else inner.take_amount("quantity")
    increment = None
    if inner.take("increment") is not None:
        increment = EXACT.multiply(inner.take_amount("increment"), measure.factor)
        if not increment:
            raise inner.error("increment must be more than 0; leave it out for none", "allowances")
    excluding = tuple(
        MappingProxyType(inner.nested("excluding", {"excluding": item}).take_texts("excluding"))
        for item in inner.take_tables("excluding")
    )
    inner.finish()
    return Allowance(meter, quantity, pricing_unit, increment, excluding)


def _tiers(
    table: RateTable, values: Mapping[str, Any], meters: Mapping[str, Meter]
) -> OverageTiers:
    inner = table.nested("tiers", values)
    meter = inner.take_str("meter")
    pricing_unit = inner.take_str("unit")
    _unit_of(inner, "tiers", meter, pricing_unit, meters)
    steps = read_tiers(inner, "prices", "tiers")
    inner.finish()
    return OverageTiers(meter, pricing_unit, steps)


def _credit(table: RateTable, values: Mapping[str, object], meters: Mapping[str, Meter]) -> Credit:
    inner = table.nested("credits", values)
    credit = Credit(
        name=inner.take_str("name"),
        amount=inner.take_amount("amount"),
        providers=frozenset(inner.take_names("providers")),
        meters=frozenset(inner.take_names("meters")),
        expires=inner.take_date("expires"),
    )
    for meter in sorted(credit.meters - meters.keys()):
        raise inner.error(f"meter {meter!r} is unknown; {nearest_meter(meter, meters)}", "credits")
    inner.finish()
    return credit


def _unit_of(
    inner: RateTable, key: str, meter: str, name: str, meters: Mapping[str, Meter]
) -> Unit:
    known = meters.get(meter)
    if known is None:
        raise inner.error(f"meter {meter!r} is unknown; {nearest_meter(meter, meters)}", key)
    try:
        measure = unit(name)
    except UsageError as error:
        raise inner.error(str(error), key) from None
    if measure.base != known.unit:
        raise inner.error(
            f"unit {name!r} does not fit {meter!r}, which is measured in {known.unit!r}", key
        )
    return measure


def _limits(table: RateTable) -> dict[str, int]:
    values = table.take("limits") or {}
    if not isinstance(values, dict):
        raise table.error(f"limits {values!r} must be a table", "limits")
    inner = table.nested("limits", values)
    limits = {}
    for name in values:
        if name not in LIMITS:
            known = ", ".join(LIMITS)
            raise inner.error(f"limit {name!r} is unknown; use one of {known}", "limits")
        count = inner.take_count(name)
        if count is not None:
            limits[name] = count
    return limits
