"""The month's statement: one period, one payer, every figure on a line of its own.

A statement is a draft until it is issued: usage that arrives later changes the next one that is
made for the same month. Issued, it never changes again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from ..pricing.exact import ZERO
from ..pricing.plans import Credit, Plan
from .bill import Bill, Tax, bill_of_terms, with_corrections
from .concurrency import LimitCheck, check_limits
from .correction import Correction, Uncorrected
from .month import JobCharges, add_up_month
from .period import Period
from .terms import PRORATED, Term, terms_of


@dataclass(frozen=True, slots=True)
class StatedTerm:
    """Which plan held from `since` until the day before `until`, and its fee for these days."""

    plan_id: str
    since: date
    until: date
    days: int
    of_days: int
    base_fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A bill with its period, its payer and what it was made by.

    An empty `tenant` is everybody. `terms` are the plans that held, one where none changed.
    `hostings` are those that the jobs were rated under. `limits` are the plans', beside the month's
    peaks. `assumptions` are rules that it was made by and that no provider has written down.
    `uncorrected` are issued statements that could not be looked at again. A draft has no
    `statement_id`, and was not issued.
    """

    period: Period
    tenant: str
    terms: tuple[StatedTerm, ...]
    hostings: tuple[str, ...]
    rate_card: str
    bill: Bill
    limits: tuple[LimitCheck, ...]
    assumptions: tuple[str, ...] = ()
    uncorrected: tuple[Uncorrected, ...] = ()
    statement_id: str = ""
    issued_at: datetime | None = None

    @property
    def status(self) -> str:
        """Whether it stands: draft or issued."""
        return "draft" if self.issued_at is None else "issued"

    @property
    def plan_id(self) -> str:
        """The plan at the month's end."""
        return self.terms[-1].plan_id


@dataclass(frozen=True, slots=True)
class TermCharges:
    """What jobs were charged while a plan held, and the most that ran at once."""

    term: Term
    jobs: Sequence[JobCharges]
    peaks: Mapping[str, int] = field(default_factory=dict)


def make_statement(
    jobs: Sequence[JobCharges],
    plan: Plan,
    period: Period,
    *,
    rate_card: str,
    tenant: str = "",
    hostings: Sequence[str] = (),
    peaks: Mapping[str, int] | None = None,
    other_credits: Sequence[Credit] = (),
    prepaid: Decimal = ZERO,
    tax: Tax | None = None,
) -> Statement | None:
    """A draft of the statement of a month on one plan; None where nothing is due and nothing is
    unrated.

    What is paid from credits or a prepaid balance is still shown: a statement with a total, or with
    credits used, is made though nothing is left to pay.

    Args:
        jobs: their charges for the instances that the period holds, rated on this plan.
        plan: the payer's.
        period: the month.
        rate_card: the version of the card that rated them.
        tenant: the payer, if it is a tenant.
        hostings: what the jobs were rated under.
        peaks: the most that ran at once, by the name of the limit.
        other_credits: others than the plan's own.
        prepaid: the balance to pay from.
        tax: what comes on top.

    Raises:
        RateError: charges in several currencies, or not in the plan's.
    """
    [term] = terms_of(period, lambda _: plan)
    return state_terms(
        [TermCharges(term, jobs, peaks or {})],
        period,
        rate_card=rate_card,
        tenant=tenant,
        hostings=hostings,
        other_credits=other_credits,
        prepaid=prepaid,
        tax=tax,
    )


def state_terms(
    parts: Sequence[TermCharges],
    period: Period,
    *,
    rate_card: str,
    tenant: str = "",
    hostings: Sequence[str] = (),
    other_credits: Sequence[Credit] = (),
    prepaid: Decimal | Mapping[str, Decimal] = ZERO,
    tax: Tax | None = None,
    corrections: Sequence[Correction] = (),
    uncorrected: Sequence[Uncorrected] = (),
) -> Statement | None:
    """`make_statement` for a month in which the plan may change: a part for each of its terms.

    Args:
        parts: what was charged on each of the plan's terms, in order.
        period: as in `make_statement`, as what follows but these.
        prepaid: the balance to pay from, or one for each currency.
        corrections: of statements that were issued before. Those in another currency have to wait
            for a statement in theirs.
        uncorrected: statements of which nobody knows whether they need one.
    """
    bill = bill_terms(parts, period, other_credits=other_credits, tax=tax)
    waiting = [one for one in corrections if one.currency != bill.currency]
    corrections = [one for one in corrections if one.currency == bill.currency]
    balance = prepaid if isinstance(prepaid, Decimal) else prepaid.get(bill.currency, ZERO)
    bill = with_corrections(bill, corrections, balance)
    if not bill.exact_total and not bill.credits and not bill.unrated and not corrections:
        return None
    return Statement(
        period=period,
        tenant=tenant,
        terms=tuple(
            StatedTerm(
                term.plan.plan_id,
                term.since,
                term.until,
                term.days,
                term.of_days,
                term.plan.base_fee,
            )
            for term in (part.term for part in parts)
        ),
        hostings=tuple(sorted(set(hostings))),
        rate_card=rate_card,
        bill=bill,
        limits=limits_of(parts),
        assumptions=(PRORATED,) if len(parts) > 1 else (),
        uncorrected=(
            *uncorrected,
            *(
                Uncorrected(
                    one.statement_id, f"it is in {one.currency}, this one in {bill.currency}"
                )
                for one in waiting
            ),
        ),
    )


def limits_of(parts: Sequence[TermCharges]) -> tuple[LimitCheck, ...]:
    """The limits of each of the plan's terms, beside the most that ran at once while it held."""
    return tuple(
        check for part in parts for check in check_limits(part.term.plan.limits, part.peaks)
    )


def bill_terms(
    parts: Sequence[TermCharges],
    period: Period,
    *,
    other_credits: Sequence[Credit] = (),
    tax: Tax | None = None,
) -> Bill:
    """What a month comes to by itself: without corrections, and not paid from any balance.

    Raises:
        RateError: charges in several currencies, or not in the plan's.
    """
    return bill_of_terms(
        [(add_up_month(part.jobs, part.term.plan), part.term.plan) for part in parts],
        day=period.first_day,
        other_credits=other_credits,
        tax=tax,
    )
