"""Whoever goes on in a task of their own until a test is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, Protocol, TypeVar


class AtWork(Protocol):
    """In a task."""

    task: asyncio.Task[None]


P = ParamSpec("P")
T = TypeVar("T", bound=AtWork)


@asynccontextmanager
async def stopped_at_the_end(make: Callable[P, T]) -> AsyncIterator[Callable[P, T]]:
    """`make`, and the tasks of all that it has made are cancelled at the end."""
    made: list[T] = []

    def making(*args: P.args, **kwargs: P.kwargs) -> T:
        made.append(make(*args, **kwargs))
        return made[-1]

    yield making
    for one in made:
        one.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one.task
