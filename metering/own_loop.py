"""An event loop of one's own, for work on the store beside a loop that has other duties.

Statements and rows are made on the event loop that asks the database, and a worker whose loop
stands still for a second misses dispatches.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Do work on a thread with an event loop of its own; it is cancelled with whoever waits."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())

    def run() -> Result:
        try:
            return loop.run_until_complete(task)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    running = asyncio.get_running_loop().run_in_executor(None, run)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        # It may have ended in this very moment.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)
        await asyncio.wait([running])
        raise
