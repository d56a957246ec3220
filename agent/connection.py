"""Whether what a job sees of its room is what the server has of it, and when that is given up.

The SDK mends a connection by itself, and nearly always can. Where it cannot, or does not, nobody
is told. So whenever the connection is away, and when everybody has gone, the server is asked
whether people are there. What was not heard is known by what has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from livekit import rtc

from .arrivals import Arrivals

logger = logging.getLogger("tallyroom.agent")

AWAY_SECONDS = 2.0
"""A connection that is back within a moment loses no audio: it was on its way."""
SILENT_SECONDS = 6.0
"""Nothing comes for so long only where the network is gone: STUN is answered every 2.5 s."""
CUT_OFF_SECONDS = 20.0
"""The server ends the job of an agent that it has lost when it can tell its worker again."""

_ENDED = frozenset(
    {
        rtc.DisconnectReason.CLIENT_INITIATED,
        rtc.DisconnectReason.DUPLICATE_IDENTITY,
        rtc.DisconnectReason.PARTICIPANT_REMOVED,
        rtc.DisconnectReason.ROOM_DELETED,
        rtc.DisconnectReason.ROOM_CLOSED,
    }
)
"""Somebody wanted it to end, or the same job runs again; else the meeting may go on without us."""

UntilGivenUp = Callable[[], Coroutine[Any, Any, None]]


class Connection:
    """One job's, from the moment it is made.

    Args:
        room: whose connection it is.
        now: seconds since the job has joined.
        until_given_up: returns once people have been there, by the server's account, for a while.
        on_back: called each time it is back.
        on_gap: from when to when nothing was heard, in seconds since the job has joined.
        on_given_up: called once, if ever.
    """

    def __init__(
        self,
        room: rtc.Room,
        *,
        now: Callable[[], float],
        until_given_up: UntilGivenUp | None,
        on_back: Callable[[], None],
        on_gap: Callable[[float, float], None],
        on_given_up: Callable[[], None],
    ) -> None:
        self._now = now
        self._until_given_up = until_given_up
        self._on_back = on_back
        self._on_gap = on_gap
        self._on_given_up = on_given_up
        self._away_since: float | None = None
        self._back_at: float | None = None
        self._left = asyncio.Event()
        self._left_because: int | None = None
        self._was_unsettled: bool | None = None
        self._doubting: asyncio.Task[None] | None = None
        self._is_given_up = False
        self._is_closed = False
        self._arrivals = Arrivals(room, now=now, on_quiet=self._on_quiet)
        room.on("reconnecting", self._on_reconnecting)
        room.on("reconnected", self._on_reconnected)
        room.on("disconnected", self._on_disconnected)

    @property
    def is_away(self) -> bool:
        """Whether it is being mended."""
        return self._away_since is not None

    @property
    def is_lost(self) -> bool:
        """Whether people may be there whom a job that ends now could not hear to the end."""
        if self._is_given_up:
            return True
        if self._left_because is not None:
            return self._left_because not in _ENDED
        return self._is_unsettled if self._was_unsettled is None else self._was_unsettled

    @property
    def _is_unsettled(self) -> bool:
        if self.is_away:
            return True
        return self._back_at is not None and self._now() - self._back_at < CUT_OFF_SECONDS

    def watch(self) -> None:
        """The room is joined: see from now on what comes."""
        self._arrivals.watch()

    async def until_disconnected(self, seconds: float) -> None:
        """Return once the SDK has said that the room is left, or after so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), seconds)

    def doubt(self) -> None:
        """Nobody is seen any more: that may not be what the server has."""
        if self._until_given_up and self._doubting is None and self._was_unsettled is None:
            self._doubting = asyncio.create_task(
                self._give_up(self._until_given_up), name="tallyroom-doubt"
            )

    def trust(self) -> None:
        """Somebody is seen who has just come."""
        if not self.is_away:
            self._stop_doubting()

    def end(self) -> None:
        """The job ends: how things stand now is how they stand, but for why the room is left."""
        if self._was_unsettled is None:
            self._was_unsettled = self._is_unsettled
        self._stop_doubting()

    def close(self) -> None:
        """Nothing more is heard; what has not come until now is a gap until now."""
        self.end()
        self._close_gap()

    async def _give_up(self, until_given_up: UntilGivenUp) -> None:
        try:
            await until_given_up()
        except Exception as error:
            # Whatever it is: the meeting is heard as far as it can be.
            logger.error("the server cannot be asked who is there: %s", type(error).__name__)
            self._doubting = None
            return
        logger.error("people are there whom we do not see: another transcriber is to take over")
        self._is_given_up = True
        self._on_given_up()

    def _stop_doubting(self) -> None:
        if self._doubting:
            self._doubting.cancel()
            self._doubting = None

    def _on_reconnecting(self) -> None:
        if self._away_since is None and self._was_unsettled is None:
            self._away_since = self._now()
            self._arrivals.look()
            self.doubt()

    def _on_reconnected(self) -> None:
        self._arrivals.look()
        if self._was_unsettled is not None:
            return
        away_since, self._away_since = self._away_since, None
        self._stop_doubting()
        self._back_at = self._now()
        if away_since is not None:
            if self._arrivals.last_at is None:
                self._tell_gap(away_since, self._back_at, AWAY_SECONDS)
            self._on_back()

    def _on_disconnected(self, reason: int) -> None:
        self._left_because = reason
        if reason in _ENDED:
            self._close_gap()
        self._left.set()

    def _on_quiet(self, since: float, until: float) -> None:
        was_away = self.is_away or (self._back_at is not None and self._back_at >= since)
        self._tell_gap(since, until, AWAY_SECONDS if was_away else SILENT_SECONDS)

    def _close_gap(self) -> None:
        """Of what has not come until now nobody knows when it would have."""
        if self._is_closed:
            return
        self._is_closed = True
        self._arrivals.close()
        last_at = self._arrivals.last_at
        if self._away_since is not None:
            since = self._away_since if last_at is None else last_at
            self._tell_gap(since, self._now(), AWAY_SECONDS)
        elif last_at is not None:
            self._on_quiet(last_at, self._arrivals.looked_at)

    def _tell_gap(self, since: float, until: float, at_least: float) -> None:
        if until - since >= at_least:
            self._on_gap(since, until)
