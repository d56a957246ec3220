"""Captions to the room, in the form that LiveKit's own components show.

A caption is a text stream on `lk.transcription`, sent in the speaker's name. A new stream with the
same segment id replaces the text of the one before it; the last is marked final.

While a connection is being mended the SDK keeps whoever sends waiting. Whoever listens must not:
so captions stand in line, one line for each track, and of what is replaced while it waits only the
last is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass

from livekit import rtc
from livekit.agents.types import (
    ATTRIBUTE_TRANSCRIPTION_FINAL,
    ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID,
    ATTRIBUTE_TRANSCRIPTION_TRACK_ID,
    TOPIC_TRANSCRIPTION,
)

logger = logging.getLogger("tallyroom.agent")

SEND_SECONDS = 5.0
"""What was being sent as a connection broke may never be answered; the next does not wait."""
LAST_SECONDS = 3.0
"""How long the last captions of a job may take: who does not have them by then never will."""


_UNSENT = (rtc.ConnectError, rtc.StreamError, ConnectionError, RuntimeError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Caption:
    """What a speaker says, or has said, to be shown under their name."""

    segment_id: str
    speaker: str
    track_id: str
    text: str
    final: bool


class Captions:
    """Sends captions to one room; a caption that cannot be sent is logged and given up."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._lines: defaultdict[str, dict[str, Caption]] = defaultdict(dict)
        self._senders: dict[str, asyncio.Task[None]] = {}

    def show(self, caption: Caption) -> None:
        """Send it after what its track has in line, in place of what it replaces there."""
        self._lines[caption.track_id][caption.segment_id] = caption
        if caption.track_id not in self._senders:
            self._senders[caption.track_id] = asyncio.create_task(
                self._send_line(caption.track_id), name="tallyroom-captions"
            )

    async def close(self) -> None:
        """Send what is in line, as far as that is possible in `LAST_SECONDS`."""
        if not self._senders:
            return
        _, late = await asyncio.wait(list(self._senders.values()), timeout=LAST_SECONDS)
        for task in late:
            task.cancel()
        if late:
            logger.warning("not everybody's last captions could be sent")
            await asyncio.gather(*late, return_exceptions=True)

    async def _send_line(self, track_id: str) -> None:
        line = self._lines[track_id]
        try:
            while line:
                await self._send(line.pop(next(iter(line))))
        finally:
            del self._senders[track_id], self._lines[track_id]

    async def _send(self, caption: Caption) -> None:
        if not self._room.isconnected():
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await rtc.LocalParticipant.send_text(
                    _InTheirName(self._room.local_participant, caption.speaker),
                    caption.text,
                    topic=TOPIC_TRANSCRIPTION,
                    attributes={
                        ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: caption.segment_id,
                        ATTRIBUTE_TRANSCRIPTION_TRACK_ID: caption.track_id,
                        ATTRIBUTE_TRANSCRIPTION_FINAL: "true" if caption.final else "false",
                    },
                    # Not every client can read what is compressed.
                    compress=False,
                )
        except _UNSENT as error:
            logger.warning("a caption was not sent: %s", type(error).__name__)


class _InTheirName(rtc.LocalParticipant):
    """Sends as somebody else.

    `stream_text` can do that, too, but takes three calls across threads, where one is enough.
    """

    def __init__(self, sender: rtc.LocalParticipant, identity: str) -> None:
        self._ffi_handle = sender._ffi_handle
        self._identity = identity

    @property
    def identity(self) -> str:
        """Whose name it is."""
        return self._identity
