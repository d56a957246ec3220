"""Days to come, drawn from days that were: what a forecast replays.

A bootstrap by whole days, so that what goes together on a day (meetings, their speech, their
tokens) stays together. Each replay first draws a history from the history, then its days from that:
so the fewer days are known, the wider the replays lie apart.

Which days are drawn depends on the calendar alone and never on what was used on them. So the same
month gives the same forecast, and more usage never forecasts less.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

PLAIN_METHOD = (
    "each day to come is drawn from whole days that were, of its weekday where six are known, and"
    " today's rest from what came after this time of day; every replay goes through the plan, and"
    " the median of their totals is shown, with the 5th lowest and the 5th highest of them"
)

_WEEKDAYS = 6
_OF_A_KIND = 3
"""So many days say something about the next one: of its weekday, or of its part of the week.

Few days vary less among themselves than the days to come will: with three of a weekday instead of
six, fewer months ended within their range.
"""

_SATURDAY = 5


def like(day: date, history: Sequence[date]) -> list[date]:
    """The days that one to come may be like.

    Those of its weekday if there are six, else, of Monday to Friday or of the weekend, those of the
    same kind if there are three, else all.
    """
    same_weekday = [one for one in history if one.weekday() == day.weekday()]
    if len(same_weekday) >= _WEEKDAYS:
        return same_weekday
    weekend = day.weekday() >= _SATURDAY
    same_kind = [one for one in history if (one.weekday() >= _SATURDAY) is weekend]
    return same_kind if len(same_kind) >= _OF_A_KIND else list(history)


def replays(
    to_come: Sequence[date], history: Sequence[date], count: int, seed: str
) -> Iterator[list[date]]:
    """For each replay, which day of the history stands for each of those to come.

    Args:
        to_come: the days to draw for.
        history: whole days that were, at least one.
        count: how many replays.
        seed: two of the same are drawn alike.
    """
    pools = {day: like(day, history) for day in to_come}
    for number in range(count):
        drawn = []
        for day in to_come:
            pool = pools[day]
            place = _number(seed, number, "day", day.isoformat()) % len(pool)
            kind = f"{pool[0].isoformat()}x{len(pool)}"
            drawn.append(pool[_number(seed, number, kind, str(place)) % len(pool)])
        yield drawn


def counted(days: Sequence[date]) -> dict[date, int]:
    """How often each day was drawn."""
    return dict(Counter(days))


def _number(seed: str, replay: int, what: str, which: str) -> int:
    # The same on every machine and in every version of Python, which `random` does not promise.
    digest = hashlib.blake2b(f"{seed}/{replay}/{what}/{which}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
