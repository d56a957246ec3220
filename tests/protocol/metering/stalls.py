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
_MARGIN_SECONDS = 0.02


@dataclass
class _Stall:
    """Stretches of it that follow upon each other are one: what waits for its turn waits again."""

    start: float
    end: float
    taken: float


@dataclass
class Stalls:
    """When the processor was taken away, and for how long, in monotonic seconds."""

    seen: list[_Stall] = field(default_factory=list)

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
        """For how many seconds the processor was taken away around this moment."""
        return sum(
            stall.taken
            for stall in self.seen
            if stall.start - _MARGIN_SECONDS <= moment <= stall.end + _MARGIN_SECONDS
        )

    async def _watch(self) -> None:
        while True:
            start, used = time.monotonic(), time.process_time()
            await asyncio.sleep(_STEP_SECONDS)
            end, used = time.monotonic(), time.process_time() - used
            taken = end - start - _STEP_SECONDS - used
            if taken > _WORTH_NOTING_SECONDS:
                self._note(start, end, taken)

    def _note(self, start: float, end: float, taken: float) -> None:
        if self.seen and start - self.seen[-1].end < _MARGIN_SECONDS:
            self.seen[-1].end = end
            self.seen[-1].taken += taken
        else:
            self.seen.append(_Stall(start, end, taken))
