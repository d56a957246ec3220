"""What a month will have come to at its end, from what has ended so far.

The days to come are drawn from days that were, several times over; each time the whole month goes
through the plan, so that allowances, tiers and credits count as they will on the statement. What is
said of the month are quantiles of these totals, and nothing of it is scaled or rounded: every
replay is a month of charges that were really made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from ..pricing.charges import Charge
from ..pricing.exact import EXACT, ZERO
from ..pricing.hosting import as_hosted
from ..pricing.plans import Credit, Plan
from ..pricing.rate_card import RateCard
from ..pricing.rating import rate
from ..usage import Usage
from .bill import Bill
from .charge_sum import LineKey
from .correction import Correction
from .month import JobCharges
from .month_sum import MonthSum
from .period import Period
from .placement import Placement
from .plan_card import card_on_plan
from .resampling import counted, replays
from .sharing import add_up
from .statement import TermCharges, bill_terms
from .terms import Term, terms_of

WEEKS_BACK = 8
"""How far back days are looked for that those to come may be like."""

REPLAYS = 199
_LOW, _MIDDLE, _HIGH = 4, 99, 194
"""The 5th, the 100th and the 195th of 199 totals. A bootstrap of so few days is too sure of itself:
95 % of its replays hold about four in five months, as a test says."""

A_WEEK = 7
"""Fewer whole days than these say nothing about how large a month can get."""

METHOD = "day bootstrap"
ASSUMPTION = (
    f"days to come are like days of the last {WEEKS_BACK} weeks, at the prices of those days:"
    " no growth, no holidays, no change of prices"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A month's total as it is to be expected at its end; all amounts are in its currency.

    `so_far` is the statement of what has ended. `total` is the median of the replays, and 95 %
    of them lie from `low` to `high`; with less than a week of history `low` is what stands
    already, and nobody knows how `high` it can get. Without a whole day of history there is no
    forecast. `refused` counts the replays that a plan without overage does not hold.
    """

    so_far: Bill
    so_far_total: Decimal
    total: Decimal | None
    low: Decimal | None
    high: Decimal | None
    days_left: int
    history: tuple[date, ...]
    replays: int
    refused: int
    basis: str


class _Line(NamedTuple):
    """A line of one day."""

    first: Charge
    instances: int
    consumed: Decimal
    pricing: Decimal | None
    cost: Decimal | None


@dataclass(slots=True)
class _Part:
    """What is charged while a plan holds: so far, and, if it holds on days to come, on days like
    them; `later` is of those days what came after the present time of day."""

    term: Term
    card: RateCard
    so_far: dict[date, MonthSum] = field(default_factory=dict)
    days: dict[date, MonthSum] = field(default_factory=dict)
    later: dict[date, MonthSum] = field(default_factory=dict)


class ForecastMonth:
    """Takes jobs one after another, of the month and of the weeks before; keeps sums by day only.

    Args:
        period: the month.
        catalog: the rates.
        plan_on: the plan, with the terms of a day.
        now: what ends at this instant or later is to come.
        since: the first day of the history; what ended before it is not looked at.
        hosting_on: the hosting of a day; each job is as it ran where this has none.

    Raises:
        RateError: a plan is by contract, and nobody has written its terms down.
    """

    def __init__(
        self,
        period: Period,
        catalog: RateCard,
        plan_on: Callable[[date], Plan],
        now: datetime,
        since: date | None,
        hosting_on: Callable[[date], str | None] | None = None,
    ) -> None:
        self.period = period
        self._now = now
        self._today = period.day_of(now)
        self._hosting_on = hosting_on
        self._terms = terms_of(period, plan_on)
        self._placement = Placement(period, self._terms, None, hosting_on)
        self._parts = [_Part(term, card_on_plan(catalog, term.plan)) for term in self._terms]
        self._history = _days(since, self._today) if since is not None else []
        self._to_come = _days(max(self._today, period.first_day), period.following_day)
        if now <= period.start or self._today not in self._to_come:
            self._rest_of: date | None = None
        else:
            whole = now == period.start_of(self._today)
            self._rest_of = None if whole else self._today

    def add(self, ran_on: str, usages: Iterable[Usage]) -> None:
        """See some of a job's usage: all of it that ended in the month or in its history.

        Raises:
            RateError: quantities too far apart in size to be added exactly.
        """
        ended = [usage for usage in usages if usage.ended_at < self._now]
        mine = [usage for usage in ended if self.period.holds(usage.ended_at)]
        for number, hosting, placed in self._placement.place(ran_on, mine) if mine else ():
            day = self.period.day_of(max(usage.ended_at for usage in placed))
            part = self._parts[number]
            _add(part.so_far, day, self._rate(part, ran_on, hosting, placed))
        if not self._history or not self._to_come:
            return
        by_day: dict[date, list[Usage]] = {}
        for usage in ended:
            day = self.period.day_of(usage.ended_at)
            if self._history[0] <= day <= self._history[-1]:
                by_day.setdefault(day, []).append(usage)
        for part in self._parts:
            if part.term.until > self._today:
                for day, placed in by_day.items():
                    self._add_day(part, ran_on, day, placed)

    def _add_day(self, part: _Part, ran_on: str, day: date, usages: list[Usage]) -> None:
        held = self._hosting_on(max(part.term.since, self._today)) if self._hosting_on else None
        hosting = held or ran_on
        _add(part.days, day, self._rate(part, ran_on, hosting, usages))
        if self._rest_of is not None and part.term.since <= self._rest_of:
            clock = self.period.local(self._now).time()
            later = [one for one in usages if self.period.local(one.ended_at).time() >= clock]
            if later:
                _add(part.later, day, self._rate(part, ran_on, hosting, later))

    @staticmethod
    def _rate(part: _Part, ran_on: str, hosting: str, usages: list[Usage]) -> list[Charge]:
        some = usages if hosting == ran_on else as_hosted(usages, hosting)
        return rate(some, part.card, hosting=hosting, plan=part.term.plan.plan_id)

    def forecast(
        self,
        other_credits: Sequence[Credit] = (),
        corrections: Sequence[Correction] = (),
    ) -> Forecast:
        """What the month is to be expected to come to.

        Args:
            other_credits: credits beside the plan's own.
            corrections: of other months, that this one's statement takes.

        Raises:
            RateError: charges in several currencies, or not in the plan's.
        """

        def total(bill: Bill) -> Decimal:
            taken = [one.amount for one in corrections if one.currency == bill.currency]
            return EXACT.add(bill.total, add_up(taken))

        so_far = bill_terms(self._so_far(), self.period, other_credits=other_credits)
        now = total(so_far)
        said = Forecast(
            so_far=so_far,
            so_far_total=now,
            total=None,
            low=None,
            high=None,
            days_left=len(self._to_come),
            history=tuple(self._history),
            replays=0,
            refused=0,
            basis="",
        )
        if not self._to_come:
            basis = "the month is over: what its statement comes to"
            return replace(said, total=now, low=now, high=now, basis=basis)
        if not self._history:
            return replace(said, basis="no whole day of usage is known yet: nothing to forecast by")
        refused, totals = 0, []
        for bill in self._replayed(other_credits):
            totals.append(total(bill))
            refused += any(line.beyond for line in bill.lines)
        totals.sort()
        said = replace(said, total=totals[_MIDDLE], replays=REPLAYS, refused=refused)
        if len(self._history) < A_WEEK:
            basis = (
                f"{len(self._history)} whole days of usage are known: less than a week says nothing"
                " about how high it can get; the lower end is what stands already"
            )
            return replace(said, low=min(now, totals[_MIDDLE]), basis=basis)
        known = f"{len(self._history)} whole days of usage are known"
        basis = f"{known}; 95 % of the replays lie in between"
        return replace(said, low=totals[_LOW], high=totals[_HIGH], basis=basis)

    def _so_far(self) -> list[TermCharges]:
        """Each day as one job, in their order: so they use up the allowances as they did."""
        return [
            TermCharges(
                part.term,
                [
                    replace(job, job_id=day.isoformat(), ended_at=self.period.start_of(day))
                    for day, charges in sorted(part.so_far.items())
                    for job in charges.as_job()
                ],
            )
            for part in self._parts
        ]

    def _replayed(self, other_credits: Sequence[Credit]) -> Iterable[Bill]:
        observed = [_sum(part.so_far.values()) for part in self._parts]
        days = [_lines(part.days) for part in self._parts]
        later = [_lines(part.later) for part in self._parts]
        # Not what was used, only the calendar: see the head of `resampling`.
        seed = f"{self.period.name}/{self._history[0]}/{self._today}"
        for drawn in replays(self._to_come, self._history, REPLAYS, seed):
            parts = []
            for number, part in enumerate(self._parts):
                whole: list[date] = []
                rest: list[date] = []
                for day, stands_for_it in zip(self._to_come, drawn, strict=True):
                    if part.term.since <= day < part.term.until:
                        (rest if day == self._rest_of else whole).append(stands_for_it)
                future = [(days[number], whole), (later[number], rest)]
                jobs = [
                    *observed[number],
                    JobCharges(job_id="to come", ended_at=self.period.end, charges=_drawn(future)),
                ]
                parts.append(TermCharges(part.term, jobs))
            yield bill_terms(parts, self.period, other_credits=other_credits)


def _days(first: date, until: date) -> list[date]:
    return [first + timedelta(days=number) for number in range(max(0, (until - first).days))]


def _add(sums: dict[date, MonthSum], day: date, charges: Iterable[Charge]) -> None:
    sums.setdefault(day, MonthSum()).add(charges)


def _sum(of: Iterable[MonthSum]) -> list[JobCharges]:
    whole = MonthSum()
    for one in of:
        whole.add(one.charges().values())
    return whole.as_job()


def _lines(days: Mapping[date, MonthSum]) -> dict[date, dict[LineKey, _Line]]:
    return {
        day: {
            key: _Line(
                charge,
                charge.instances,
                charge.consumed_quantity,
                charge.pricing_quantity,
                charge.list_cost,
            )
            for key, charge in sums.charges().items()
        }
        for day, sums in days.items()
    }


def _drawn(
    future: Iterable[tuple[Mapping[date, Mapping[LineKey, _Line]], list[date]]],
) -> tuple[Charge, ...]:
    """The lines of some days, each as often as it was drawn."""
    found: dict[LineKey, _Line] = {}
    for by_day, drawn in future:
        for day, times in counted(drawn).items():
            for key, line in by_day.get(day, {}).items():
                before = found.get(key, _Line(line.first, 0, ZERO, None, None))
                found[key] = _Line(
                    line.first,
                    before.instances + times * line.instances,
                    _more(before.consumed, line.consumed, times) or ZERO,
                    _more(before.pricing, line.pricing, times),
                    _more(before.cost, line.cost, times),
                )
    return tuple(
        replace(
            line.first,
            instances=line.instances,
            consumed_quantity=line.consumed,
            pricing_quantity=line.pricing,
            list_cost=line.cost,
            disputed=None,
        )
        for line in found.values()
    )


def _more(so_far: Decimal | None, amount: Decimal | None, times: int) -> Decimal | None:
    if amount is None:
        return so_far
    return EXACT.add(so_far or ZERO, EXACT.multiply(amount, Decimal(times)))
