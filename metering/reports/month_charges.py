"""A month of the ledger's usage, rated on the terms of a payer's plan, or on several to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from ..billing.concurrency import PeakWatch
from ..billing.month import JobCharges
from ..billing.period import Period
from ..billing.placement import Placement
from ..billing.plan_card import card_on_plan
from ..billing.statement import TermCharges
from ..billing.terms import Term, terms_of
from ..ledger.period_queries import PeriodJob
from ..ledger.store import Ledger
from ..pricing.hosting import as_hosted
from ..pricing.plans import Plan
from ..pricing.rate_card import RateCard
from ..pricing.rating import rate
from ..usage import Usage
from .month_usage import read_month


@dataclass(slots=True)
class _Part:
    """What is charged while a plan holds."""

    term: Term
    card: RateCard
    jobs: list[JobCharges] = field(default_factory=list)
    by_purpose: list[JobCharges] = field(default_factory=list)
    watch: PeakWatch = field(default_factory=PeakWatch.empty)


class ChargedMonth:
    """A month's charges on a plan that may change within it.

    Args:
        period: the month.
        catalog: the rates.
        plan_on: the plan, with the terms of a day.
        hosting: what everything is rated under.
        hosting_on: without a `hosting`, that of a day; each job is as it ran where this has none.
        by_purpose: rate each job by purpose, too.

    Raises:
        RateError: a plan is by contract, and nobody has written its terms down.
    """

    def __init__(
        self,
        period: Period,
        catalog: RateCard,
        plan_on: Callable[[date], Plan],
        hosting: str | None = None,
        hosting_on: Callable[[date], str | None] | None = None,
        *,
        by_purpose: bool = False,
    ) -> None:
        self.period = period
        self.hosting = hosting
        self.hostings: set[str] = set()
        self.ended: dict[str, datetime] = {}
        self._by_purpose = by_purpose
        terms = terms_of(period, plan_on)
        self._placement = Placement(period, terms, hosting, hosting_on)
        self._parts = [_Part(term, card_on_plan(catalog, term.plan)) for term in terms]

    def add(self, job: PeriodJob, usages: list[Usage]) -> None:
        """Rate what a job has in the month."""
        self.ended[job.job_id] = max(usage.ended_at for usage in usages)
        for number, hosting, some in self._placement.place(job.hosting, usages):
            part = self._parts[number]
            if hosting != job.hosting or self.hosting is not None:
                some = as_hosted(some, hosting)
            self.hostings.add(hosting)
            part.watch.add(some, hosting)
            ended_at = max(usage.ended_at for usage in some)
            part.jobs.append(_rated(part, job, hosting, ended_at, some))
            if self._by_purpose:
                # All of a job end together: its purposes use up the allowances one after another.
                part.by_purpose += [
                    replace(_rated(part, job, hosting, ended_at, of_purpose), purpose=purpose)
                    for purpose, of_purpose in _purposes(some)
                ]

    def charges(self) -> list[TermCharges]:
        """What was charged on each of the plan's terms."""
        return [TermCharges(part.term, part.jobs, part.watch.peaks()) for part in self._parts]

    def charges_by_purpose(self) -> list[TermCharges]:
        """The same with each job in as many parts as its usage has purposes."""
        return [TermCharges(part.term, part.by_purpose) for part in self._parts]

    def days(self) -> dict[str, str]:
        """The payer's day on which each job's last instance ended."""
        return {job: self.period.day_of(at).isoformat() for job, at in self.ended.items()}


def _rated(
    part: _Part, job: PeriodJob, hosting: str, ended_at: datetime, usages: list[Usage]
) -> JobCharges:
    charges = rate(usages, part.card, hosting=hosting, plan=part.term.plan.plan_id)
    return JobCharges(job_id=job.job_id, ended_at=ended_at, charges=tuple(charges))


def _purposes(usages: Iterable[Usage]) -> list[tuple[str, list[Usage]]]:
    """The usages by purpose; what is priced together, as one request, stays together."""
    of_instance: dict[str, str] = {}
    found: dict[str, list[Usage]] = {}
    for usage in usages:
        purpose = of_instance.setdefault(usage.instance_id, usage.purpose)
        found.setdefault(purpose, []).append(usage)
    return sorted(found.items())


async def charge(
    ledger: Ledger, period: Period, jobs: Iterable[PeriodJob], options: Sequence[ChargedMonth]
) -> None:
    """Rate what each job has in the period, on all terms at once: it is read only once.

    Raises:
        LedgerError: the store cannot be read.
    """

    def rate_on_all(job: PeriodJob, usages: list[Usage]) -> None:
        for charged in options:
            charged.add(job, usages)

    await read_month(ledger, period, jobs, rate_on_all)
