"""A job's limiter: who waits, what happens without a store, and what is given up for whom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from metering.control.stream_limiter import StreamLimiter
from metering.control.stream_limits import StreamLimits
from metering.control.stream_pool import Answer, Held, Lease, exchange
from metering.errors import LedgerError
from tests.waiting import until

PATIENCE_SECONDS = 10.0


class Pool:
    """A store that can be away or slow, with the clock of the loop."""

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.leases: dict[str, Lease] = {}
        self.asked = 0
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def exchange(self, holder: str, held: Sequence[Held]) -> Answer:
        self.asked += 1
        await self.answers.wait()
        if self.error:
            raise self.error
        now = asyncio.get_running_loop().time()
        return exchange(self.leases, self.limits, holder, held, now)

    def limiter(self, *, patience_seconds: float = 60.0) -> StreamLimiter:
        return StreamLimiter(
            "livekit", self.limits, exchange=self.exchange, patience_seconds=patience_seconds
        )


class Speakers:
    """Who holds or waits for a permit, in the order in which they got theirs."""

    def __init__(self, limiter: StreamLimiter) -> None:
        self.limiter = limiter
        self.opened: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def ask(self, *names: str) -> None:
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._speak(name))
            await asyncio.sleep(0)

    async def _speak(self, name: str) -> None:
        async with self.limiter.permit():
            self.opened.append(name)
            await self._ends[name].wait()

    def close(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()

    async def are_open(self, *names: str) -> None:
        await until(lambda: len(self.opened) >= len(names), timeout=PATIENCE_SECONDS)
        assert self.opened == list(names)

    def spare(self, name: str, told: list[str]) -> Callable[[], None]:
        def give_up() -> bool:
            told.append(name)
            is_open = name in self.opened
            self.close(name)
            return is_open

        return self.limiter.lend(give_up)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def speakers(stack: AsyncExitStack, limiter: StreamLimiter) -> Speakers:
    made = Speakers(limiter)

    async def end() -> None:
        for task in made.tasks.values():
            task.cancel()
        await asyncio.gather(*made.tasks.values(), return_exceptions=True)
        if limiter._pump:
            limiter._pump.cancel()

    stack.push_async_callback(end)
    return made


async def test_streams_open_in_the_order_of_asking(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(concurrent=2)).limiter())
    await people.ask("a", "b", "c", "d", "e")
    await people.are_open("a", "b")
    people.close("b")
    await people.are_open("a", "b", "c")
    people.close("c", "a")
    await people.are_open("a", "b", "c", "d", "e")


async def test_openings_wait_for_the_window(stack: AsyncExitStack) -> None:
    limits = StreamLimits(new_streams=2, window_seconds=0.4, arrival_seconds=0.1)
    people = speakers(stack, Pool(limits).limiter())
    loop = asyncio.get_running_loop()
    began = loop.time()
    await people.ask("a", "b", "c")
    await people.are_open("a", "b")
    people.close("a", "b")
    await people.are_open("a", "b", "c")
    assert loop.time() - began >= 0.5


async def test_whoever_stops_waiting_is_passed_over(stack: AsyncExitStack) -> None:
    pool = Pool(StreamLimits(concurrent=1))
    people = speakers(stack, pool.limiter())
    await people.ask("a", "b", "c")
    await people.are_open("a")
    people.tasks["b"].cancel()
    people.close("a")
    await people.are_open("a", "c")
    people.close("c")
    await until(lambda: not pool.leases, timeout=PATIENCE_SECONDS)


async def test_with_few_openings_left_it_is_short(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(new_streams=5)).limiter())
    for number, short in enumerate((False, False, False, True, True), 1):
        await people.ask(str(number))
        await people.are_open(*(str(name) for name in range(1, number + 1)))
        assert people.limiter.is_short() is short


async def test_with_room_for_no_more_at_once_it_is_not_short(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(new_streams=2, concurrent=1)).limiter())
    await people.ask("a")
    await people.are_open("a")
    assert people.limiter.is_short()
    await people.ask("b")
    await until(lambda: people.limiter._standing.wanted == 1, timeout=PATIENCE_SECONDS)
    assert not people.limiter.is_short()


async def test_who_waits_gets_the_stream_that_was_silent_longest(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(concurrent=3)).limiter())
    told: list[str] = []
    await people.ask("a", "b", "c")
    await people.are_open("a", "b", "c")
    people.spare("b", told)
    people.spare("a", told)
    await people.ask("d")
    await people.are_open("a", "b", "c", "d")
    assert told == ["b"]


async def test_a_stream_that_falls_silent_while_somebody_waits(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(concurrent=1)).limiter())
    told: list[str] = []
    await people.ask("a", "b")
    await until(lambda: people.limiter._standing.wanted == 1, timeout=PATIENCE_SECONDS)
    people.spare("a", told)
    await people.are_open("a", "b")
    assert told == ["a"]


async def test_who_speaks_again_keeps_the_stream(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(concurrent=2)).limiter())
    told: list[str] = []
    await people.ask("a", "b")
    await people.are_open("a", "b")
    take_back = people.spare("a", told)
    people.spare("b", told)
    take_back()
    await people.ask("c")
    await people.are_open("a", "b", "c")
    assert told == ["b"]


async def test_what_was_not_open_makes_no_room(stack: AsyncExitStack) -> None:
    people = speakers(stack, Pool(StreamLimits(concurrent=1)).limiter())
    told: list[str] = []
    await people.ask("a", "b", "c")
    await until(lambda: people.limiter._standing.wanted == 2, timeout=PATIENCE_SECONDS)
    # It was asked for and has fallen silent since: it is to be heard, and then to close.
    people.spare("b", told)
    people.spare("a", told)
    await people.are_open("a", "b", "c")
    assert told == ["b", "a"]


async def test_one_who_cannot_give_up_keeps_nobody_waiting(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    people = speakers(stack, Pool(StreamLimits(concurrent=2)).limiter())
    told: list[str] = []
    await people.ask("a", "b")
    await people.are_open("a", "b")

    def fails() -> bool:
        raise LookupError("alice")

    people.limiter.lend(fails)
    people.spare("b", told)
    await people.ask("c")
    await people.are_open("a", "b", "c")
    assert "a silent stream cannot be given up: LookupError" in caplog.messages


@pytest.mark.parametrize("error", [LedgerError("store x: gone"), RuntimeError("secret")])
async def test_without_the_store_a_job_keeps_to_the_limits_by_itself(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    pool = Pool(StreamLimits(concurrent=2))
    pool.error = error
    people = speakers(stack, pool.limiter())
    await people.ask("a", "b", "c")
    await people.are_open("a", "b")
    people.close("a")
    await people.are_open("a", "b", "c")
    said = "store x: gone" if isinstance(error, LedgerError) else "RuntimeError"
    assert caplog.messages == [
        f"the limits of livekit are kept by this job alone, not by all together: {said}"
    ]


async def test_a_store_that_hangs_lets_nobody_wait_for_it(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tallyroom.metering")
    pool = Pool(StreamLimits(concurrent=2))
    pool.answers.clear()
    people = speakers(stack, pool.limiter(patience_seconds=0.05))
    await people.ask("a", "b", "c")
    await people.are_open("a", "b")
    assert pool.asked == 1
    pool.answers.set()
    await until(lambda: len(pool.leases) == 3, timeout=PATIENCE_SECONDS)
    assert sum(lease.opened_at is not None for lease in pool.leases.values()) == 2
    await until(lambda: len(caplog.messages) == 2, timeout=PATIENCE_SECONDS)
    assert caplog.messages == [
        "the limits of livekit are kept by this job alone, not by all together: it is slow",
        "the limits of livekit are kept by all jobs together again",
    ]


async def test_what_was_opened_without_the_store_is_told_when_it_is_back(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metering.control.stream_limiter.HEARTBEAT_SECONDS", 0.0)
    pool = Pool(StreamLimits(new_streams=3))
    pool.error = LedgerError("gone")
    people = speakers(stack, pool.limiter())
    await people.ask("a", "b")
    await people.are_open("a", "b")
    people.close("a")
    pool.error = None
    await people.ask("c")
    await until(lambda: len(pool.leases) == 3, timeout=PATIENCE_SECONDS)
    other = pool.limiter()
    waiting = asyncio.create_task(other.permit().__aenter__())
    await until(lambda: other._standing.waiting == 1, timeout=PATIENCE_SECONDS)
    assert not waiting.done()
    waiting.cancel()
    if other._pump:
        other._pump.cancel()
