"""Rates, and what is wrong with or changes about them, as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from ..billing.card_diff import CardCost, CardDiff
from ..pricing.charge_models import ChargeModel
from ..pricing.rate_card import Entry, Rate
from ..pricing.rate_check import InUse, RateCheck
from ..pricing.rate_list import entry_kind
from ..units import unit
from ..usage import format_decimal
from .layout import Column, Flow, Sheet
from .records import amount, money, plain


def rates_table(entries: Iterable[Entry]) -> Sheet:
    """One row for each entry; a star is a disputed one."""
    sheet = Sheet(
        (
            Column("provider / model"),
            Column("meter"),
            Column("price"),
            Column("holds"),
            Column("checked", "whole"),
        ),
        stacks=(("provider / model", "meter"), ("price",), ("holds", "checked")),
        ruled=False,
    )
    for entry in entries:
        owners = " (own)" if entry.layer else ""
        sheet.add(
            plain(_model(entry.provider, entry.model) + owners),
            plain(_about(entry.meter, entry.attributes)),
            plain(price_text(entry)),
            plain(_restrictions(entry)),
            "-" if entry.checked is None else entry.checked.isoformat(),
        )
    return sheet


def price_text(entry: Entry) -> str:
    """An entry's price, whatever its model, with what else it depends on."""
    if not isinstance(entry, Rate):
        return ("+ " if entry.add_on else "") + entry_kind(entry).replace("_", " ")
    return " ".join(_price_parts(entry)) + (" *" if entry.disputed else "")


def _price_parts(rate: Rate) -> Iterator[str]:
    base = unit(rate.pricing_unit).base
    if rate.add_on:
        yield "+"
    if rate.tiers:
        steps = (f"{_price(t.unit_price, rate)} over {format_decimal(t.over)}" for t in rate.tiers)
        yield f"{rate.charge_model}: {', '.join(steps)}, per {rate.pricing_unit}"
    elif rate.package is not None:
        size = "" if rate.package.size == 1 else f"{format_decimal(rate.package.size)} "
        yield f"{_price(rate.package.price, rate)} per started {size}{rate.pricing_unit} a month"
    else:
        yield f"{_price(rate.unit_price, rate)} per {rate.pricing_unit}"
    if rate.included:
        yield f"past {format_decimal(rate.included)} a month"
    if rate.increment is not None and rate.charge_model is not ChargeModel.FLAT:
        yield f"in steps of {amount(rate.increment, base)}"
    if rate.minimum is not None:
        yield f"at least {amount(rate.minimum, base)}"
    if rate.request_input_over is not None:
        yield f"over {rate.request_input_over} input tokens"


def _price(price: Decimal, rate: Rate) -> str:
    return money(price, rate.currency)


def _model(provider: str, model: str) -> str:
    return f"{provider} / {model}" if model else provider


def _about(meter: str, attributes: Mapping[str, str]) -> str:
    return meter + "".join(f" {key}={value}" for key, value in sorted(attributes.items()))


def _restrictions(entry: Entry) -> str:
    parts = [part for part in (entry.plan, entry.hosting) if part]
    if entry.effective_from is not None:
        parts.append(f"from {entry.effective_from}")
    if entry.effective_until is not None:
        parts.append(f"until {entry.effective_until}")
    return ", ".join(parts) or "always"


def print_check(console: Console, check: RateCheck) -> None:
    """What is missing first, then what is old, then what is disputed."""
    for missing in check.missing:
        use = missing.use
        often = f", {use.instances} times" if use.instances else ""
        said = f"missing: {used_text(use)}{often}: {missing.reason}"
        console.print(_flow(said, "red"))
    for stale in check.stale:
        when = "was never checked" if stale.days is None else f"checked {stale.days} days ago"
        source = f", see {stale.entry.source}" if stale.entry.source else ""
        said = f"stale: {_entry(stale.entry)} {when}{source}"
        console.print(_flow(said, "yellow"))
    for rate in check.disputed:
        dispute = rate.dispute
        if dispute is None:
            continue
        other = "an amount nobody has said"
        if dispute.price is not None:
            of = f" of {dispute.meter}" if dispute.meter else ""
            other = f"{_price(dispute.price, rate)} per {rate.pricing_unit}{of}"
        said = f"disputed: {_entry(rate)} {price_text(rate)}, or {other}: {dispute.reason}"
        console.print(_flow(said, "dim"))
    counts = f"{len(check.entries)} entries, {len(check.missing)} missing, {len(check.stale)} stale"
    console.print(Text(f"{counts}, {len(check.disputed)} disputed"))


def used_text(use: InUse) -> str:
    """Something in use, as a line names it."""
    return f"{_model(use.provider, use.model)} {_about(use.meter, use.attributes)}".strip()


def _entry(entry: Entry) -> str:
    return f"{_model(entry.provider, entry.model)} {_about(entry.meter, entry.attributes)}"


def _flow(text: str, style: str) -> Flow:
    return Flow([Text(part.plain, style) for part in plain(text).split()])


def print_diff(console: Console, diff: CardDiff) -> None:
    """One row for each meter and model, then the totals."""
    sheet = Sheet(
        (
            Column("meter"),
            Column("provider / model"),
            Column("present", "figure"),
            Column("new", "figure"),
            Column("difference", "figure"),
        ),
        stacks=(("meter", "provider / model"), ("present", "new"), ("difference",)),
    )
    for row in diff.rows:
        sheet.add(
            plain(row.meter),
            plain(_model(row.provider, row.model)),
            _cost(row.present, diff.currency),
            _cost(row.new, diff.currency),
            money(row.difference, diff.currency),
        )
    console.print(sheet)
    totals = f"total {money(diff.present.total, diff.currency)} by {diff.present_card}, "
    console.print(Text(f"{totals}{money(diff.new.total, diff.currency)} by {diff.new_card}"))
    console.print(Text(f"difference {money(diff.difference, diff.currency)}", "bold"))


def _cost(cost: CardCost, currency: str) -> str:
    return money(cost.cost, currency) + ("\n+ unrated" if cost.unrated else "")
