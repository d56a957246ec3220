"""What could not be heard, put together: audio is lost in frames, and a reader wants stretches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .segments import Gap

_APART_SECONDS = 2.0
"""Two losses that are nearer than this are one to a reader."""


def stretches(gaps: Iterable[Gap]) -> list[Gap]:
    """Gaps in order, those of one track that touch or nearly touch as one."""
    merged: list[Gap] = []
    newest: dict[str, int] = {}
    for gap in sorted(gaps, key=_order):
        index = newest.get(gap.track_id)
        if index is not None and gap.start - merged[index].end <= _APART_SECONDS:
            merged[index] = replace(merged[index], end=max(merged[index].end, gap.end))
        else:
            newest[gap.track_id] = len(merged)
            merged.append(gap)
    return sorted(merged, key=_order)


def _order(gap: Gap) -> tuple[float, float, str]:
    return gap.start, gap.end, gap.track_id


class GapLog:
    """Gaps as they come, kept as stretches: ten minutes of lost frames are one."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []

    def add(self, gap: Gap) -> None:
        """Something could not be heard."""
        last = self._gaps[-1] if self._gaps else None
        if last and last.track_id == gap.track_id and 0 <= gap.start - last.end <= _APART_SECONDS:
            self._gaps[-1] = replace(last, end=gap.end)
        else:
            self._gaps.append(gap)

    @property
    def gaps(self) -> list[Gap]:
        """In order."""
        self._gaps = stretches(self._gaps)
        return list(self._gaps)
