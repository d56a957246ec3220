"""What the transcriber writes in the room's chat, as LiveKit's own components show it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from livekit import rtc
from livekit.agents.types import TOPIC_CHAT

logger = logging.getLogger("tallyroom.agent")


class Chat:
    """Writes into one room's chat; a message that cannot be sent is logged and given up."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room

    async def say(self, text: str, *, to: Collection[str] = ()) -> bool:
        """Write to everybody, or to those of these identities; whether it was sent."""
        if not self._room.isconnected():
            return False
        try:
            await self._room.local_participant.send_text(
                text,
                topic=TOPIC_CHAT,
                destination_identities=list(to) or None,
                # Not every client can read what is compressed.
                compress=False,
            )
        except (rtc.ConnectError, rtc.StreamError, ConnectionError, RuntimeError) as error:
            logger.warning("a chat message was not sent: %s", type(error).__name__)
            return False
        return True
