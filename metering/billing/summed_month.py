"""A month on a plan without its jobs: rated one job after another, and only the sums are kept.

A statement says what each job cost and keeps them all. What compares months, as they were with as
they might have been, needs only what each comes to, in memory that does not grow with the jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ..pricing.charges import Charge
from ..pricing.hosting import as_hosted
from ..pricing.plans import Credit, Plan
from ..pricing.rate_card import RateCard
from ..pricing.rating import rate
from ..usage import Usage
from .bill import Bill
from .concurrency import PeakWatch
from .month_sum import MonthSum
from .period import Period
from .placement import Placement
from .plan_card import card_on_plan
from .statement import TermCharges, bill_terms
from .terms import Term, terms_of


class RatedPart(NamedTuple):
    """What some instances of a job were charged on one of the plan's terms."""

    term: int
    charges: Sequence[Charge]


@dataclass(slots=True)
class _Part:
    term: Term
    card: RateCard
    charges: MonthSum = field(default_factory=MonthSum)
    watch: PeakWatch = field(default_factory=PeakWatch.empty)


class SummedMonth:
    """A month's charges on a plan that may change within it, added up.

    Args:
        period: the month.
        catalog: the rates.
        plan_on: the plan, with the terms of a day.
        hosting: what everything is rated under.
        hosting_on: without a `hosting`, that of a day; each job is as it ran where this has none.

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
    ) -> None:
        self.period = period
        self.hosting = hosting
        terms = terms_of(period, plan_on)
        self._placement = Placement(period, terms, hosting, hosting_on)
        self._parts = [_Part(term, card_on_plan(catalog, term.plan)) for term in terms]

    def sibling(self) -> SummedMonth:
        """The same month on the same terms, with nothing in it yet; it shares the cards."""
        other = object.__new__(SummedMonth)
        other.period, other.hosting, other._placement = self.period, self.hosting, self._placement
        other._parts = [_Part(part.term, part.card) for part in self._parts]
        return other

    def rate(self, ran_on: str, usages: list[Usage], *, watched: bool = False) -> list[RatedPart]:
        """Rate some instances of a job, without adding them.

        Args:
            ran_on: the hosting that the job was last rated under.
            usages: those of its instances that end in the month.
            watched: hold them against the plan's limits, too.

        Raises:
            RateError: quantities too far apart in size to be added exactly.
        """
        rated = []
        for number, hosting, placed in self._placement.place(ran_on, usages):
            part = self._parts[number]
            some = self._hosted(ran_on, hosting, placed)
            if watched:
                part.watch.add(some, hosting)
            plan = part.term.plan.plan_id
            rated.append(RatedPart(number, rate(some, part.card, hosting=hosting, plan=plan)))
        return rated

    def _hosted(self, ran_on: str, hosting: str, usages: list[Usage]) -> list[Usage]:
        if hosting == ran_on and self.hosting is None:
            return usages
        return as_hosted(usages, hosting)

    def add(self, rated: Iterable[RatedPart]) -> None:
        """Add what was rated, here or by a sibling."""
        for number, charges in rated:
            self._parts[number].charges.add(charges)

    def increment(self, ran_on: str, usage: Usage) -> Decimal | None:
        """What an instance is rounded up to, in base units; None where it is not, or not billed."""
        [(number, hosting, [placed])] = self._placement.place(ran_on, [usage])
        part = self._parts[number]
        [hosted] = self._hosted(ran_on, hosting, [placed])
        rates = part.card.find(hosted, part.term.plan.plan_id, hosting).rates
        return rates[0].increment if rates else None

    def charges(self) -> list[TermCharges]:
        """What was charged on each of the plan's terms, as if by one job."""
        return [
            TermCharges(part.term, part.charges.as_job(), part.watch.peaks())
            for part in self._parts
        ]

    def bill(self, other_credits: Sequence[Credit] = ()) -> Bill:
        """What it comes to.

        Args:
            other_credits: others than the plan's own.

        Raises:
            RateError: charges in several currencies, or not in the plan's.
        """
        return bill_terms(self.charges(), self.period, other_credits=other_credits)
