"""From the ledger to a month's statement: a draft of what it has now, or what was issued."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from ..billing.allocation import JobCost
from ..billing.balances import Balances
from ..billing.period import Period
from ..billing.sharing import add_up
from ..billing.statement import Statement, TermCharges, bill_terms, state_terms
from ..billing.statement_json import statement_to_json
from ..errors import RateError, StatementError
from ..ledger.issued import Issued, frozen_statement, issued_statements
from ..ledger.period_queries import PeriodJob, jobs_with_usage
from ..ledger.schema import safe_text
from ..ledger.store import Ledger
from ..pricing.account import Account, load_account
from ..pricing.loading import load_card
from ..pricing.plans import Credit, Plan, find_plan, load_plans
from ..pricing.rate_card import RateCard
from ..settings import MeterSettings
from .corrections import Corrections, find_corrections, next_open, read_figures
from .groups import Group, GroupBy, group
from .month_charges import ChargedMonth, charge
from .statement_record import read_statement

NO_PLAN = "none"
BOOK = "cost"
"""Statements are of what providers charge."""


@dataclass(frozen=True, slots=True)
class StatedMonth:
    """A statement, or None where nothing is due, as it is printed, and its jobs put together."""

    statement: Statement | None
    text: str
    groupings: Mapping[GroupBy, list[Group]]

    def groups(self, by: GroupBy) -> list[Group]:
        """The jobs' costs, summed; the effective costs of all groups are those of all jobs.

        A job with several tags stands under all of them together, so that nothing counts twice.

        Raises:
            StatementError: not known by purpose, which was not asked for or cannot be told apart.
        """
        if self.statement is not None and by not in self.groupings:
            raise StatementError(f"this statement's jobs are not known by {by}")
        return self.groupings.get(by, [])


def json_text(value: Any) -> str:
    """JSON as every command prints it."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


async def state_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    *,
    plan_id: str | None = None,
    hosting: str | None = None,
    tenant: str | None = None,
    by_purpose: bool = False,
) -> StatedMonth:
    """The statement of a month: as it was issued, else a draft from what the ledger has now.

    Args:
        ledger: the store.
        settings: where the owner's rates are, and the plan of a month without jobs.
        period: the month; an instance belongs to it if it ends in it.
        plan_id: the payer's plan; by default its subscriptions, or the one that the month's jobs
            ran on. Where it is another than the issued statement's, the month is drafted as it
            would have been on it.
        hosting: rate everything as if it had run so; by default each job as it did.
        tenant: only this tenant's jobs, as the sole payer on the plan.
        by_purpose: put costs together by purpose, too; an issued one has been.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: no such plan or hosting, jobs on several plans, charges in several currencies, a
            plan of a price book (`tenants.state_tenant` states those) or by contract.
    """
    tenant = None if tenant is None else safe_text(tenant)
    issued = [one for one in await issued_statements(ledger) if of_payer(one, tenant)]
    found = of_period(issued, period)
    if found is not None and hosting is None and plan_id in (None, found.plan):
        return await read_issued(ledger, found)
    draft = await draft_month(
        ledger, settings, period, issued, plan_id, hosting, tenant, by_purpose=by_purpose
    )
    return draft.stated()


async def payer_timezone(ledger: Ledger, tenant: str | None) -> str:
    """The time zone of a payer's issued statements; UTC where none was issued.

    Raises:
        LedgerError: the store cannot be read.
    """
    zones = [one.timezone for one in await issued_statements(ledger) if of_payer(one, tenant)]
    return zones[-1] if zones else "UTC"


def of_payer(issued: Issued, tenant: str | None) -> bool:
    """Whether a statement is of everybody (None) or of this tenant; nobody has an empty name."""
    return issued.book == BOOK and tenant != "" and issued.tenant == (tenant or "")


def of_period(issued: Iterable[Issued], period: Period) -> Issued | None:
    """The statement of this very period, in its time zone."""
    key = period.name, period.timezone
    return next((one for one in issued if (one.period, one.timezone) == key), None)


async def read_issued(ledger: Ledger, issued: Issued) -> StatedMonth:
    """An issued statement, as it was frozen.

    Raises:
        LedgerError: the store cannot be read.
    """
    frozen = await frozen_statement(ledger, issued.number)
    groupings = {
        GroupBy(by): [Group.from_json(item) for item in items]
        for by, items in json.loads(frozen.groupings).items()
    }
    return StatedMonth(read_statement(frozen.content), frozen.content, groupings)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the ledger has of a month, stated."""

    statement: Statement | None
    jobs: Mapping[str, PeriodJob]
    days: Mapping[str, str]
    by_purpose: Sequence[JobCost] | None = None
    terms: Sequence[TermCharges] = ()
    """What each job was charged on each of the plan's terms."""

    def groupings(self) -> dict[GroupBy, list[Group]]:
        """The jobs by everything that they can be put together by."""
        if self.statement is None:
            return {}
        costs = self.statement.bill.jobs
        found: dict[GroupBy, list[Group]] = {
            by: group(costs, partial(self._name, by)) for by in GroupBy if by is not GroupBy.PURPOSE
        }
        if self.by_purpose is not None:
            # A rate by a job's whole quantity would come to something else for each part of it.
            whole, parts = (
                add_up([cost.effective_cost for cost in of]) for of in (costs, self.by_purpose)
            )
            if whole == parts:
                found[GroupBy.PURPOSE] = group(self.by_purpose, lambda cost: cost.purpose)
        return found

    def _name(self, by: GroupBy, cost: JobCost) -> str:
        job = self.jobs[cost.job_id]
        if by is GroupBy.DAY:
            return self.days[cost.job_id]
        if by is GroupBy.TAG:
            return ", ".join(sorted(set(job.tags)))
        return job.tenant if by is GroupBy.TENANT else job.room_name

    def stated(self) -> StatedMonth:
        """As it is printed."""
        statement = self.statement
        data = None if statement is None else statement_to_json(statement)
        return StatedMonth(statement, json_text(data), self.groupings())


async def draft_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    issued: Sequence[Issued],
    plan_id: str | None,
    hosting: str | None,
    tenant: str | None,
    *,
    by_purpose: bool = False,
    corrected: bool = True,
) -> Draft:
    """A draft from what the ledger has now; as `state_month`, with what was `issued` to the payer.

    Their corrections are in it if it is the next one, unless it is of what might have been or is
    not to be `corrected`.

    Raises:
        LedgerError: as `state_month`.
        RateError: as `state_month`.
    """
    payer = await payers_month(
        ledger, settings, period, issued, plan_id, hosting, tenant, corrected=corrected
    )
    plan_on, hosting_on = payer.plan_on, payer.hosting_on
    charged = ChargedMonth(
        period, payer.catalog, plan_on, hosting, hosting_on, by_purpose=by_purpose
    )
    await charge(ledger, period, payer.jobs, [charged])
    purposes = None
    if by_purpose:
        purposes = bill_terms(
            charged.charges_by_purpose(), period, other_credits=payer.credits
        ).jobs
    terms = charged.charges()
    statement = state_terms(
        terms,
        period,
        rate_card=payer.catalog.version,
        tenant=tenant or "",
        hostings=sorted(charged.hostings),
        other_credits=payer.credits,
        prepaid=payer.prepaid,
        corrections=payer.due.corrections,
        uncorrected=payer.due.uncorrected,
    )
    jobs = {job.job_id: job for job in payer.jobs}
    return Draft(statement, jobs, charged.days(), purposes, terms)


@dataclass(frozen=True, slots=True)
class PayersMonth:
    """What a payer's month is rated and billed by, and the jobs that are in it.

    `plan_on` and `hosting_on` say the plan and the hosting of a day; without the latter each job
    is as it ran. `credits` are what is left of those beside the plan's, `prepaid` of balances by
    currency. `due` are corrections of other months that this one takes.
    """

    jobs: Sequence[PeriodJob]
    catalog: RateCard
    plan_on: Callable[[date], Plan]
    hosting_on: Callable[[date], str | None] | None
    credits: Sequence[Credit]
    prepaid: Mapping[str, Decimal]
    due: Corrections


async def payers_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    issued: Sequence[Issued],
    plan_id: str | None,
    hosting: str | None,
    tenant: str | None,
    *,
    before: Sequence[PeriodJob] = (),
    corrected: bool = True,
) -> PayersMonth:
    """Read all that a payer's month depends on beside its usage; as `draft_month`.

    A month that has no jobs yet is on the plan of those `before`.

    Raises:
        LedgerError: as `state_month`.
        RateError: as `state_month`.
    """
    plans = load_plans(settings.rates)
    account = load_account(settings.rates).of(tenant or "")
    found = await jobs_with_usage(ledger, period.start, period.end, tenant)
    plan_on = _plans_by_day(plans, account, plan_id, found or before, settings)
    hosting_on = _hostings_by_day(account)
    catalog = load_card(settings.rates)
    statements = await read_figures(ledger, issued)
    balances = Balances(account, [one.bill for one in statements if one.period != period])
    due = Corrections()
    if corrected and issued and hosting is None and period == next_open(issued):
        due = await find_corrections(ledger, statements, plans, catalog, balances, hosting_on)
    return PayersMonth(
        found,
        catalog,
        plan_on,
        hosting_on,
        balances.credits(period),
        balances.prepaid(period),
        due,
    )


def _plans_by_day(
    plans: Mapping[str, Plan],
    account: Account,
    plan_id: str | None,
    jobs: Sequence[PeriodJob],
    settings: MeterSettings,
) -> Callable[[date], Plan]:
    """The plan that was asked for, else the payer's subscriptions, else what the jobs ran on."""
    if plan_id is None and account.subscriptions:

        def subscribed(day: date) -> Plan:
            held = account.subscription(day)
            return payable_plan(find_plan(plans, held.plan_id if held else NO_PLAN)).on(day)

        return subscribed
    name = plan_of(jobs, settings) if plan_id is None else plan_id
    return payable_plan(find_plan(plans, name)).on


def _hostings_by_day(account: Account) -> Callable[[date], str | None] | None:
    if not any(one.hosting for one in account.subscriptions):
        return None

    def hosting_on(day: date) -> str | None:
        held = account.subscription(day)
        return held.hosting if held else None

    return hosting_on


def payable_plan(plan: Plan) -> Plan:
    """The plan, if a statement can be made on it.

    Raises:
        RateError: it is of a price book.
    """
    if plan.book != BOOK:
        raise RateError(
            f"plan {plan.plan_id!r} is of a price book, and this statement is of what providers"
            " charge; use a plan of theirs, or say --book price and whose statement with --tenant"
        )
    return plan


def plan_of(jobs: Iterable[PeriodJob], settings: MeterSettings) -> str:
    """The plan of the month's jobs; those on one's own server are on none, beside any other."""
    named = {job.plan for job in jobs}
    on_none, plans = NO_PLAN in named, sorted(named - {NO_PLAN})
    if len(plans) > 1:
        raise RateError(
            f"the jobs of this month ran on {' and '.join(plans)}; name one of them with --plan"
        )
    if plans:
        return plans[0]
    return NO_PLAN if on_none else settings.resolved_plan
