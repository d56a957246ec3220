"""One clock per run, so that durations and stamps cannot contradict each other.

Durations come from the monotonic clock; stamps are the run's UTC start plus the monotonic time
since. A wall clock that is stepped while a meeting runs changes neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


class RunClock:
    """Microseconds since the run began, and the UTC stamps that belong to them."""

    def __init__(
        self,
        *,
        wall: Callable[[], datetime] = utc_now,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._began_ns = monotonic_ns()
        began = wall()
        # As it will be read back: stamps are written in milliseconds, and what is counted from a
        # start that lost its microseconds would end before its last instance does.
        self.began_at = began.replace(microsecond=began.microsecond // 1000 * 1000)

    def elapsed_us(self) -> int:
        """Microseconds since the run began; never goes back."""
        return (self._monotonic_ns() - self._began_ns) // 1000

    def stamp(self, elapsed_us: int | None = None) -> datetime:
        """The UTC stamp of a moment of this run, by default of now."""
        if elapsed_us is None:
            elapsed_us = self.elapsed_us()
        return self.began_at + timedelta(microseconds=elapsed_us)


def seconds(microseconds: int) -> Decimal:
    """Microseconds as exact seconds, never negative."""
    return Decimal(max(0, microseconds)).scaleb(-6)
