"""Captions to the room, in the form that LiveKit's own components show.

A caption is a text stream on `lk.transcription`, sent in the speaker's name. A new stream with the
same segment id replaces the text of the one before it; the last is marked final.
"""

from __future__ import annotations

import logging

from livekit import rtc
from livekit.agents.types import (
    ATTRIBUTE_TRANSCRIPTION_FINAL,
    ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID,
    ATTRIBUTE_TRANSCRIPTION_TRACK_ID,
    TOPIC_TRANSCRIPTION,
)

logger = logging.getLogger("tallyroom.agent")


class Captions:
    """Sends captions to one room; a caption that cannot be sent is logged and given up."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room

    async def publish(
        self, *, segment_id: str, speaker: str, track_id: str, text: str, final: bool
    ) -> None:
        """Show what a speaker says, or has said, under their name."""
        if not self._room.isconnected():
            return
        try:
            await rtc.LocalParticipant.send_text(
                _InTheirName(self._room.local_participant, speaker),
                text,
                topic=TOPIC_TRANSCRIPTION,
                attributes={
                    ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: segment_id,
                    ATTRIBUTE_TRANSCRIPTION_TRACK_ID: track_id,
                    ATTRIBUTE_TRANSCRIPTION_FINAL: "true" if final else "false",
                },
                # Not every client can read what is compressed.
                compress=False,
            )
        except (rtc.ConnectError, rtc.StreamError, ConnectionError, RuntimeError) as error:
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
