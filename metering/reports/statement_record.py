"""The statement as JSON, and back: an issued one is kept as the text that was printed.

The JSON schema in docs/ is made from these models. Fields may be added, never renamed; one that was
added has a default, or a statement that was issued before could no longer be read.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..billing.allocation import JobCost, Unallocated
from ..billing.bill import Bill, UnratedItem
from ..billing.concurrency import LimitCheck
from ..billing.correction import Correction, Uncorrected
from ..billing.credits import CreditUse
from ..billing.month import MonthLine, TierCost
from ..billing.period import parse_period
from ..billing.statement import StatedTerm, Statement
from ..errors import LedgerError
from ..pricing.charges import Charge, ChargeState, Dispute
from ..pricing.exact import ZERO
from ..pricing.plans import Credit
from ..record import Exact, RecordCharge, Stamp
from ..usage import Certainty


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class TierRecord(_Model):
    """A part of a line's overage at one price; see `metering.billing.month.TierCost`."""

    over: Exact | None
    quantity: Exact
    unit_price: Exact
    cost: Exact


class LineRecord(RecordCharge):
    """All of a month's charges at one rate; see `metering.billing.month.MonthLine`."""

    term: int
    allowance_used: Exact | None
    overage: list[TierRecord]
    beyond_allowance: Exact | None
    cost: Exact | None


class TermRecord(_Model):
    """A plan and the days it held, the last of them before `until`."""

    plan: str
    since: date
    until: date
    days: int
    of_days: int
    base_fee: Exact


class CreditRecord(_Model):
    """What was used of a credit, and what is `left` of one that is `carried` over."""

    name: str
    amount: Exact
    expires: date | None
    providers: list[str]
    meters: list[str]
    carried: bool
    left: Exact | None


class UnratedRecord(_Model):
    """Something used that has no price: missing from the total, never $0 in it."""

    meter: str
    provider: str
    model: str
    quantity: Exact
    unit: str
    instances: int
    reason: str


class PartialRecord(_Model):
    """A charge whose quantity is not certain."""

    meter: str
    provider: str
    model: str
    certainty: Certainty


class JobRecord(_Model):
    """The three costs of one job; see `metering.billing.allocation.JobCost`."""

    job_id: str
    list_cost: Exact
    marginal_cost: Exact
    effective_cost: Exact
    unrated: int


class UnallocatedRecord(_Model):
    """A part of the total that belongs to no job."""

    what: str
    amount: Exact


class LimitRecord(_Model):
    """A plan's limit beside the most that ran at once."""

    limit: str
    allowed: int
    observed: int
    broken: bool


class CorrectionRecord(_Model):
    """A difference to an issued statement; see `metering.billing.correction.Correction`."""

    statement_id: str
    period: str
    lines: list[LineRecord]
    base_fee: Exact
    commitment_shortfall: Exact
    credits: list[CreditRecord]
    tax: Exact
    rounding: Exact
    amount: Exact


class UncorrectedRecord(_Model):
    """An issued statement of which nobody knows whether it needs a correction."""

    statement_id: str
    reason: str


class StatementRecord(_Model):
    """One period, one payer. `exact_total` and `rounding` are `total`; less `prepaid_used`, `due`.

    The jobs' effective costs, the unallocated and the rounding add up to `total`.
    """

    schema_version: int
    statement_id: str | None
    status: Literal["draft", "issued"]
    issued_at: Stamp | None
    period: str
    timezone: str
    started_at: Stamp
    ended_at: Stamp
    tenant: str
    plan: str
    terms: list[TermRecord]
    hostings: list[str]
    rate_card: str
    currency: str
    lines: list[LineRecord]
    list_cost: Exact
    usage_cost: Exact
    base_fee: Exact
    commitment_shortfall: Exact
    credits: list[CreditRecord]
    tax: Exact
    corrections: list[CorrectionRecord]
    exact_total: Exact
    rounding: Exact
    total: Exact
    prepaid_used: Exact
    prepaid_left: Exact
    due: Exact
    unrated: list[UnratedRecord]
    partial: list[PartialRecord]
    jobs: list[JobRecord]
    unallocated: list[UnallocatedRecord]
    limits: list[LimitRecord]
    assumptions: list[str]
    uncorrected: list[UncorrectedRecord]


class GroupRecord(_Model):
    """Jobs with something in common, and what they cost together; see `metering.groups.Group`."""

    name: str
    jobs: int
    list_cost: Exact
    marginal_cost: Exact
    effective_cost: Exact
    unrated: int


class PrintedStatement(StatementRecord):
    """What `statement --json` prints; `by` and `groups` only where they were asked for."""

    by: str | None = None
    groups: list[GroupRecord] | None = None


def read_statement(text: str) -> Statement:
    """An issued statement from the JSON that it was kept as.

    Raises:
        LedgerError: it is no statement, or of a version that we do not know.
    """
    try:
        record = StatementRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LedgerError(
            f"an issued statement in the store cannot be read: {where}: {first['msg']}; restore a"
            " backup, or use the version that issued it"
        ) from None
    return Statement(
        period=parse_period(record.period, record.timezone),
        tenant=record.tenant,
        terms=tuple(
            StatedTerm(term.plan, term.since, term.until, term.days, term.of_days, term.base_fee)
            for term in record.terms
        ),
        hostings=tuple(record.hostings),
        rate_card=record.rate_card,
        bill=_bill(record),
        limits=tuple(LimitCheck(one.limit, one.allowed, one.observed) for one in record.limits),
        assumptions=tuple(record.assumptions),
        uncorrected=tuple(Uncorrected(one.statement_id, one.reason) for one in record.uncorrected),
        statement_id=record.statement_id or "",
        issued_at=record.issued_at,
    )


def _bill(record: StatementRecord) -> Bill:
    lines = tuple(map(_line, record.lines))
    return Bill(
        currency=record.currency,
        lines=lines,
        usage_cost=record.usage_cost,
        base_fee=record.base_fee,
        shortfall=record.commitment_shortfall,
        credits=tuple(map(_credit, record.credits)),
        tax=record.tax,
        exact_total=record.exact_total,
        rounding=record.rounding,
        total=record.total,
        prepaid_used=record.prepaid_used,
        prepaid_left=record.prepaid_left,
        due=record.due,
        unrated=tuple(UnratedItem(**one.model_dump()) for one in record.unrated),
        partial=tuple(
            line.charge for line in lines if line.charge.certainty is not Certainty.EXACT
        ),
        jobs=tuple(JobCost(**one.model_dump()) for one in record.jobs),
        unallocated=tuple(Unallocated(one.what, one.amount) for one in record.unallocated),
        corrections=tuple(_correction(one, record.currency) for one in record.corrections),
    )


def _correction(record: CorrectionRecord, currency: str) -> Correction:
    return Correction(
        statement_id=record.statement_id,
        period=record.period,
        currency=currency,
        lines=tuple(map(_line, record.lines)),
        base_fee=record.base_fee,
        shortfall=record.commitment_shortfall,
        credits=tuple(map(_credit, record.credits)),
        tax=record.tax,
        rounding=record.rounding,
        amount=record.amount,
    )


def _credit(record: CreditRecord) -> CreditUse:
    """The use of a credit; how much there was of it in all is of no account afterwards."""
    credit = Credit(
        record.name,
        record.amount,
        frozenset(record.providers),
        frozenset(record.meters),
        record.expires,
    )
    return CreditUse(credit, record.amount, record.carried, record.left)


def _line(record: LineRecord) -> MonthLine:
    values = {name: getattr(record, name) for name in RecordCharge.model_fields}
    disputed = record.disputed
    values["state"] = ChargeState(record.state)
    values["disputed"] = disputed and Dispute(
        disputed["basis"],
        None if disputed["list_cost"] is None else Decimal(disputed["list_cost"]),
        disputed["reason"],
    )
    return MonthLine(
        Charge(**values),
        record.allowance_used or ZERO,
        tuple(
            TierCost(part.over, part.quantity, part.unit_price, part.cost)
            for part in record.overage
        ),
        record.beyond_allowance or ZERO,
        record.term,
    )
