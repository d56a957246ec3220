"""What a job opens its STT streams through where their provider limits them.

Whoever must wait is heard later: the audio is kept meanwhile by whoever asks for a stream. All jobs
that share a store share the limits. Where the store does not answer, a job keeps to them by itself:
speech never waits for a database.

SQL comes into the process with the first limiter that is prepared, and with none where nothing is
limited; each exchange with the store has a thread and an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import MeteringError
from ..own_loop import in_own_loop
from ..settings import MeterSettings
from .stream_limits import StreamLimits
from .stream_pool import HEARTBEAT_SECONDS, LEASE_SECONDS, POLL_SECONDS, Answer, Held, exchange

logger = logging.getLogger("tallyroom.metering")

PATIENCE_SECONDS = 3.0
"""How long a speaker's stream waits for the store before the job decides by itself."""

_STORE = f"{__package__}.stream_leases"

GiveUp = Callable[[], bool]
Exchange = Callable[[str, Sequence[Held]], Coroutine[Any, Any, Answer]]
"""Takes a holder's id and what it holds to the pool, and returns its answer."""

_ExchangeInStore = Callable[
    [str, str, StreamLimits, str, Sequence[Held]], Coroutine[Any, Any, Answer]
]


@dataclass(eq=False, slots=True)
class _Stream:
    """One stream of this job; times are on its clock."""

    lease_id: str
    asked_at: float
    granted: asyncio.Future[None]
    opened_at: float | None = None
    released_at: float | None = None
    is_release_known: bool = False

    @property
    def waits(self) -> bool:
        return self.opened_at is None and self.released_at is None

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None and self.released_at is None

    def said(self, now: float) -> Held:
        return Held(
            self.lease_id,
            now - self.asked_at,
            None if self.opened_at is None else now - self.opened_at,
            None if self.released_at is None else now - self.released_at,
        )


@dataclass(eq=False, slots=True)
class _Standing:
    """The pool as it last was; `openings` are times on this job's clock."""

    openings: list[float] = field(default_factory=list)
    waiting: int = 0
    wanted: int = 0


class StreamLimiter:
    """One job's way to one provider's streams.

    `holder` tells the job from others, such as its run's id. `exchange` is how the pool is asked,
    by default through the store of `settings`; `clock` counts seconds.
    """

    def __init__(
        self,
        provider: str,
        limits: StreamLimits,
        *,
        holder: str = "",
        settings: MeterSettings | None = None,
        exchange: Exchange | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._provider = provider
        self._limits = limits
        self._holder = holder or uuid.uuid4().hex
        self._settings = settings
        self._exchange = exchange or self._exchange_in_store
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._streams: dict[str, _Stream] = {}
        self._number = 0
        self._spare: dict[object, GiveUp] = {}
        self._given_up = 0
        self._standing = _Standing()
        self._changed = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Answer] | None = None
        self._asked_at = 0.0
        self._store_is_away = False

    @staticmethod
    def prepare() -> None:
        """Import what reaches the store, while nobody waits; blocks for half a second."""
        importlib.import_module(_STORE)

    @contextlib.asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """A block in which one stream may be open; entering it waits, in the order of asking."""
        stream = self._ask()
        try:
            await stream.granted
            yield
        finally:
            self._release(stream)

    def is_short(self) -> bool:
        """Whether openings are so few that an open stream is better held than closed.

        Not where what is short is room for more at once: then it is better closed.
        """
        limit = self._limits.new_streams
        if limit is None or self._is_wanted():
            return False
        since = self._clock() - self._limits.counted_seconds
        used = sum(opened_at > since for opened_at in self._standing.openings)
        return limit - used < max(self._standing.waiting, min(2, limit))

    def lend(self, give_up: GiveUp) -> Callable[[], None]:
        """Nobody speaks into a stream for now: `give_up` may be called, once, to have it closed.

        It returns whether that will make room. Returns what to call when it is needed again.
        """
        key = object()
        self._spare[key] = give_up
        if self._is_wanted():
            asyncio.get_running_loop().call_soon(self._give_up_spare)
        elif self._limits.concurrent is not None:
            self._wake()
        return lambda: self._take_back(key)

    def _take_back(self, key: object) -> None:
        self._spare.pop(key, None)

    def _is_wanted(self) -> bool:
        return self._standing.wanted > self._given_up

    def _give_up_spare(self) -> None:
        while self._spare and self._is_wanted():
            give_up = self._spare.pop(next(iter(self._spare)))
            try:
                makes_room = give_up()
            except Exception as error:
                # Whoever waits here is to be answered all the same.
                logger.error("a silent stream cannot be given up: %s", type(error).__name__)
                continue
            if makes_room:
                self._given_up += 1

    def _ask(self) -> _Stream:
        self._number += 1
        stream = _Stream(
            f"{self._holder}-{self._number:06d}",
            self._clock(),
            asyncio.get_running_loop().create_future(),
        )
        self._streams[stream.lease_id] = stream
        self._wake()
        return stream

    def _release(self, stream: _Stream) -> None:
        stream.released_at = self._clock()
        if stream.opened_at is not None and self._given_up:
            self._given_up -= 1
            self._standing.wanted -= 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(
                self._run(), name="tallyroom-stream-limits"
            )

    async def _run(self) -> None:
        """Speak to the pool for as long as there is anything to say."""
        while self._has_something_to_say():
            self._changed.clear()
            answer = await self._answer()
            self._take(answer)
            if not self._has_something_to_say():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause(answer)):
                    await self._changed.wait()

    def _has_something_to_say(self) -> bool:
        now = self._clock()
        for stream in list(self._streams.values()):
            if stream.released_at is None:
                continue
            # A store that is not told by then finds out by itself.
            known = stream.is_release_known or now - stream.released_at > LEASE_SECONDS
            opened_at = stream.opened_at
            if known and (opened_at is None or now - opened_at > self._limits.counted_seconds):
                del self._streams[stream.lease_id]
        return any(
            stream.released_at is None
            or not (stream.is_release_known or now - stream.released_at > LEASE_SECONDS)
            for stream in self._streams.values()
        )

    def _pause(self, answer: Answer) -> float:
        if self._spare and self._limits.concurrent is not None:
            # Another job may need the room that a silent stream of this one takes up.
            return min(answer.ask_again, 2 * POLL_SECONDS)
        return answer.ask_again

    def _take(self, answer: Answer) -> None:
        now = self._clock()
        self._standing = _Standing(
            [now - seconds for seconds in answer.openings], answer.waiting, answer.wanted
        )
        for lease_id in answer.granted:
            stream = self._streams.get(lease_id)
            # Whoever has gone meanwhile has left word of it, and the pool is told next.
            if stream and stream.waits:
                stream.opened_at = now
                if not stream.granted.done():
                    stream.granted.set_result(None)
        self._give_up_spare()

    async def _answer(self) -> Answer:
        """Of the store, or, where it is slow or away, of this job alone."""
        now = self._clock()
        if self._asking and not self._asking.done():
            return self._alone()
        if self._store_is_away and now - self._asked_at < HEARTBEAT_SECONDS:
            return self._alone()
        released = [one for one in self._streams.values() if one.released_at is not None]
        held = [one.said(now) for one in self._streams.values()]
        asking = asyncio.create_task(self._exchange(self._holder, held), name="tallyroom-streams")
        self._asking, self._asked_at = asking, now
        await asyncio.wait({asking}, timeout=0.0 if self._store_is_away else self._patience_seconds)
        if not asking.done():
            # Once it is there it is out of date; what it brings is that the store answers.
            asking.add_done_callback(self._on_late_answer)
            self._complain("it is slow")
            return self._alone()
        try:
            answer = asking.result()
        except Exception as error:
            # Whatever a driver raises: nobody waits for it in vain.
            self._complain(str(error) if isinstance(error, MeteringError) else type(error).__name__)
            return self._alone()
        self._is_back()
        for stream in released:
            stream.is_release_known = True
        return answer

    def _alone(self) -> Answer:
        now = self._clock()
        held = [one.said(now) for one in self._streams.values()]
        return exchange({}, self._limits, self._holder, held, now)

    def _on_late_answer(self, asking: asyncio.Task[Answer]) -> None:
        if not asking.cancelled() and asking.exception() is None:
            self._is_back()
            self._wake()

    def _complain(self, what: str) -> None:
        if not self._store_is_away:
            self._store_is_away = True
            logger.error(
                "the limits of %s are kept by this job alone, not by all together: %s",
                self._provider,
                what,
            )

    def _is_back(self) -> None:
        if self._store_is_away:
            self._store_is_away = False
            logger.warning("the limits of %s are kept by all jobs together again", self._provider)

    async def _exchange_in_store(self, holder: str, held: Sequence[Held]) -> Answer:
        settings = self._settings or MeterSettings.load()
        # On a thread: where nothing was prepared this takes half a second.
        module = await asyncio.to_thread(importlib.import_module, _STORE)
        exchange_in_store: _ExchangeInStore = module.exchange_in_store
        return await in_own_loop(
            lambda: exchange_in_store(
                settings.ledger_url, self._provider, self._limits, holder, held
            )
        )
