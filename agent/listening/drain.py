"""How long a stream is waited for that has been sent everything."""

from __future__ import annotations

import asyncio
import math
from typing import Any


class Drain:
    """Ends the block when, after `ended`, nothing comes for so many seconds."""

    def __init__(self, ended: asyncio.Event, patience: float) -> None:
        self._ended = ended
        self._patience = patience
        self._limit = asyncio.timeout(None)
        self._starter: asyncio.Task[None] | None = None
        self.timed_out = False

    async def __aenter__(self) -> Drain:
        await self._limit.__aenter__()
        if math.isfinite(self._patience):
            self._starter = asyncio.create_task(self._start())
        return self

    async def __aexit__(self, *exc: Any) -> bool:
        if self._starter:
            self._starter.cancel()
        try:
            await self._limit.__aexit__(*exc)
        except TimeoutError:
            self.timed_out = True
            return True
        return False

    async def _start(self) -> None:
        await self._ended.wait()
        self.progress()

    def progress(self) -> None:
        """Something came."""
        if self._ended.is_set() and math.isfinite(self._patience):
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience)
