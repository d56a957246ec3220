"""When the machine took the processor away from the test, seen from inside.

Provider and meter run in one process here, and each stamps the same instant when it gets to run. If
something else on the machine runs between the two, they differ by that long, whatever the meter
does. Only what was taken away counts: a loop that is held up by work of ours has used processor
time meanwhile, and is no excuse.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_STEP_SECONDS = 0.002
_WORTH_NOTING_SECONDS = 0.01
_MOSTLY_IDLE = 0.25
_MARGIN_SECONDS = 0.02


@dataclass
class Stalls:
    """Each with its beginning and end, in monotonic seconds."""

    seen: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def watched(cls) -> AsyncIterator[Stalls]:
        stalls = cls()
        watching = asyncio.create_task(stalls._watch())
        try:
            yield stalls
        finally:
            watching.cancel()

    def at(self, moment: float) -> float:
        """For how many seconds the process stood still around this moment."""
        return sum(
            end - start
            for start, end in self.seen
            if start - _MARGIN_SECONDS <= moment <= end + _MARGIN_SECONDS
        )

    async def _watch(self) -> None:
        while True:
            start, used = time.monotonic(), time.process_time()
            await asyncio.sleep(_STEP_SECONDS)
            end, used = time.monotonic(), time.process_time() - used
            late = end - start - _STEP_SECONDS
            if late > _WORTH_NOTING_SECONDS and used < late * _MOSTLY_IDLE:
                self.seen.append((start, end))
