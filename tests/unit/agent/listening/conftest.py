from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.at_work import stopped_at_the_end
from tests.unit.agent.listening.hearing import Hear, Hearing


@pytest.fixture
async def hear() -> AsyncIterator[Hear]:
    async with stopped_at_the_end(Hearing) as begin:
        yield begin
