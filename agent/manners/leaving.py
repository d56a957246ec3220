"""When the transcriber leaves, and that it says so before.

It leaves when its time is up, with a warning in the chat, and when it has been alone for a while,
when there is nobody to be warned. Either way an attribute says when, for whoever watches the room.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from livekit import rtc

from ..chat import Chat

logger = logging.getLogger("tallyroom.agent")

LEAVES_AT_ATTRIBUTE = "tallyroom.leaves_at"
"""RFC 3339, UTC; not there while no end is in sight."""
WARNED_SECONDS = 60.0
WARNED_SHARE = 0.1
"""A short meeting is warned in its last tenth."""

TIME_IS_UP = "time is up"
EVERYONE_HAS_LEFT = "everyone has left"


class Leaving:
    """One job's end: `leave` is called once, with why."""

    def __init__(self, room: rtc.Room, chat: Chat, leave: Callable[[str], None]) -> None:
        self._room = room
        self._chat = chat
        self._leave = leave
        self._ends_at: datetime | None = None
        self._alone: asyncio.TimerHandle | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def limit(self, seconds: float) -> None:
        """The job may go on for so long from now."""
        self._ends_at = datetime.now(UTC) + timedelta(seconds=seconds)
        warned = min(WARNED_SECONDS, seconds * WARNED_SHARE)
        self._in(seconds - warned, lambda: self._start(self._warn(warned)))
        self._in(seconds, lambda: self._leave(TIME_IS_UP))
        self._show(self._ends_at)

    def alone(self, seconds: float) -> None:
        """Nobody is there any more: leave unless somebody comes within so long."""
        self.in_company()
        self._alone = asyncio.get_running_loop().call_later(
            seconds, lambda: self._leave(EVERYONE_HAS_LEFT)
        )
        ends_at = datetime.now(UTC) + timedelta(seconds=seconds)
        self._show(min(ends_at, self._ends_at or ends_at))

    def in_company(self) -> None:
        """Somebody is there."""
        if self._alone:
            self._alone.cancel()
            self._alone = None
            self._show(self._ends_at)

    def cancel(self) -> None:
        """The job ends; nothing more is said or done."""
        for timer in (*self._timers, *([self._alone] if self._alone else [])):
            timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _in(self, seconds: float, do: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, do))

    async def _warn(self, seconds: float) -> None:
        await self._chat.say(f"The transcription ends in {_spoken(seconds)}: its time is up.")

    def _show(self, at: datetime | None) -> None:
        self._start(self._set(at.isoformat(timespec="seconds") if at else ""))

    async def _set(self, value: str) -> None:
        if self._room.connection_state == rtc.ConnectionState.CONN_CONNECTED:
            await self._room.local_participant.set_attributes({LEAVES_AT_ATTRIBUTE: value})

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="tallyroom-leaving")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("nobody is told when the job ends: %s", type(error).__name__)


def _spoken(seconds: float) -> str:
    whole = max(1, round(seconds))
    return "a minute" if whole == 60 else f"{whole} second{'s' if whole != 1 else ''}"
