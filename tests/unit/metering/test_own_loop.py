from __future__ import annotations

import asyncio
import threading

import pytest

from metering.own_loop import in_own_loop


async def test_work_is_done_on_another_thread_and_loop() -> None:
    async def where() -> tuple[int, asyncio.AbstractEventLoop]:
        await asyncio.to_thread(lambda: None)
        return threading.get_ident(), asyncio.get_running_loop()

    thread, loop = await in_own_loop(where)
    assert thread != threading.get_ident()
    assert loop is not asyncio.get_running_loop()
    assert loop.is_closed()


async def test_whoever_waits_is_told_what_went_wrong() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        await in_own_loop(fail)


async def test_it_is_cancelled_with_whoever_waits_and_cleans_up() -> None:
    begun, cleaned = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    waiting = asyncio.create_task(in_own_loop(work))
    await asyncio.to_thread(begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cleaned.is_set()


async def test_the_loop_that_waits_goes_on() -> None:
    ticked = threading.Event()
    asyncio.get_running_loop().call_later(0.01, ticked.set)

    async def block() -> bool:
        return ticked.wait(30)

    assert await in_own_loop(block)
