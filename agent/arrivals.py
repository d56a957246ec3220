"""When something has come from the server.

The SDK takes a network for dead after 15 s of it, and says nothing of one that is back before: what
people say in that time is lost as it is while the connection is mended. And where only signalling
is lost, it mends a connection whose audio has never stopped. So what comes is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from livekit import rtc

logger = logging.getLogger("tallyroom.agent")

LOOK_SECONDS = 2.0
QUIET_LOOK_SECONDS = 1.0
QUIET_SECONDS = 1.0
ANSWER_SECONDS = 2.0


class Traffic(NamedTuple):
    """What has come until now: when the newest packet, in milliseconds of the SDK's own clock, how
    long ago that was, in seconds, and how many STUN requests have been answered.

    Where everybody is muted, an answer comes every 2.5 s and little else.
    """

    newest: float
    age: float
    answers: int


class Arrivals:
    """Of one room, looked at from `watch` until `close`.

    Args:
        room: connected when the watch begins.
        now: seconds since the job has joined.
        on_quiet: called when something comes after nothing had for more than a second, with when
            the last had come, and when that was last seen to be so; in seconds as `now`.

    Attributes:
        last_at: when the newest has come; None as long as the connection has said nothing of it.
        looked_at: when the connection has last said what has come.
    """

    def __init__(
        self,
        room: rtc.Room,
        *,
        now: Callable[[], float],
        on_quiet: Callable[[float, float], None],
    ) -> None:
        self.last_at: float | None = None
        self.looked_at = 0.0
        self._room = room
        self._now = now
        self._on_quiet = on_quiet
        self._seen: Traffic | None = None
        self._is_wanted = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Look now and then."""
        self._watching = asyncio.create_task(self._watch(), name="tallyroom-arrivals")

    def look(self) -> None:
        """Look now: something has happened."""
        self._is_wanted.set()

    def close(self) -> None:
        """Look no more."""
        if self._watching:
            self._watching.cancel()

    def see(self, came: Traffic | None) -> None:
        """What has come until now; None where there is no path at all."""
        at = self._now()
        if came:
            self._take(came, at)
            self._seen = came
        self.looked_at = at

    def _take(self, came: Traffic, at: float) -> None:
        if self._seen is None or self.last_at is None:
            self.last_at = at
            return
        newest = self.last_at
        if came.newest > self._seen.newest:
            newest = max(newest, at - came.age)
        if came.answers > self._seen.answers:
            # Somewhen since the last look, which is all that is known of it.
            newest = max(newest, self.looked_at)
        if newest > self.last_at:
            last_at, self.last_at = self.last_at, newest
            if self.looked_at - last_at > QUIET_SECONDS:
                self._on_quiet(last_at, self.looked_at)

    async def _watch(self) -> None:
        while True:
            is_quiet = self.last_at is not None and self.looked_at - self.last_at > QUIET_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_LOOK_SECONDS if is_quiet else LOOK_SECONDS):
                    await self._is_wanted.wait()
            self._is_wanted.clear()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    stats = await self._room.get_rtc_stats()
                came = traffic(stats.subscriber_stats) or traffic(stats.publisher_stats)
            except Exception as error:
                # Of a room that is left, for one. To have no answer says nothing of what comes.
                logger.debug("the connection does not say what comes: %s", type(error).__name__)
                continue
            self.see(came)


def traffic(stats: Iterable[Any]) -> Traffic | None:
    """What the statistics of a peer connection say has come, over the paths that audio takes.

    Another path may still be answered where theirs is dead.
    """
    pairs = [item.candidate_pair for item in stats if item.WhichOneof("stats") == "candidate_pair"]
    used = [
        pair
        for pair in pairs
        if pair.candidate_pair.packets_received or pair.candidate_pair.nominated
    ]
    if not used:
        return None
    newest = max(pair.candidate_pair.last_packet_received_timestamp for pair in used)
    looked_at = max(pair.rtc.timestamp for pair in used) / 1000  # of microseconds
    answers = sum(pair.candidate_pair.responses_received for pair in used)
    return Traffic(newest, max(0.0, looked_at - newest) / 1000, answers)
