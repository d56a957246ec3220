from __future__ import annotations

import asyncio

import pytest

from demo.changes import Changes


async def test_what_is_there_already_is_not_waited_for() -> None:
    assert await Changes().until(lambda: "here", timeout=0.0) == "here"


async def test_all_who_wait_look_again_at_each_change() -> None:
    changes = Changes()
    seen: list[int] = []

    def at_least(count: int) -> list[int] | None:
        return list(seen) if len(seen) >= count else None

    waiting = [asyncio.create_task(changes.until(lambda n=n: at_least(n), 10)) for n in (1, 2)]  # type: ignore[misc]
    await asyncio.sleep(0)
    seen.append(1)
    changes.notify()
    assert await waiting[0] == [1]
    assert not waiting[1].done()
    seen.append(2)
    changes.notify()
    assert await waiting[1] == [1, 2]


async def test_what_does_not_come_in_time() -> None:
    with pytest.raises(TimeoutError):
        await Changes().until(lambda: None, timeout=0.01)


async def test_what_the_look_raises_is_told_to_who_waits() -> None:
    def look() -> None:
        raise LookupError("it will never come")

    with pytest.raises(LookupError, match="it will never come"):
        await Changes().until(look, timeout=10)
