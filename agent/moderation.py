"""A separate pass over the words: a hook of the owner's that gets every final segment, in order.

    TALLYROOM_MODERATION=my_package.moderation:moderate

    async def moderate(meeting: Meeting, segment: Segment) -> Flag | None: ...

Captions and transcript never wait for it, and are never changed by it. What it flags is written
beside the transcript; what else it does, such as to tell somebody, is its own.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModerationError
from .observers import MeetingObserver
from .segments import Meeting, Segment

logger = logging.getLogger("tallyroom.agent")

MODERATION = "moderation.jsonl"
HOOK_SECONDS = 10.0
"""A hook that takes longer for a segment is given up for that segment."""
LAST_SECONDS = 60.0
"""How long the segments that wait at the end may take together."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Something about a segment that somebody should look at; `score` is from 0 to 1."""

    reason: str
    score: float = 1.0


Moderate = Callable[[Meeting, Segment], Awaitable[Flag | None]]


def load_hook(name: str) -> Moderate:
    """The hook that the setting names as `package.module:function`.

    Raises:
        ModerationError: it cannot be imported, or is no coroutine function.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise ModerationError(f"TALLYROOM_MODERATION={name!r} is not package.module:function")
    try:
        hook: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ModerationError(f"TALLYROOM_MODERATION={name!r}: {error}") from None
    if not asyncio.iscoroutinefunction(hook):
        raise ModerationError(f"TALLYROOM_MODERATION={name!r} is no `async def`")
    moderate: Moderate = hook
    return moderate


class Moderation(MeetingObserver):
    """Gives each segment of a meeting to a hook; `folder` is the transcript's."""

    def __init__(self, hook: Moderate, folder: Path, *, hook_seconds: float = HOOK_SECONDS) -> None:
        self._hook = hook
        self._path = folder / MODERATION
        self._hook_seconds = hook_seconds
        self._meeting: Meeting | None = None
        self._waiting: asyncio.Queue[Segment | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        """What an earlier run wrote down was its to moderate."""
        self._meeting = meeting
        self._task = asyncio.create_task(self._run(meeting), name="tallyroom-moderation")

    def on_segment(self, segment: Segment) -> None:
        """Its turn comes."""
        self._waiting.put_nowait(segment)

    async def on_end(self) -> None:
        """Have the rest looked at."""
        if not self._task:
            return
        self._waiting.put_nowait(None)
        _, late = await asyncio.wait({self._task}, timeout=LAST_SECONDS)
        if late:
            self._task.cancel()
            logger.error("%d segments were not moderated in time", self._waiting.qsize())

    async def _run(self, meeting: Meeting) -> None:
        while (segment := await self._waiting.get()) is not None:
            try:
                async with asyncio.timeout(self._hook_seconds):
                    flag = await self._hook(meeting, segment)
                if flag is not None:
                    await asyncio.to_thread(self._write, segment, flag)
            except Exception as error:
                # By its kind only: the hook is a stranger's, and its message can have words in it.
                logger.error("a segment was not moderated: %s", type(error).__name__)

    def _write(self, segment: Segment, flag: Flag) -> None:
        entry = {"segment_id": segment.segment_id, "reason": flag.reason, "score": flag.score}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
