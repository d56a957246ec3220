"""The entries of a rate file that are about selling: [[customer]], [[sold_as]] and [[markup]]."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ..usage import Meter
from .entries import nearest_meter
from .loading import catalog_tables, load_card
from .periods import overlap
from .plans import Plan, load_plans
from .price_book import Customer, Markup, PriceBook, SoldAs
from .rate_file import RateTable, read_file

_Dated = TypeVar("_Dated", Customer, Markup)


def load_price_book(owner_file: Path | None = None) -> PriceBook:
    """What is sold to whom, by the owner's file over the catalog's.

    Raises:
        RateError: an entry that cannot be used, with its file, line and value.
    """
    plans, meters = load_plans(owner_file), load_card(owner_file).meters
    files = [*catalog_tables(), *(() if owner_file is None else (read_file(owner_file),))]
    customers: list[tuple[RateTable, Customer]] = []
    markups: list[tuple[RateTable, Markup]] = []
    sold_as: dict[tuple[object, ...], SoldAs] = {}
    for file in files:
        customers += [(table, _customer(table, plans)) for table in file["customer"]]
        markups += [(table, _markup(table, plans, meters)) for table in file["markup"]]
        sold_as |= _sold_as(file["sold_as"], meters)
    _refuse_overlaps(customers, lambda one: one.tenant, lambda one, other: True)
    _refuse_overlaps(markups, lambda one: one.plan_id, _compete)
    return PriceBook(
        tuple(one for _, one in customers),
        tuple(sold_as.values()),
        tuple(one for _, one in markups),
    )


def _customer(table: RateTable, plans: Mapping[str, Plan]) -> Customer:
    tenant = table.take_str("tenant")
    plan_id = _price_plan(table, plans)
    start, end = table.take_period()
    table.finish()
    return Customer(
        tenant=tenant,
        plan_id=plan_id,
        effective_from=start,
        effective_until=end,
        place=table.place,
    )


def _markup(table: RateTable, plans: Mapping[str, Plan], meters: Mapping[str, Meter]) -> Markup:
    start, end = table.take_period()
    markup = Markup(
        plan_id=_price_plan(table, plans),
        percent=table.take_amount("percent"),
        providers=frozenset(name.lower() for name in table.take_names("providers")),
        meters=frozenset(table.take_names("meters")),
        effective_from=start,
        effective_until=end,
        place=table.place,
    )
    for meter in sorted(markup.meters):
        _check_meter(table, "meters", meter, meters)
    table.finish()
    return markup


def _sold_as(
    tables: Iterable[RateTable], meters: Mapping[str, Meter]
) -> dict[tuple[object, ...], SoldAs]:
    found: dict[tuple[object, ...], SoldAs] = {}
    for table in tables:
        one = SoldAs(
            provider=table.take_str("provider").lower(),
            meter=table.take_str("meter"),
            measured=table.take_str("measured"),
            attributes=MappingProxyType(table.take_texts("attributes")),
            excluding=tuple(_texts(table, item) for item in table.take_tables("excluding")),
            place=table.place,
        )
        for key in ("meter", "measured"):
            _check_meter(table, key, getattr(one, key), meters)
        sold, measured = meters[one.meter], meters[one.measured]
        if sold.unit != measured.unit:
            raise table.error(
                f"meter {one.meter!r} is in {sold.unit!r}, and {one.measured!r} is measured in"
                f" {measured.unit!r}",
                "meter",
            )
        scope = one.provider, one.measured, tuple(sorted(one.attributes.items()))
        if scope in found:
            raise table.error(
                f"{one.measured!r} is sold as {found[scope].meter!r} already, at"
                f" {found[scope].place}",
                "measured",
            )
        table.finish()
        found[scope] = one
    return found


def _texts(table: RateTable, values: Mapping[str, object]) -> Mapping[str, str]:
    inner = table.nested("excluding", {"excluding": values})
    return MappingProxyType(inner.take_texts("excluding"))


def _price_plan(table: RateTable, plans: Mapping[str, Plan]) -> str:
    plan_id = table.take_str("plan")
    sold = [name for name, plan in plans.items() if plan.book == "price"]
    if plan_id not in sold:
        why = "is not sold to tenants" if plan_id in plans else "is unknown"
        raise table.error(f"plan {plan_id!r} {why}; use one of {', '.join(sold)}", "plan")
    return plan_id


def _check_meter(table: RateTable, key: str, name: str, meters: Mapping[str, Meter]) -> None:
    if name not in meters:
        raise table.error(f"{key} {name!r} is unknown; {nearest_meter(name, meters)}", key)


def _compete(one: Markup, other: Markup) -> bool:
    def meet(names: frozenset[str], others: frozenset[str]) -> bool:
        return not names or not others or bool(names & others)

    return (
        one.rank == other.rank
        and meet(one.providers, other.providers)
        and meet(one.meters, other.meters)
    )


def _refuse_overlaps(
    entries: Iterable[tuple[RateTable, _Dated]],
    of: Callable[[_Dated], str],
    compete: Callable[[_Dated, _Dated], bool],
) -> None:
    before: dict[str, list[_Dated]] = defaultdict(list)
    for table, one in entries:
        period = one.effective_from, one.effective_until
        for other in before[of(one)]:
            its_period = other.effective_from, other.effective_until
            if compete(one, other) and overlap(period, its_period):
                raise table.error(
                    f"its period {_period(one)} overlaps that of {other.place},"
                    f" {_period(other)}; close the older one with effective_until"
                )
        before[of(one)].append(one)


def _period(entry: Customer | Markup) -> str:
    return f"{entry.effective_from or 'always'} to {entry.effective_until or 'open end'}"
