"""Which of a plan's terms, and which hosting, each instance of a month is charged under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from ..usage import Usage
from .period import Period
from .terms import Term


class Placed(NamedTuple):
    """Some instances of a job, with the plan's term (counted from 0) and hosting they are under."""

    term: int
    hosting: str
    usages: list[Usage]


@dataclass(frozen=True, slots=True)
class Placement:
    """A month's terms and hostings.

    Args:
        period: the month.
        terms: the plan's, in order.
        hosting: what everything is rated under.
        hosting_on: without a `hosting`, that of a day; each job is as it ran where this has none.
    """

    period: Period
    terms: Sequence[Term]
    hosting: str | None = None
    hosting_on: Callable[[date], str | None] | None = None

    def place(self, ran_on: str, usages: list[Usage]) -> list[Placed]:
        """An instance is charged by the plan, and under the hosting, of the day it ends on.

        Args:
            ran_on: the hosting that the job was last rated under.
            usages: the job's instances that end in the month.
        """
        ran_on = self.hosting or ran_on
        hosting_on = self.hosting_on if self.hosting is None else None
        if len(self.terms) == 1 and hosting_on is None:
            return [Placed(0, ran_on, usages)]
        found: dict[tuple[int, str], list[Usage]] = {}
        for usage in usages:
            day = self.period.day_of(usage.ended_at)
            number = next(n for n, term in enumerate(self.terms) if day < term.until)
            hosting = hosting_on(day) if hosting_on is not None else None
            found.setdefault((number, hosting or ran_on), []).append(usage)
        return [Placed(*key, found[key]) for key in sorted(found)]
