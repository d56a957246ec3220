"""What has changed of the statements that were issued to a payer: late usage, or another price.

Each is made again from what the ledger has now, on the plan that it was issued on. The difference
enters one statement only: that of the month after the last one issued.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from ..billing.balances import Balances
from ..billing.correction import Correction, Uncorrected, correct
from ..billing.period import Period, parse_period
from ..billing.statement import Statement, bill_terms
from ..errors import RateError, UsagePruned
from ..ledger.issued import Issued, figures_of
from ..ledger.period_queries import jobs_with_usage
from ..ledger.store import Ledger
from ..pricing.plans import Plan, find_plan
from ..pricing.rate_card import RateCard
from .month_charges import ChargedMonth, charge
from .statement_record import read_statement


@dataclass(slots=True)
class Corrections:
    """What has to be corrected, and what cannot be."""

    corrections: list[Correction] = field(default_factory=list)
    uncorrected: list[Uncorrected] = field(default_factory=list)


async def read_figures(ledger: Ledger, issued: Sequence[Issued]) -> list[Statement]:
    """Some issued statements without their jobs, in the order in which they were issued.

    Raises:
        LedgerError: the store cannot be read.
    """
    return [
        read_statement(text) for text in await figures_of(ledger, [one.number for one in issued])
    ]


def next_open(issued: Sequence[Issued]) -> Period:
    """The month after the last of a payer's issued statements: the one that takes corrections."""
    last = max(issued, key=lambda one: one.started_at)
    return parse_period(last.period, last.timezone).following


async def find_corrections(
    ledger: Ledger,
    statements: Sequence[Statement],
    plans: Mapping[str, Plan],
    catalog: RateCard,
    balances: Balances,
    hosting_on: Callable[[date], str | None] | None = None,
) -> Corrections:
    """Make every issued statement of a payer again, and say what has changed.

    What cannot be made again, because its usage was pruned or its plan is gone, is named.

    Args:
        ledger: the store.
        statements: all of the payer's.
        plans: by id.
        catalog: the rates.
        balances: the payer's, with what the statements have used taken off; what the corrections
            use is taken off as well, or given back.
        hosting_on: as in `ChargedMonth`.
    """
    found = Corrections()
    for statement in statements:
        before = [
            one
            for later in statements
            for one in later.bill.corrections
            if one.statement_id == statement.statement_id
        ]
        period = statement.period
        try:
            jobs = await jobs_with_usage(ledger, period.start, period.end, statement.tenant or None)
            charged = ChargedMonth(
                period, catalog, _plan_then(statement, plans), hosting_on=hosting_on
            )
            await charge(ledger, period, jobs, [charged])
            uses = [*statement.bill.credits, *(use for one in before for use in one.credits)]
            offered = balances.credits(period, uses)
            now = bill_terms(charged.charges(), period, other_credits=offered)
        except (UsagePruned, RateError) as error:
            found.uncorrected.append(Uncorrected(statement.statement_id, str(error)))
            continue
        if now.currency != statement.bill.currency:
            said = f"it was in {statement.bill.currency}, and would be in {now.currency}"
            found.uncorrected.append(Uncorrected(statement.statement_id, said))
            continue
        correction = correct(
            now, statement.bill, before, statement_id=statement.statement_id, period=period.name
        )
        if correction is not None:
            found.corrections.append(correction)
            balances.spend(correction.credits)
    return found


def _plan_then(statement: Statement, plans: Mapping[str, Plan]) -> Callable[[date], Plan]:
    """The plan that the statement was issued on, by day."""

    def plan_on(day: date) -> Plan:
        term = next(term for term in statement.terms if day < term.until)
        return find_plan(plans, term.plan_id).on(day)

    return plan_on
