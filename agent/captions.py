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
            writer = await self._room.local_participant.stream_text(
                topic=TOPIC_TRANSCRIPTION,
                sender_identity=speaker,
                attributes={
                    ATTRIBUTE_TRANSCRIPTION_SEGMENT_ID: segment_id,
                    ATTRIBUTE_TRANSCRIPTION_TRACK_ID: track_id,
                    ATTRIBUTE_TRANSCRIPTION_FINAL: "true" if final else "false",
                },
            )
            await writer.write(text)
            await writer.aclose()
        except (rtc.ConnectError, ConnectionError, RuntimeError) as error:
            logger.warning("a caption was not sent: %s", type(error).__name__)
