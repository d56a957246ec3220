"""Waiting for what others bring about: a caption that arrives, a line in a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """Tells all who wait that something has changed, so that each looks again for itself."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Something has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, look: Callable[[], T | None], timeout: float) -> T:
        """What `look` gives as soon as that is not None; what it raises goes to the caller.

        Raises:
            TimeoutError: there was nothing to see within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while (seen := look()) is None:
                await self._changed.wait()
        return seen
