"""What a statement's document says, as text: the templates only place it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ..billing.bill import Bill
from ..billing.month import MonthLine
from ..billing.statement import Statement
from ..display.bills import bill_amounts, signed
from ..display.records import amount, money
from ..pricing.charges import ChargeState
from ..pricing.exact import EXACT, ZERO
from ..reports.groups import Group
from ..usage import format_decimal
from .chart import Column, column_chart

_WHOLE = re.compile(r"\d+")
_NOT_PRICED = {ChargeState.NOT_BILLED: "not billed", ChargeState.UNRATED: "no price"}


@dataclass(frozen=True, slots=True)
class LineView:
    """One row of the usage table."""

    meter: str
    source: str
    instances: str
    billed: str
    allowance: str
    overage: str
    cost: str
    disputed: bool


@dataclass(frozen=True, slots=True)
class AmountView:
    """A label and an amount; `strong` is a total."""

    label: str
    value: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class StatementView:
    """Everything that a document shows, in order; `chart` is an SVG, or empty."""

    title: str
    period: str
    payer: str
    reference: str
    status: str
    is_draft: bool
    due: str
    facts: tuple[tuple[str, str], ...]
    chart_title: str
    chart: str
    lines: tuple[LineView, ...]
    corrections: tuple[tuple[str, tuple[LineView, ...]], ...]
    amounts: tuple[AmountView, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def view_statement(statement: Statement, days: Sequence[Group]) -> StatementView:
    """A statement as its document shows it.

    Args:
        statement: drafted or issued.
        days: its jobs' costs, put together by day; the chart is of these.
    """
    bill, period = statement.bill, statement.period
    is_draft = statement.issued_at is None
    status = "Draft" if is_draft else f"Issued {statement.issued_at:%d %B %Y}"
    plans = [
        term.plan_id if len(statement.terms) == 1 else f"{term.plan_id} from {term.since}"
        for term in statement.terms
    ]
    return StatementView(
        title="Statement of usage",
        period=f"{period.first_day:%B %Y}",
        payer=statement.tenant or "All tenants",
        reference=statement.statement_id,
        status=status,
        is_draft=is_draft,
        due=_signed(bill.due, bill.currency),
        facts=(
            ("Plan", ", ".join(plans)),
            ("Hosting", ", ".join(statement.hostings) or "-"),
            ("Time zone", period.timezone),
            ("Meetings", f"{len(bill.jobs):,}"),
            ("Rate card", statement.rate_card),
        ),
        chart_title=f"Cost by day, {bill.currency}",
        chart=_chart(statement, days),
        lines=_lines(bill.lines),
        corrections=tuple((one.name, _lines(one.lines)) for one in bill.corrections),
        amounts=tuple(_amounts(bill)),
        notes=tuple(_notes(statement)),
    )


def _chart(statement: Statement, days: Sequence[Group]) -> str:
    costs = {group.name: group.effective_cost for group in days}
    period = statement.period
    first, after = period.first_day, period.following.first_day
    every = [first + timedelta(days=number) for number in range((after - first).days)]
    columns = [Column(str(day.day), costs.get(day.isoformat(), ZERO)) for day in every]
    return column_chart(columns, lambda value: _grouped(money(value, statement.bill.currency)))


def _lines(lines: Iterable[MonthLine]) -> tuple[LineView, ...]:
    return tuple(_line(line) for line in lines)


def _line(line: MonthLine) -> LineView:
    charge = line.charge
    meter = charge.meter.replace("_", " ")
    details = ", ".join(f"{key} {value}" for key, value in charge.attributes.items())
    priced = charge.state is ChargeState.PRICED
    return LineView(
        meter=f"{meter} ({details})" if details else meter,
        source=f"{charge.provider} / {charge.model}" if charge.model else charge.provider,
        instances=f"{charge.instances:,}",
        billed=_grouped(amount(charge.pricing_quantity, charge.pricing_unit))
        if priced
        else _grouped(amount(charge.consumed_quantity, charge.consumed_unit)),
        allowance=_plain(line.allowance_used) if line.allowance_used else "",
        overage=" + ".join(
            f"{_plain(part.quantity)} at {money(part.unit_price, charge.currency)}"
            for part in line.overage
        ),
        cost=_signed(line.cost, charge.currency or "") if priced else _NOT_PRICED[charge.state],
        disputed=priced and charge.disputed is not None,
    )


def _grouped(said: str) -> str:
    """A figure with its thousands apart, for readers on paper."""
    return _WHOLE.sub(lambda found: f"{int(found[0]):,}", said, count=1)


def _plain(quantity: Decimal) -> str:
    return _grouped(format_decimal(quantity))


def _signed(value: Decimal, currency: str) -> str:
    return _grouped(signed(value, currency))


def _amounts(bill: Bill) -> Iterable[AmountView]:
    for label, value in bill_amounts(bill):
        yield AmountView(label[:1].upper() + label[1:], _signed(value, bill.currency))
    yield AmountView("Total", _signed(bill.total, bill.currency), strong=True)
    if bill.prepaid_used:
        prepaid = EXACT.subtract(Decimal(0), bill.prepaid_used)
        yield AmountView("Prepaid", _signed(prepaid, bill.currency))
        yield AmountView("Due", _signed(bill.due, bill.currency), strong=True)


def _notes(statement: Statement) -> Iterable[str]:
    bill = statement.bill
    for item in bill.unrated:
        said = f"{item.meter.replace('_', ' ')} of {item.provider} {item.model}".strip()
        yield f"Not in the total: {amount(item.quantity, item.unit)} of {said}. {item.reason}."
    for charge in bill.partial:
        yield f"{charge.meter.replace('_', ' ')} of {charge.provider} is {charge.certainty}."
    for line in bill.lines:
        if line.charge.disputed is not None:
            meter = line.charge.meter.replace("_", " ")
            yield f"* {meter} of {line.charge.provider} is disputed: {line.charge.disputed.reason}."
    for check in statement.limits:
        if check.broken:
            limit = check.limit.replace("_", " ")
            yield f"Limit broken: {check.observed} {limit} at once, of {check.allowed}."
    for assumption in statement.assumptions:
        yield f"Assumed: {assumption}."
    for one in statement.uncorrected:
        yield f"{one.statement_id} cannot be corrected: {one.reason}."
    for used in bill.credits:
        if used.left is not None:
            yield f"Left of {used.credit.name}: {money(used.left, bill.currency)}."
    if bill.prepaid_left:
        yield f"Left prepaid: {money(bill.prepaid_left, bill.currency)}."
