"""Issuing a statement: once for a payer and a month, after a grace period, and then never changed.

No usage may stand on two statements. A payer has one time zone, so that its months do not overlap;
everybody's statement holds every tenant's usage, so that a month is issued for everybody or tenant
by tenant. What is issued draws on what was issued before it, so months are issued in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from ..billing.allocation import JobCost
from ..billing.period import Period
from ..billing.statement import Statement
from ..billing.statement_json import statement_to_json
from ..errors import AlreadyIssued, MeteringError, StatementError
from ..ledger.issued import Frozen, Issued, issued_statements, store_statement
from ..ledger.schema import safe_text
from ..ledger.store import Ledger
from ..settings import MeterSettings
from ..usage import format_stamp
from .corrections import next_open
from .statements import (
    BOOK,
    Draft,
    StatedMonth,
    draft_month,
    json_text,
    of_payer,
    of_period,
    read_issued,
)


async def issue_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    *,
    now: datetime,
    plan_id: str | None = None,
    tenant: str | None = None,
    early: bool = False,
) -> StatedMonth:
    """Freeze the statement of a month in the ledger, and return it as it was frozen.

    A month in which nothing is due and nothing is unrated has none: nothing is issued then.

    Args:
        ledger: the store.
        settings: where the owner's rates are, and how many days of grace there are.
        period: the month, in the payer's time zone.
        now: when it is issued.
        plan_id: the payer's plan; by default the one that the month's jobs ran on.
        tenant: the payer; None is everybody.
        early: do not wait until usage that arrives late is in.

    Raises:
        AlreadyIssued: this payer has a statement of this month.
        StatementError: it must not be issued, or not yet: the message says why.
        LedgerError: the store cannot be read or written, or usage of the month was pruned.
        RateError: as `state_month`.
    """
    if tenant == "":
        raise StatementError("a statement is issued to everybody or to a tenant with a name")
    tenant = None if tenant is None else safe_text(tenant)
    while True:
        issued = await issued_statements(ledger)
        _refuse_twice(issued, period, tenant)
        if not early:
            _refuse_before_grace(period, settings.grace_days, now)
        await _refuse_out_of_order(ledger, settings, issued, period, tenant)
        its_own = [one for one in issued if of_payer(one, tenant)]
        draft = await draft_month(
            ledger, settings, period, its_own, plan_id, None, tenant, by_purpose=True
        )
        if draft.statement is None:
            return draft.stated()
        number = len(issued) + 1
        head, frozen = _freeze(draft, draft.statement, number, now)
        if await store_statement(ledger, head, frozen):
            return await read_issued(ledger, head)


def _freeze(
    draft: Draft, statement: Statement, number: int, now: datetime
) -> tuple[Issued, Frozen]:
    period = statement.period
    statement = replace(
        statement, statement_id=f"{period.name}-{number:04d}", issued_at=now.replace(microsecond=0)
    )
    issued_at = statement.issued_at
    assert issued_at is not None
    head = Issued(
        number=number,
        statement_id=statement.statement_id,
        book=BOOK,
        tenant=statement.tenant,
        period=period.name,
        timezone=period.timezone,
        started_at=period.start,
        ended_at=period.end,
        plan=", ".join(dict.fromkeys(term.plan_id for term in statement.terms)),
        currency=statement.bill.currency,
        total=statement.bill.total,
        issued_at=issued_at,
    )
    no_jobs: tuple[JobCost, ...] = ()
    without_jobs = replace(statement, bill=replace(statement.bill, jobs=no_jobs))
    groupings = {
        by: [group.to_json() for group in groups] for by, groups in draft.groupings().items()
    }
    return head, Frozen(
        json_text(statement_to_json(without_jobs)),
        json_text(statement_to_json(statement)),
        json_text(groupings),
    )


def _refuse_twice(issued: Iterable[Issued], period: Period, tenant: str | None) -> None:
    of_book = [one for one in issued if one.book == BOOK]
    its_own = [one for one in of_book if of_payer(one, tenant)]
    if found := of_period(its_own, period):
        raise AlreadyIssued(
            f"statement {found.statement_id} of {period.name} was issued at"
            f" {format_stamp(found.issued_at)}; what has changed since is corrected in the next"
        )
    if its_own and (zone := its_own[-1].timezone) != period.timezone:
        raise StatementError(
            f"this payer's statements are in {zone}, and a month in {period.timezone} would overlap"
            f" them or leave a gap; use --timezone {zone}"
        )
    for other in of_book:
        overlaps = other.started_at < period.end and period.start < other.ended_at
        if overlaps and bool(other.tenant) != bool(tenant):
            whose = f"tenant {other.tenant!r}" if other.tenant else "everybody"
            raise StatementError(
                f"statement {other.statement_id} of this time was issued to {whose}, and no usage"
                " is stated twice; use --by tenant for the shares of one statement"
            )


def _refuse_before_grace(period: Period, grace_days: int, now: datetime) -> None:
    due = period.end + timedelta(days=grace_days)
    if now < due:
        raise StatementError(
            f"{period.name} is a draft until {format_stamp(due)}, {grace_days} days after its end:"
            " usage may still arrive; --early issues it all the same"
        )


async def _refuse_out_of_order(
    ledger: Ledger,
    settings: MeterSettings,
    issued: Iterable[Issued],
    period: Period,
    tenant: str | None,
) -> None:
    """A month after the last one issued that has a statement comes first; an empty one need not."""
    its_own = [one for one in issued if of_payer(one, tenant)]
    if not its_own:
        return
    month = next_open(its_own)
    while month.start < period.start:
        try:
            draft = await draft_month(ledger, settings, month, its_own, None, None, tenant)
        except MeteringError as error:
            raise StatementError(f"{month.name} comes first: {error}") from error
        if draft.statement is not None:
            raise StatementError(f"{month.name} comes first: it has a statement to be issued")
        month = month.following
