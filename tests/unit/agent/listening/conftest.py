from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.agent.listening.hearing import Hear, Hearing


@pytest.fixture
async def hear() -> AsyncIterator[Hear]:
    begun: list[Hearing] = []

    def begin(**options: Any) -> Hearing:
        begun.append(Hearing(**options))
        return begun[-1]

    yield begin
    for hearing in begun:
        hearing.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing.task
