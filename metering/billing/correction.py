"""What an issued statement would say by now, less what it and its corrections have said so far.

A statement is never changed; the difference stands on a later one and names it. Issued amounts and
corrections together are always those of the statement that would have been made with everything
known at once: to the last digit, its rounding included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ..pricing.charges import Charge
from ..pricing.exact import EXACT, ZERO
from .credits import CreditUse
from .month import MonthLine, TierCost
from .sharing import add_up

if TYPE_CHECKING:
    from .bill import Bill

_Key = tuple[int, str, str, str, tuple[tuple[str, str], ...], str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A difference to an issued statement; every amount and quantity can be negative.

    The costs of the `lines`, the fee and the shortfall, less the credits, with tax and rounding,
    add up to `amount`, which is in whole units of the currency.
    """

    statement_id: str
    period: str
    currency: str
    lines: tuple[MonthLine, ...]
    base_fee: Decimal
    shortfall: Decimal
    credits: tuple[CreditUse, ...]
    tax: Decimal
    rounding: Decimal
    amount: Decimal

    @property
    def name(self) -> str:
        """As it stands beside other amounts."""
        return f"correction of {self.statement_id}"

    @property
    def beside_lines(self) -> Decimal:
        """The part of the amount that is in no line: fee, shortfall, credits, tax, rounding."""
        return EXACT.subtract(self.amount, add_up([line.cost for line in self.lines]))


@dataclass(frozen=True, slots=True)
class Uncorrected:
    """An issued statement that cannot be made again: nobody knows whether it still holds."""

    statement_id: str
    reason: str


def correct(
    now: Bill, issued: Bill, before: Sequence[Correction], *, statement_id: str, period: str
) -> Correction | None:
    """The correction of an issued statement; None where nothing has changed.

    Args:
        now: what the period comes to with what is known now, without corrections of others.
        issued: what its statement said.
        before: its corrections that were issued so far.
        statement_id: the statement's.
        period: the statement's.
    """
    lines = difference(
        now.lines, [*issued.lines, *(line for earlier in before for line in earlier.lines)]
    )
    uses = _credit_difference(
        now.credits, [*issued.credits, *(use for earlier in before for use in earlier.credits)]
    )

    def less(amount: Decimal, *others: Decimal) -> Decimal:
        return EXACT.subtract(amount, add_up(others))

    made = Correction(
        statement_id=statement_id,
        period=period,
        currency=now.currency,
        lines=lines,
        base_fee=less(now.base_fee, issued.base_fee, *(one.base_fee for one in before)),
        shortfall=less(now.shortfall, issued.shortfall, *(one.shortfall for one in before)),
        credits=uses,
        tax=less(now.tax, issued.tax, *(one.tax for one in before)),
        rounding=less(now.rounding, issued.rounding, *(one.rounding for one in before)),
        amount=less(now.own_total, issued.own_total, *(one.amount for one in before)),
    )
    amounts = made.base_fee, made.shortfall, made.tax, made.rounding, made.amount
    return made if lines or uses or any(amounts) else None


def difference(now: Iterable[MonthLine], before: Iterable[MonthLine]) -> tuple[MonthLine, ...]:
    """Line by line, the ones less the others; those that are the same are left out."""
    sums: dict[_Key, MonthLine] = {}
    for sign, lines in ((1, now), (-1, before)):
        for line in lines:
            key = _key(line)
            signed = _signed(line, sign)
            sums[key] = _together(sums[key], signed) if key in sums else signed
    return tuple(line for _, line in sorted(sums.items()) if not _is_nothing(line))


def _credit_difference(
    now: Iterable[CreditUse], before: Iterable[CreditUse]
) -> tuple[CreditUse, ...]:
    sums: dict[tuple[str, date | None, bool], CreditUse] = {}
    for sign, uses in ((Decimal(1), now), (Decimal(-1), before)):
        for use in uses:
            key = use.credit.name, use.credit.expires, use.carried
            amount = EXACT.multiply(sign, use.amount)
            if key in sums:
                amount = EXACT.add(sums[key].amount, amount)
            sums[key] = CreditUse(sums.get(key, use).credit, amount, use.carried)
    return tuple(use for use in sums.values() if use.amount)


def _key(line: MonthLine) -> _Key:
    charge = line.charge
    return (
        line.term,
        charge.meter,
        charge.provider,
        charge.model,
        tuple(sorted(charge.attributes.items())),
        str(charge.state),
        charge.rate_id or "",
        charge.reason,
    )


def _signed(line: MonthLine, sign: int) -> MonthLine:
    """A line times 1 or -1. What its sources dispute is said on the statement, not twice."""

    def times(value: Decimal) -> Decimal:
        return EXACT.multiply(Decimal(sign), value)

    def times_if(value: Decimal | None) -> Decimal | None:
        return None if value is None else times(value)

    charge = line.charge
    return replace(
        line,
        charge=replace(
            charge,
            instances=sign * charge.instances,
            consumed_quantity=times(charge.consumed_quantity),
            pricing_quantity=times_if(charge.pricing_quantity),
            list_cost=times_if(charge.list_cost),
            disputed=None,
        ),
        allowance_used=times(line.allowance_used),
        overage=tuple(
            replace(part, quantity=times(part.quantity), cost=times(part.cost))
            for part in line.overage
        ),
        beyond=times(line.beyond),
    )


def _together(one: MonthLine, other: MonthLine) -> MonthLine:
    charge = replace(
        one.charge,
        instances=one.charge.instances + other.charge.instances,
        consumed_quantity=EXACT.add(one.charge.consumed_quantity, other.charge.consumed_quantity),
        pricing_quantity=_sum_if(one.charge.pricing_quantity, other.charge.pricing_quantity),
        list_cost=_sum_if(one.charge.list_cost, other.charge.list_cost),
    )
    parts: dict[tuple[Decimal, Decimal], TierCost] = {}
    for part in (*one.overage, *other.overage):
        key = (Decimal(-1) if part.over is None else part.over), part.unit_price
        before = parts.get(key)
        if before is not None:
            part = TierCost(
                part.over,
                EXACT.add(before.quantity, part.quantity),
                part.unit_price,
                EXACT.add(before.cost, part.cost),
            )
        parts[key] = part
    return MonthLine(
        charge,
        EXACT.add(one.allowance_used, other.allowance_used),
        tuple(part for _, part in sorted(parts.items()) if part.quantity or part.cost),
        EXACT.add(one.beyond, other.beyond),
        one.term,
    )


def _sum_if(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None and other is None:
        return None
    return EXACT.add(one or ZERO, other or ZERO)


def _is_nothing(line: MonthLine) -> bool:
    charge: Charge = line.charge
    quantities = charge.instances, charge.consumed_quantity, charge.pricing_quantity
    return not any((*quantities, charge.list_cost, line.allowance_used, line.beyond, line.overage))
