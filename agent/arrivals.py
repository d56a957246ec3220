"""Since when nothing has come from the server.

The SDK takes a network for dead after 15 s of it, and says nothing of one that is back before: what
people say in that time is lost as it is while the connection is mended. So what comes is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

from livekit import rtc

LOOK_SECONDS = 2.0
ANSWER_SECONDS = 2.0
STOPPED_SECONDS = 6.0
"""Where everybody is muted an answer to a STUN request comes every 2.5 s, and may be lost once."""
_STOPPED_LOOK_SECONDS = 0.5


class Traffic(NamedTuple):
    """What has come until now: when the newest packet, in milliseconds of the SDK's own clock, how
    long ago that was, in seconds, and how many STUN requests have been answered."""

    newest: float
    age: float
    answers: int


class Arrivals:
    """Of one room, looked at from `watch` until `close`.

    Args:
        room: connected when the watch begins.
        now: seconds since the job has joined.
        on_look: called at each look with the time since which nothing has come, None while it does.
    """

    def __init__(
        self,
        room: rtc.Room,
        *,
        now: Callable[[], float],
        on_look: Callable[[float | None], None],
    ) -> None:
        self._room = room
        self._now = now
        self._on_look = on_look
        self._seen: Traffic | None = None
        self._looked_at = 0.0
        self._last_at = 0.0
        self._watching: asyncio.Task[None] | None = None

    @property
    def stopped_at(self) -> float | None:
        """When the last packet has come, where that is too long ago; None while they come.

        A connection that has never had anything to say of itself has stopped with nothing.
        """
        has_stopped = self._seen and self._looked_at - self._last_at >= STOPPED_SECONDS
        return self._last_at if has_stopped else None

    def watch(self) -> None:
        """Look now and then."""
        self._looked_at = self._last_at = self._now()
        self._watching = asyncio.create_task(self._watch(), name="tallyroom-arrivals")

    def close(self) -> None:
        """Look no more."""
        if self._watching:
            self._watching.cancel()

    def see(self, came: Traffic | None) -> None:
        """What has come until now; None where the connection has nothing to say of itself."""
        at = self._now()
        if came and self._is_newer(came):
            # An answer came somewhen since the last look, of a packet it is known.
            self._last_at = max(self._looked_at, at - came.age)
        self._seen = came or self._seen
        self._looked_at = at

    def _is_newer(self, came: Traffic) -> bool:
        return (
            self._seen is None
            or came.newest > self._seen.newest
            or came.answers > self._seen.answers
        )

    async def _watch(self) -> None:
        while True:
            has_stopped = self.stopped_at is not None
            await asyncio.sleep(_STOPPED_LOOK_SECONDS if has_stopped else LOOK_SECONDS)
            self.see(await self._look())
            self._on_look(self.stopped_at)

    async def _look(self) -> Traffic | None:
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(ANSWER_SECONDS):
                stats = await self._room.get_rtc_stats()
            return traffic(chain(stats.publisher_stats, stats.subscriber_stats))
        return None


def traffic(stats: Iterable[Any]) -> Traffic | None:
    """What the statistics of a connection say has come, over the paths that audio takes.

    Another path may still be answered where theirs is dead.
    """
    pairs = [
        item.candidate_pair
        for item in stats
        if item.WhichOneof("stats") == "candidate_pair"
        and item.candidate_pair.candidate_pair.packets_received
    ]
    if not pairs:
        return None
    newest = max(pair.candidate_pair.last_packet_received_timestamp for pair in pairs)
    looked_at = max(pair.rtc.timestamp for pair in pairs) / 1000  # of microseconds
    answers = sum(pair.candidate_pair.responses_received for pair in pairs)
    return Traffic(newest, max(0.0, looked_at - newest) / 1000, answers)
