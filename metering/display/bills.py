"""Bills and comparisons as tables on a terminal, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..billing.bill import Bill
from ..billing.comparison import CheaperFrom, Offer
from ..billing.month import MonthLine
from ..billing.statement import Statement
from ..pricing.charges import ChargeState
from ..reports.groups import Group
from ..usage import format_decimal
from .layout import Column, Flow, Sheet
from .records import amount, made_of, money, other_reading, plain
from .spreadsheet import inert

if TYPE_CHECKING:
    # An estimate is printed without a store.
    from ..ledger.issued import Issued

CSV_COLUMNS = (
    "period",
    "tenant",
    "meter",
    "provider",
    "model",
    "attributes",
    "state",
    "instances",
    "consumed_quantity",
    "consumed_unit",
    "pricing_quantity",
    "pricing_unit",
    "allowance_used",
    "cost",
    "currency",
    "reason",
    "unit_price",
    "overage",
    "certainty",
    "term",
    "disputed_basis",
    "disputed_cost",
    "statement_id",
    "status",
    "timezone",
)


def print_statement(console: Console, statement: Statement) -> None:
    """A whole statement: what it is of, its lines, its amounts, and what is missing from them."""
    of = f"for {statement.tenant}" if statement.tenant else "for everybody"
    period = statement.period
    console.print(
        _flow(f"{statement.status} statement {period.name} ({period.timezone}) {of}", "bold")
    )
    if statement.issued_at is not None:
        console.print(_flow(f"{statement.statement_id}, issued {statement.issued_at:%Y-%m-%d}"))
    how = [f"plan {_plans(statement)}", f"rate card {statement.rate_card}"]
    # A price book's prices hold wherever a job ran: its statement has jobs, and no hosting.
    if statement.hostings or not statement.bill.jobs:
        how.insert(1, " and ".join(statement.hostings) or "no jobs")
    console.print(_flow(", ".join(how)))
    print_bill(console, statement.bill)
    for check in statement.limits:
        said = f"{check.limit.replace('_', ' ')}: {check.observed} of {check.allowed} at most"
        style = "red" if check.broken else "dim"
        console.print(Text(said + (", limit broken" if check.broken else ""), style))
    for one in statement.uncorrected:
        console.print(_flow(f"{one.statement_id} cannot be corrected: {one.reason}", "yellow"))
    for assumption in statement.assumptions:
        console.print(_flow(f"assumed: {assumption}", "dim"))


def _plans(statement: Statement) -> str:
    if len(statement.terms) == 1:
        return statement.plan_id
    return ", ".join(
        f"{term.plan_id} from {term.since} ({term.days} of {term.of_days} days)"
        for term in statement.terms
    )


def print_bill(console: Console, bill: Bill) -> None:
    """Lines, then the amounts in the order in which they apply."""
    console.print(lines_table(bill.lines))
    for correction in bill.corrections:
        console.print()
        console.print(Text(f"{correction.name}, {correction.period}", "bold"))
        console.print(lines_table(correction.lines))
        if beside := correction.beside_lines:
            said = f"fee, credits, tax and rounding {money(beside, bill.currency)}"
            console.print(Text(said))
    console.print()
    for label, value in bill_amounts(bill):
        console.print(Text(f"{label} {money(value, bill.currency)}"))
    console.print(Text(f"total {money(bill.total, bill.currency)}", "bold"))
    if bill.prepaid_used:
        console.print(Text(f"prepaid {money(-bill.prepaid_used, bill.currency)}"))
        console.print(Text(f"due {money(bill.due, bill.currency)}", "bold"))
    for used in bill.credits:
        if used.left is not None:
            console.print(
                Text(f"left of {used.credit.name}: {money(used.left, bill.currency)}", "dim")
            )
    if bill.prepaid_left:
        console.print(Text(f"left prepaid: {money(bill.prepaid_left, bill.currency)}", "dim"))
    for item in bill.unrated:
        named = f"+ unrated: {item.meter}, {made_of(item.provider, item.model)}, "
        said = named + f"{amount(item.quantity, item.unit)}: {item.reason}"
        console.print(_flow(said, "yellow"))
    for charge in bill.partial:
        said = f"{charge.meter} of {charge.provider} is {charge.certainty}"
        console.print(_flow(said, "dim"))
    for note in dispute_notes(bill.lines, money):
        console.print(_flow(f"* {note}", "dim"))


def _flow(text: str, style: str = "") -> Flow:
    return Flow([Text(part.plain, style) for part in plain(text).split()])


def dispute_notes(
    lines: Iterable[MonthLine], shown: Callable[[Decimal, str], str]
) -> Iterator[str]:
    """What is disputed in these lines, with both amounts; each sentence once.

    Args:
        lines: of a month.
        shown: how an amount in a currency is written.
    """
    said: dict[str, None] = {}
    for line in lines:
        charge, disputed = line.charge, line.charge.disputed
        if disputed is None or charge.list_cost is None:
            continue
        currency, other = charge.currency or "", disputed.list_cost
        reading = other_reading(disputed.basis, "" if other is None else shown(other, currency))
        instead = f"instead of {shown(charge.list_cost, currency)}"
        # Only list costs compare: nobody knows what an allowance would leave of the other.
        without = "" if line.cost == charge.list_cost else ", without allowances"
        said[f"disputed: {disputed.reason}; {reading} {instead}{without}"] = None
    yield from said


def bill_amounts(bill: Bill) -> Iterator[tuple[str, Decimal]]:
    """What a bill adds up to its total, in the order in which it applies."""
    yield "usage", bill.usage_cost
    yield "base fee", bill.base_fee
    if bill.shortfall:
        yield "commitment shortfall", bill.shortfall
    for used in bill.credits:
        yield used.credit.name, -used.amount
    if bill.tax:
        yield "tax", bill.tax
    if bill.rounding:
        yield "rounding", bill.rounding
    for correction in bill.corrections:
        yield correction.name, correction.amount


def lines_table(lines: Iterable[MonthLine]) -> Sheet:
    """One row for each line of a month."""
    sheet = Sheet(
        (
            Column("meter"),
            Column("provider / model"),
            Column("count", "figure"),
            Column("billed", "figure"),
            Column("allowance", "figure"),
            Column("overage", "figure"),
            Column("cost", "figure"),
        ),
        stacks=(
            ("meter", "provider / model"),
            ("count", "billed"),
            ("allowance", "overage"),
            ("cost",),
        ),
    )
    lines = list(lines)
    in_parts = any(line.term for line in lines)
    for line in lines:
        charge = line.charge
        name = charge.meter + "".join(f" {key}={value}" for key, value in charge.attributes.items())
        name += f" (plan {line.term + 1})" if in_parts else ""
        model = f"{charge.provider} / {charge.model}" if charge.model else charge.provider
        row: list[Text | str] = [plain(name), plain(model), str(charge.instances)]
        if charge.state != "priced":
            said = "not billed" if charge.state == "not_billed" else "unrated"
            sheet.add(*row, "-", "-", "-", Text(said, "dim" if "not" in said else "yellow"))
            continue
        sheet.add(
            *row,
            amount(charge.pricing_quantity, charge.pricing_unit),
            format_decimal(line.allowance_used),
            _overage(line, "\n") or "0",
            money(line.cost, charge.currency) + (" *" if charge.disputed else ""),
        )
    return sheet


def _overage(line: MonthLine, separator: str) -> str:
    return separator.join(
        f"{format_decimal(part.quantity)} at {format_decimal(part.unit_price)}"
        for part in line.overage
    )


def groups_table(groups: Iterable[Group], by: str, currency: str) -> Sheet:
    """One row for each group of a statement's jobs."""
    sheet = Sheet(
        (
            Column(by),
            Column("jobs", "figure"),
            Column("list cost", "figure"),
            Column("marginal", "figure"),
            Column("effective", "figure"),
        ),
        stacks=((by,), ("jobs",), ("list cost", "marginal"), ("effective",)),
        ruled=False,
    )
    for group in groups:
        sheet.add(
            plain(group.name or "-"),
            str(group.jobs),
            money(group.list_cost, currency) + (" + unrated" if group.unrated else ""),
            money(group.marginal_cost, currency),
            money(group.effective_cost, currency),
        )
    return sheet


def issued_table(issued: Iterable[Issued]) -> Sheet:
    """One row for each statement that was issued."""
    sheet = Sheet(
        (
            Column("statement", "whole"),
            Column("month", "whole"),
            Column("payer"),
            Column("plan", "whole"),
            Column("total", "figure"),
            Column("issued", "whole"),
        ),
        stacks=(("statement", "month"), ("payer", "plan"), ("total",), ("issued",)),
        ruled=False,
    )
    for one in issued:
        sheet.add(
            one.statement_id,
            f"{one.period} {one.timezone}",
            plain(one.tenant or "everybody"),
            one.plan,
            money(one.total, one.currency),
            f"{one.issued_at:%Y-%m-%d}",
        )
    return sheet


def offers_table(
    offers: Sequence[Offer],
    crossings: Mapping[tuple[str, str], CheaperFrom],
    as_used: Mapping[tuple[str, str], Offer] | None = None,
) -> Sheet:
    """One row for each plan and hosting, those that hold the meetings first.

    Args:
        offers: in their order.
        crossings: from where on another plan is cheaper, by plan and hosting.
        as_used: what each would be with the models that were used; none if these were.
    """
    sheet = Sheet(
        (
            Column("plan", "whole"),
            Column("hosting", "whole"),
            Column("total", "figure"),
            Column("remarks"),
        ),
        stacks=(("plan", "hosting"), ("total",), ("remarks",)),
        ruled=False,
    )
    for offer in offers:
        remarks = list(offer.refusals)
        crossing = crossings.get((offer.plan.plan_id, offer.hosting))
        if offer.fits and crossing is not None and crossing.meetings is not None:
            remarks.append(f"{crossing.other} from {crossing.meetings} meetings")
        before = (as_used or {}).get((offer.plan.plan_id, offer.hosting))
        if before is not None and before.fits:
            remarks.insert(0, f"{money(before.bill.total, before.bill.currency)} as used")
        if offer.bill.unrated:
            missing = sorted({item.meter for item in offer.bill.unrated})
            remarks.append(f"without {', '.join(missing)}: unrated")
        if offer.hosting == "self":
            remarks.append("your own machines at your rate file's price, 0 by default")
        total = money(offer.bill.total, offer.bill.currency) if offer.fits else "refused"
        sheet.add(offer.plan.plan_id, offer.hosting, total, plain("; ".join(remarks)))
    return sheet


def statement_csv(statement: Statement) -> str:
    """A statement's lines as CSV, its other amounts as further rows; opened, it runs no formula."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    bill = statement.bill
    beside = {one.name: one.beside_lines for one in bill.corrections}
    others = [
        (f"{label}: fee, credits, tax, rounding", beside[label])
        if label in beside
        else (label, value)
        for label, value in bill_amounts(bill)
        if label != "usage"
    ]
    paid = [("prepaid", -bill.prepaid_used), ("due", bill.due)] if bill.prepaid_used else []
    rows: list[dict[str, str]] = [_csv_line(line) for line in bill.lines]
    rows += [
        _csv_line(line) | {"reason": one.name} for one in bill.corrections for line in one.lines
    ]
    rows += [
        {"meter": label, "cost": format_decimal(value), "currency": bill.currency}
        for label, value in (*others, ("total", bill.total), *paid)
    ]
    payer = {
        "period": statement.period.name,
        "tenant": statement.tenant,
        "statement_id": statement.statement_id,
        "status": statement.status,
        "timezone": statement.period.timezone,
    }
    for row in rows:
        writer.writerow({column: inert(cell) for column, cell in (payer | row).items()})
    return out.getvalue()


def _csv_line(line: MonthLine) -> dict[str, str]:
    charge = line.charge.to_json()
    row = {column: str(charge[column] or "") for column in CSV_COLUMNS if column in charge}
    row["attributes"] = ";".join(f"{key}={value}" for key, value in charge["attributes"].items())
    row["term"] = str(line.term)
    if disputed := line.charge.disputed:
        other = disputed.list_cost
        row["disputed_basis"] = disputed.basis
        row["disputed_cost"] = "" if other is None else format_decimal(other)
    if line.charge.state is ChargeState.PRICED:
        row |= {
            "overage": _overage(line, "; "),
            "allowance_used": format_decimal(line.allowance_used),
            "cost": format_decimal(line.cost),
        }
    return row
