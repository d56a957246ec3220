"""Which month an instance is billed in: the payer's calendar month, in the payer's time zone.

The boundaries are instants. A month in which the clocks change is an hour shorter or longer than
its days say, and its first instant is local midnight, by whatever offset holds then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

from ..errors import RateError

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """One calendar month of a time zone, half open: `start` belongs to it, `end` does not."""

    year: int
    month: int
    timezone: str
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """As it is asked for: 2026-11."""
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def first_day(self) -> date:
        """The month's first day, in its own time zone."""
        return date(self.year, self.month, 1)

    @property
    def following_day(self) -> date:
        """The first day of the month after, in the same time zone."""
        return date(self.year + self.month // 12, self.month % 12 + 1, 1)

    @property
    def following(self) -> Period:
        """The month after."""
        day = self.following_day
        return parse_period(f"{day:%Y-%m}", self.timezone)

    def holds(self, ended_at: datetime) -> bool:
        """Whether an instance that ended then is billed in this month."""
        return self.start <= ended_at < self.end

    def day_of(self, ended_at: datetime) -> date:
        """The payer's date at an instant."""
        return self.local(ended_at).date()

    def local(self, at: datetime) -> datetime:
        """An instant on the payer's clock."""
        return at.astimezone(_zone(self.timezone))

    def start_of(self, day: date) -> datetime:
        """The first instant of a day, of this month or another, in its time zone."""
        return _midnight(day, _zone(self.timezone))


def parse_period(text: str, timezone: str = "UTC") -> Period:
    """The month that `text` names, YYYY-MM.

    Raises:
        RateError: it names no month, or there is no such time zone on this machine.
    """
    found = _MONTH.fullmatch(text)
    year, month = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= month <= 12 or not 1970 <= year <= 9998:
        raise RateError(f"period {text!r} is no month; write YYYY-MM, as 2026-11")
    zone = _zone(timezone)
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    start, end = (_midnight(date(*first, 1), zone) for first in ((year, month), following))
    return Period(year, month, timezone, start, end)


def _midnight(day: date, zone: tzinfo) -> datetime:
    # Where clocks are set back over midnight it comes twice, and the day begins at the first;
    # where they are set forward over it, the offset before gives the very instant of the change.
    return datetime(day.year, day.month, day.day, tzinfo=zone, fold=0).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise RateError(
            f"unknown time zone {name!r}; use a name of the IANA database, as Europe/Zurich"
        ) from None
