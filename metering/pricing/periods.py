"""The periods of entries for the same thing: one after the other, without overlap or gap.

Two prices at once would be a guess, and a day without one is most often a mistyped date. A day that
really has none is said so, by an [[unrated]] or [[not_billed]] entry for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from ..errors import RateError
from .rate_card import Entry, Rate


def check_periods(entries: Iterable[Entry]) -> None:
    """Refuse two entries for the same thing at the same time, and a hole between two.

    Raises:
        RateError: naming both entries with their places and both periods.
    """
    by_scope: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        by_scope[*entry.scope, entry.add_on].append(entry)
    for same in by_scope.values():
        _refuse_overlaps(same)
        _refuse_gaps(same)


def _refuse_overlaps(entries: list[Entry]) -> None:
    before: list[Entry] = []
    for entry in entries:
        for other in before:
            if not _are_tiers(entry, other) and overlap(
                (entry.effective_from, entry.effective_until),
                (other.effective_from, other.effective_until),
            ):
                raise RateError(
                    f"{entry.place}: {_period(entry)} overlaps {_period(other)} of {other.place}; "
                    "close the older one with effective_until"
                )
        before.append(entry)


def _refuse_gaps(entries: list[Entry]) -> None:
    ordered = sorted(entries, key=lambda entry: entry.effective_from or date.min)
    reaches = ordered[0]
    for entry in ordered[1:]:
        end = reaches.effective_until
        if end is not None and entry.effective_from is not None and end < entry.effective_from:
            raise RateError(
                f"{entry.place}: {_period(entry)} leaves a gap after {_period(reaches)} of "
                f"{reaches.place}; close it, or say with [[unrated]] or [[not_billed]] what holds "
                f"from {end} to {entry.effective_from}"
            )
        if end is not None and (entry.effective_until is None or entry.effective_until > end):
            reaches = entry


def _are_tiers(one: Entry, other: Entry) -> bool:
    return (
        isinstance(one, Rate)
        and isinstance(other, Rate)
        and one.request_input_over != other.request_input_over
    )


def overlap(one: tuple[date | None, date | None], other: tuple[date | None, date | None]) -> bool:
    """Whether two half-open periods share a day; None is unbounded."""
    return (one[0] is None or other[1] is None or one[0] < other[1]) and (
        other[0] is None or one[1] is None or other[0] < one[1]
    )


def _period(entry: Entry) -> str:
    start, end = entry.effective_from or "always", entry.effective_until or "open end"
    return f"its period {start} to {end}"
