"""A month of the ledger by two rate files: read once, job by job, and none of it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..billing.bill import Bill, make_bill
from ..billing.card_diff import CardDiff, diff_bills
from ..billing.month import add_up_month
from ..billing.month_sum import MonthSum
from ..billing.period import Period
from ..billing.plan_card import card_on_plan
from ..errors import RateError
from ..ledger.period_queries import PeriodJob, jobs_with_usage
from ..ledger.store import Ledger
from ..pricing.loading import load_card
from ..pricing.plans import Plan, find_plan, load_plans
from ..pricing.rate_card import RateCard
from ..pricing.rating import rate
from ..settings import MeterSettings
from ..usage import Usage
from .month_usage import read_month
from .statements import plan_of


@dataclass(slots=True)
class _Side:
    """The month by one file."""

    plan: Plan
    version: str
    card: RateCard
    charges: MonthSum = field(default_factory=MonthSum)

    @classmethod
    def of(cls, rates: Path | None, plan_id: str) -> _Side:
        plan = find_plan(load_plans(rates), plan_id)
        if plan.book != "cost":
            raise RateError(
                f"plan {plan_id!r} is of a price book, and cards are compared by what providers"
                " charge; use a plan of theirs"
            )
        card = load_card(rates)
        return cls(plan, card.version, card_on_plan(card, plan))

    def add(self, usages: list[Usage], hosting: str) -> None:
        self.charges.add(rate(usages, self.card, hosting=hosting, plan=self.plan.plan_id))

    def bill(self, period: Period) -> Bill:
        month = add_up_month(self.charges.as_job(), self.plan)
        return make_bill(month, self.plan, day=period.first_day)


async def diff_month(
    ledger: Ledger,
    settings: MeterSettings,
    new_file: Path,
    period: Period,
    *,
    plan_id: str | None = None,
    tenant: str | None = None,
) -> CardDiff:
    """What another rate file would change about a month of the ledger.

    Both lie over the shipped catalog; the plan's terms are those of each.

    Args:
        ledger: the store.
        settings: where the present file is.
        new_file: the file to hold against it.
        period: the month.
        plan_id: the payer's plan; by default the one that the month's jobs ran on.
        tenant: only this tenant's jobs, as the sole payer on the plan.

    Raises:
        LedgerError: the store cannot be read, or usage of the month was pruned.
        RateError: a file that cannot be used, no such plan, jobs on several plans, or several
            currencies.
    """
    load_card(new_file)  # A broken file is refused before the ledger is read.
    found = await jobs_with_usage(ledger, period.start, period.end, tenant)
    its_plan = plan_id or plan_of(found, settings)
    present, new = _Side.of(settings.rates, its_plan), _Side.of(new_file, its_plan)

    def rate_on_both(job: PeriodJob, usages: list[Usage]) -> None:
        for side in (present, new):
            side.add(usages, job.hosting)

    await read_month(ledger, period, found, rate_on_both)
    return diff_bills(present.bill(period), new.bill(period), present.version, new.version)
