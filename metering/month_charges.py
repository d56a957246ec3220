"""A month of the ledger's usage, rated on the terms of a payer's plan, or on several to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from .billing.concurrency import PeakWatch
from .billing.month import JobCharges
from .billing.period import Period
from .billing.plan_card import card_on_plan
from .billing.statement import TermCharges
from .billing.terms import Term, terms_of
from .ledger.period_queries import PeriodJob
from .ledger.queries import job_usage
from .ledger.store import Ledger
from .pricing.hosting import as_hosted
from .pricing.plans import Plan
from .pricing.rate_card import RateCard
from .pricing.rating import rate
from .usage import Usage


@dataclass(slots=True)
class _Part:
    """What is charged while a plan holds."""

    term: Term
    card: RateCard
    jobs: list[JobCharges] = field(default_factory=list)
    watch: PeakWatch = field(default_factory=PeakWatch.empty)


class ChargedMonth:
    """A month's charges on a plan that may change within it.

    Args:
        period: the month.
        catalog: the rates.
        plan_on: the plan, with the terms of a day.
        hosting: what everything is rated under; each job as it ran, where it is None.

    Raises:
        RateError: a plan is by contract, and nobody has written its terms down.
    """

    def __init__(
        self,
        period: Period,
        catalog: RateCard,
        plan_on: Callable[[date], Plan],
        hosting: str | None = None,
    ) -> None:
        self.period = period
        self.hosting = hosting
        self.hostings: set[str] = set()
        self.ended: dict[str, datetime] = {}
        self._parts = [
            _Part(term, card_on_plan(catalog, term.plan)) for term in terms_of(period, plan_on)
        ]

    def add(self, job: PeriodJob, usages: list[Usage]) -> None:
        """Rate what a job has in the month."""
        hosting = self.hosting or job.hosting
        if self.hosting is not None:
            usages = as_hosted(usages, hosting)
        self.hostings.add(hosting)
        self.ended[job.job_id] = max(usage.ended_at for usage in usages)
        for part, its_usages in self._by_part(usages):
            part.watch.add(its_usages, hosting)
            ended_at = max(usage.ended_at for usage in its_usages)
            charges = rate(its_usages, part.card, hosting=hosting, plan=part.term.plan.plan_id)
            part.jobs.append(
                JobCharges(job_id=job.job_id, ended_at=ended_at, charges=tuple(charges))
            )

    def _by_part(self, usages: list[Usage]) -> Iterable[tuple[_Part, list[Usage]]]:
        """An instance is charged by the plan of the day on which it ends."""
        if len(self._parts) == 1:
            return [(self._parts[0], usages)]
        found: list[list[Usage]] = [[] for _ in self._parts]
        for usage in usages:
            day = self.period.day_of(usage.ended_at)
            number = next(n for n, part in enumerate(self._parts) if day < part.term.until)
            found[number].append(usage)
        return [(part, some) for part, some in zip(self._parts, found, strict=True) if some]

    def charges(self) -> list[TermCharges]:
        """What was charged on each of the plan's terms."""
        return [TermCharges(part.term, part.jobs, part.watch.peaks()) for part in self._parts]

    def days(self) -> dict[str, str]:
        """The payer's day on which each job's last instance ended."""
        return {job: self.period.day_of(at).isoformat() for job, at in self.ended.items()}


def always(plan: Plan) -> Callable[[date], Plan]:
    """The same plan every day."""
    return lambda _: plan


async def charge(
    ledger: Ledger, period: Period, jobs: Iterable[PeriodJob], options: Sequence[ChargedMonth]
) -> None:
    """Rate what each job has in the period, on all terms at once: it is read only once.

    Raises:
        LedgerError: the store cannot be read.
    """
    for job in jobs:
        usages = [
            usage for usage in await job_usage(ledger, job.job_id) if period.holds(usage.ended_at)
        ]
        # Another observation of an instance ended in the period than the one that counts.
        if usages:
            for charged in options:
                await ledger.off_loop(charged.add, job, usages)
