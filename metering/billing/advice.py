"""What a month would have cost without its waste, or on another plan: advice in money.

Nothing here is a rule of thumb. The month is rated once as it was, and once more for each finding
with the usage that it leaves, by the same rates and through the same plan; a finding is worth the
difference of the two bills. So what an allowance had covered saves nothing, and is not shown.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from ..errors import RateError
from ..pricing.exact import EXACT, ZERO
from ..pricing.plans import Credit, Plan
from ..usage import Usage
from .avoidable import (
    Avoided,
    ended_before_the_next,
    without_duplicate,
    without_silence,
    without_time_alone,
)
from .bill import Bill
from .concurrency import Interval, check_limits
from .rounding import to_currency
from .sharing import add_up
from .summed_month import RatedPart, SummedMonth

HELD_OPEN = "stt_held_open"
ALONE = "agent_alone"
SECONDS_IN = "ends_seconds_into_an_increment"
DUPLICATE = "duplicate_agent"
TOO_LARGE = "plan_too_large"
TOO_SMALL = "plan_too_small"

ASSUMPTION = (
    "each saving is the month's bill as it was less the bill with only that changed, unrounded;"
    " together they can save less"
)

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class DisputedSaving:
    """What a finding would save by the sources that disagree about what is billed, at list cost."""

    basis: str
    saving: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the month could have done without.

    `saving` is in the month's currency, exact. `seconds` is the time that would not have been
    used, in this many `jobs` and `instances`; `examples` are the jobs with most of it. `plan_id` is
    the plan to be on instead, with what is to be minded about it (`note`) and its limits beside
    the month's `peaks`: name, observed, allowed.
    """

    name: str
    saving: Decimal
    disputed: DisputedSaving | None = None
    jobs: int = 0
    instances: int = 0
    seconds: Decimal = ZERO
    examples: tuple[tuple[str, Decimal], ...] = ()
    plan_id: str = ""
    note: str = ""
    peaks: tuple[tuple[str, int, int], ...] = ()

    @property
    def most(self) -> Decimal:
        """The larger of its amounts."""
        return max(self.saving, self.disputed.saving if self.disputed else ZERO)


@dataclass(slots=True)
class _Tried:
    """The month without one kind of waste, in the making."""

    month: SummedMonth
    jobs: int = 0
    instances: int = 0
    seconds: Decimal = ZERO
    worst: list[tuple[Decimal, str]] = field(default_factory=list)

    def add(self, job_id: str, avoided: Avoided) -> None:
        self.jobs += 1
        self.instances += avoided.instances
        self.seconds = EXACT.add(self.seconds, avoided.seconds)
        heapq.heappush(self.worst, (avoided.seconds, job_id))
        if len(self.worst) > _EXAMPLES:
            heapq.heappop(self.worst)


class MonthAdvice:
    """Takes a month's jobs one after another, and keeps sums only.

    Args:
        month: the payer's, on its plan; empty.
        candidates: the same on other plans that its jobs could have run on.
        alone: an agent that is alone for as long or longer need not be there.
        seconds_in: fewer seconds than these into a started increment are too few to pay it for.
    """

    def __init__(
        self,
        month: SummedMonth,
        candidates: Sequence[tuple[Plan, SummedMonth]] = (),
        *,
        alone: timedelta = timedelta(seconds=60),
        seconds_in: Decimal = Decimal(10),
    ) -> None:
        self._month = month
        self._candidates = candidates
        self._alone, self._seconds_in = alone, seconds_in
        self._tried = {
            name: _Tried(month.sibling()) for name in (HELD_OPEN, ALONE, SECONDS_IN, DUPLICATE)
        }

    def add(
        self,
        job_id: str,
        hosting: str,
        usages: list[Usage],
        *,
        presence: Sequence[Interval] | None = None,
        duplicate: Sequence[Interval] = (),
    ) -> None:
        """See a job.

        Args:
            job_id: its id, to be named.
            hosting: what it was last rated under.
            usages: its instances that end in the month.
            presence: when anybody but agents was in its room; None where nobody looked.
            duplicate: when another job of the same agent was in the room already.

        Raises:
            RateError: quantities too far apart in size to be added exactly.
        """
        rated = self._month.rate(hosting, usages, watched=True)
        self._month.add(rated)
        for _, candidate in self._candidates:
            candidate.add(candidate.rate(hosting, usages))
        avoided = {
            HELD_OPEN: without_silence(usages),
            SECONDS_IN: ended_before_the_next(
                usages,
                lambda usage: self._month.increment(hosting, usage),
                self._seconds_in,
            ),
            ALONE: None if presence is None else without_time_alone(usages, presence, self._alone),
            DUPLICATE: without_duplicate(usages, duplicate) if duplicate else None,
        }
        for name, tried in self._tried.items():
            without = avoided[name]
            tried.month.add(self._rated(hosting, without, rated))
            if without is not None:
                tried.add(job_id, without)

    def _rated(
        self, hosting: str, without: Avoided | None, as_it_was: list[RatedPart]
    ) -> list[RatedPart]:
        return as_it_was if without is None else self._month.rate(hosting, without.usages)

    def bill(self, other_credits: Sequence[Credit] = ()) -> Bill:
        """The month as it was."""
        return self._month.bill(other_credits)

    def findings(self, other_credits: Sequence[Credit] = ()) -> list[Finding]:
        """What would have saved money, the most first; what comes to nothing is left out.

        Args:
            other_credits: credits beside the plan's own.

        Raises:
            RateError: charges in several currencies, or not in the plan's.
        """
        as_it_was = self.bill(other_credits)
        found = [
            _finding(name, tried, as_it_was, other_credits)
            for name, tried in self._tried.items()
            if tried.jobs
        ]
        found += self._plan(as_it_was, other_credits)
        currency = as_it_was.currency
        worth = [one for one in found if to_currency(one.most, currency) > 0]
        return sorted(worth, key=lambda one: (-one.most, one.name))

    def _plan(self, as_it_was: Bill, other_credits: Sequence[Credit]) -> list[Finding]:
        """The cheapest plan that holds the month, if that is another."""
        parts = self._month.charges()
        own = parts[-1].term.plan
        peaks: dict[str, int] = {}
        for part in parts:
            for name, most in part.peaks.items():
                peaks[name] = max(most, peaks.get(name, 0))
        missing = _missing(as_it_was)
        best: Finding | None = None
        for plan, month in self._candidates:
            checks = check_limits(plan.limits, peaks)
            try:
                bill = month.bill(other_credits)
            except RateError:
                continue  # In another currency there is no difference to be had.
            if (
                bill.currency != as_it_was.currency
                or any(check.broken for check in checks)
                or any(line.beyond for line in bill.lines)
                or not _missing(bill) <= missing
            ):
                continue
            saving = EXACT.subtract(as_it_was.exact_total, bill.exact_total)
            if best is None or saving > best.saving:
                best = Finding(
                    name=TOO_LARGE if plan.base_fee < own.base_fee else TOO_SMALL,
                    saving=saving,
                    plan_id=plan.plan_id,
                    note=plan.note,
                    peaks=tuple((one.limit, one.observed, one.allowed) for one in checks),
                )
        return [] if best is None else [best]


def _finding(name: str, tried: _Tried, as_it_was: Bill, other_credits: Sequence[Credit]) -> Finding:
    without = tried.month.bill(other_credits)
    disputed = None
    if name == HELD_OPEN:
        disputed = _disputed(as_it_was, without)
    worst = sorted(tried.worst, key=lambda one: (-one[0], one[1]))
    return Finding(
        name=name,
        saving=EXACT.subtract(as_it_was.exact_total, without.exact_total),
        disputed=disputed,
        jobs=tried.jobs,
        instances=tried.instances,
        seconds=tried.seconds,
        examples=tuple((job_id, avoided) for avoided, job_id in worst),
    )


def _disputed(as_it_was: Bill, without: Bill) -> DisputedSaving | None:
    """What shorter connections would save where a source says that connections are billed."""
    before, after = _by_connection(as_it_was), _by_connection(without)
    saving = EXACT.subtract(add_up([*before.values()]), add_up([*after.values()]))
    return DisputedSaving("connection", saving, "; ".join(sorted(before))) if saving else None


def _by_connection(bill: Bill) -> dict[str, Decimal]:
    """List costs by connection of what is rated otherwise, by what is said about the dispute."""
    found: dict[str, Decimal] = {}
    for line in bill.lines:
        disputed = line.charge.disputed
        if disputed and disputed.basis == "connection" and disputed.list_cost is not None:
            so_far = found.get(disputed.reason, ZERO)
            found[disputed.reason] = EXACT.add(so_far, disputed.list_cost)
    return found


def _missing(bill: Bill) -> frozenset[tuple[str, str, str]]:
    return frozenset((item.meter, item.provider, item.model) for item in bill.unrated)
