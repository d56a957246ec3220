"""What a statement's document says, as text: the templates only place it.

Figures are cut to what can be read on paper; every digit of them is in the statement's JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from ..billing.bill import Bill
from ..billing.correction import Correction
from ..billing.month import MonthLine
from ..billing.statement import Statement
from ..display.bills import bill_amounts, dispute_notes
from ..display.records import amount, money
from ..pricing.charges import Charge, ChargeState
from ..pricing.exact import EXACT, ZERO
from ..reports.groups import Group
from ..usage import format_decimal
from .chart import Column, column_chart

_WHOLE = re.compile(r"\d+")
_QUANTITY_DECIMALS = 3
_AMOUNT_DECIMALS = 4
_ROUND = Context(prec=60)
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
class CorrectionView:
    """A difference to an issued statement: its lines, and what comes beside them."""

    title: str
    lines: tuple[LineView, ...]
    amounts: tuple[AmountView, ...]


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
    corrections: tuple[CorrectionView, ...]
    amounts: tuple[AmountView, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def view_statement(
    statement: Statement, days: Sequence[Group], *, is_sold: bool = False
) -> StatementView:
    """A statement as its document shows it.

    Args:
        statement: drafted or issued.
        days: its jobs' costs, put together by day; the chart is of these.
        is_sold: it is by a price book. A tenant is not told what we buy and is not charged for:
            what is not billed names our suppliers.
    """
    bill, period = statement.bill, statement.period
    is_draft = statement.issued_at is None
    status = "Draft" if is_draft else f"Issued {statement.issued_at:%d %B %Y}"
    plans = [
        term.plan_id if len(statement.terms) == 1 else f"{term.plan_id} from {term.since}"
        for term in statement.terms
    ]
    facts = (
        ("Plan", ", ".join(plans)),
        ("Hosting", ", ".join(statement.hostings)),
        ("Time zone", period.timezone),
        ("Meetings", f"{len(bill.jobs):,}"),
        ("Rate card", "" if is_sold else statement.rate_card),
    )
    return StatementView(
        title="Statement of usage",
        period=f"{period.first_day:%B %Y}",
        payer=statement.tenant or "All tenants",
        reference=statement.statement_id,
        status=status,
        is_draft=is_draft,
        due=_exact(bill.due, bill.currency),
        facts=tuple((name, value) for name, value in facts if value),
        chart_title=f"Usage cost by day, {bill.currency}",
        chart=_chart(statement, days),
        lines=_lines(bill.lines, is_sold=is_sold),
        corrections=tuple(_correction(one, is_sold=is_sold) for one in bill.corrections),
        amounts=tuple(_amounts(bill)),
        notes=tuple(_notes(statement, is_sold=is_sold)),
    )


def _chart(statement: Statement, days: Sequence[Group]) -> str:
    # Effective costs have a share of the base fee, which would make a day with one job the highest.
    costs = {group.name: group.marginal_cost for group in days}
    period = statement.period
    first, after = period.first_day, period.following.first_day
    every = [first + timedelta(days=number) for number in range((after - first).days)]
    columns = [Column(str(day.day), costs.get(day.isoformat(), ZERO)) for day in every]
    return column_chart(columns, lambda value: _money(value, statement.bill.currency))


def _correction(correction: Correction, *, is_sold: bool) -> CorrectionView:
    currency = correction.currency
    amounts = [AmountView("Correction", _money(correction.amount, currency), strong=True)]
    if beside := correction.beside_lines:
        amounts.insert(0, AmountView("Fee, credits, tax and rounding", _money(beside, currency)))
    month = date.fromisoformat(f"{correction.period}-01")
    return CorrectionView(
        f"Correction of {correction.statement_id} ({month:%B %Y})",
        _lines(correction.lines, is_sold=is_sold),
        tuple(amounts),
    )


def _lines(lines: Iterable[MonthLine], *, is_sold: bool) -> tuple[LineView, ...]:
    return tuple(_line(line) for line in lines if not (is_sold and _is_not_billed(line.charge)))


def _is_not_billed(charge: Charge) -> bool:
    return charge.state is ChargeState.NOT_BILLED


def _line(line: MonthLine) -> LineView:
    charge = line.charge
    meter = charge.meter.replace("_", " ")
    details = ", ".join(f"{key} {value}" for key, value in charge.attributes.items())
    priced = charge.state is ChargeState.PRICED
    return LineView(
        meter=f"{meter} ({details})" if details else meter,
        source=f"{charge.provider} / {charge.model}" if charge.model else charge.provider,
        instances=f"{charge.instances:,}",
        billed=_quantity(charge.pricing_quantity or ZERO, charge.pricing_unit or "")
        if priced
        else _quantity(charge.consumed_quantity, charge.consumed_unit),
        allowance=_plain(line.allowance_used) if line.allowance_used else "",
        overage=" + ".join(
            # A unit price is a term of the contract, often of millionths: it is never cut.
            f"{_plain(part.quantity)} at {_grouped(money(part.unit_price, charge.currency))}"
            for part in line.overage
        ),
        cost=_money(line.cost, charge.currency or "") if priced else _NOT_PRICED[charge.state],
        disputed=priced and charge.disputed is not None,
    )


def _grouped(said: str) -> str:
    """A figure with its thousands apart, for readers on paper."""
    return _WHOLE.sub(lambda found: f"{int(found[0]):,}", said, count=1)


def _plain(quantity: Decimal) -> str:
    return _grouped(format_decimal(_cut(quantity, _QUANTITY_DECIMALS)))


def _quantity(quantity: Decimal, measure: str) -> str:
    return _grouped(amount(_cut(quantity, _QUANTITY_DECIMALS), measure))


def _money(value: Decimal, currency: str) -> str:
    return _grouped(money(_cut(value, _AMOUNT_DECIMALS), currency))


def _exact(value: Decimal, currency: str) -> str:
    """What is paid, to its last digit."""
    return _grouped(money(value, currency))


def _cut(value: Decimal, decimals: int) -> Decimal:
    step = Decimal(1).scaleb(-decimals)
    return value.quantize(step, ROUND_HALF_EVEN, _ROUND)


def _amounts(bill: Bill) -> Iterator[AmountView]:
    for label, value in bill_amounts(bill):
        yield AmountView(label[:1].upper() + label[1:], _money(value, bill.currency))
    yield AmountView("Total", _exact(bill.total, bill.currency), strong=True)
    if bill.prepaid_used:
        prepaid = EXACT.subtract(Decimal(0), bill.prepaid_used)
        yield AmountView("Prepaid", _exact(prepaid, bill.currency))
        yield AmountView("Due", _exact(bill.due, bill.currency), strong=True)


def _notes(statement: Statement, *, is_sold: bool) -> Iterator[str]:
    bill = statement.bill
    for item in bill.unrated:
        said = f"{item.meter.replace('_', ' ')} of {item.provider} {item.model}".strip()
        yield f"Not in the total: {_quantity(item.quantity, item.unit)} of {said}. {item.reason}."
    for charge in bill.partial:
        if is_sold and _is_not_billed(charge):
            continue
        yield f"{charge.meter.replace('_', ' ')} of {charge.provider} is {charge.certainty}."
    for note in dispute_notes(bill.lines, _money):
        yield f"* {note}."
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
            yield f"Left of {used.credit.name}: {_money(used.left, bill.currency)}."
    if bill.prepaid_left:
        yield f"Left prepaid: {_money(bill.prepaid_left, bill.currency)}."
