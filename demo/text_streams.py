"""Text streams of a room, read side by side and handed on in the order in which they were begun.

The SDK reads each in a task of its own: a message can be complete before the one that was begun
before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from livekit import rtc


@dataclass(frozen=True)
class TextStream:
    """A complete text stream; `received_at` is on the monotonic clock, in seconds, at its end."""

    sender_identity: str
    text: str
    attributes: Mapping[str, str]
    received_at: float


class TextStreams:
    """Reads the streams of one topic, and calls `on_stream` with each that is complete."""

    def __init__(self, on_stream: Callable[[TextStream], None]) -> None:
        self._on_stream = on_stream
        self._last_begun: asyncio.Task[None] | None = None

    def begin(self, reader: rtc.TextStreamReader, sender_identity: str) -> None:
        """Read one; to be registered as the topic's handler."""
        self._last_begun = asyncio.create_task(
            self._read(reader, sender_identity, self._last_begun)
        )

    async def wait(self) -> None:
        """Until all that were begun are over."""
        if self._last_begun:
            await asyncio.wait({self._last_begun})

    async def _read(
        self, reader: rtc.TextStreamReader, sender_identity: str, earlier: asyncio.Task[None] | None
    ) -> None:
        read = None
        # What is cut short, by leaving or by whoever sent it, was not said.
        with contextlib.suppress(rtc.StreamError):
            text = await reader.read_all()
            attributes = reader.info.attributes or {}
            read = TextStream(sender_identity, text, attributes, time.monotonic())
        if earlier:
            await asyncio.wait({earlier})
        if read:
            self._on_stream(read)
