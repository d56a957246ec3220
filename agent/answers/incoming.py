"""What people write in the room's chat, as LiveKit's components send it, old and new.

https://docs.livekit.io/home/client/data/text-streams: a text stream on `lk.chat`. Before that it
was a data packet on `lk-chat-topic`; components that send both mark the packet to be ignored.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from livekit import rtc
from livekit.agents.types import TOPIC_CHAT

from ..people import HEARD_KINDS

logger = logging.getLogger("tallyroom.agent")

LEGACY_TOPIC = "lk-chat-topic"
MOST_CHARACTERS = 2000
_READING_SECONDS = 10.0
_MOST_READERS = 50
"""Messages that are being received at once; whoever sends more waits for nothing here."""
_REMEMBERED = 200


class Written(NamedTuple):
    """A chat message of a person's; `text` is cut after `MOST_CHARACTERS`, and then `is_long`."""

    participant: rtc.RemoteParticipant
    text: str
    is_long: bool


class IncomingChat:
    """Hands each chat message of a person to `on_message`, once; agents' are left alone.

    The SDK delivers streams side by side: a message can be complete before the one that its sender
    began before it. It waits for that one, and for nobody else's.
    """

    def __init__(self, room: rtc.Room, on_message: Callable[[Written], None]) -> None:
        self._room = room
        self._on_message = on_message
        self._reading: set[asyncio.Task[None]] = set()
        self._last_begun: dict[str, asyncio.Task[None]] = {}
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)

    def open(self) -> None:
        """Begin to listen.

        Raises:
            ValueError: somebody else reads the room's chat.
        """
        self._room.register_text_stream_handler(TOPIC_CHAT, self._on_stream)
        self._room.on("data_received", self._on_packet)

    async def aclose(self) -> None:
        """Stop listening."""
        self._room.unregister_text_stream_handler(TOPIC_CHAT)
        self._room.off("data_received", self._on_packet)
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    def _on_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if len(self._reading) >= _MOST_READERS:
            reader.close()
            return
        earlier = self._last_begun.get(identity)
        task = asyncio.create_task(self._read(reader, identity, earlier), name="tallyroom-chat")
        self._reading.add(task)
        self._last_begun[identity] = task
        task.add_done_callback(partial(self._on_read, identity))

    def _on_read(self, identity: str, task: asyncio.Task[None]) -> None:
        self._reading.discard(task)
        if self._last_begun.get(identity) is task:
            del self._last_begun[identity]

    async def _read(
        self, reader: rtc.TextStreamReader, identity: str, earlier: asyncio.Task[None] | None
    ) -> None:
        text = await self._text_of(reader)
        if earlier:
            await asyncio.wait({earlier})
        if text is not None:
            self._take(identity, text, reader.info.stream_id)

    async def _text_of(self, reader: rtc.TextStreamReader) -> str | None:
        """As much of it as counts; None where it does not come to its end."""
        parts: list[str] = []
        length = 0
        try:
            async with asyncio.timeout(_READING_SECONDS):
                async for part in reader:
                    if length <= MOST_CHARACTERS:
                        parts.append(part)
                        length += len(part)
        except (TimeoutError, rtc.StreamError):
            return None
        finally:
            # Otherwise the SDK keeps one that was given up for as long as the process lives.
            reader.close()
        return "".join(parts)

    def _on_packet(self, packet: rtc.DataPacket) -> None:
        if packet.topic != LEGACY_TOPIC or packet.participant is None:
            return
        try:
            message = json.loads(packet.data)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict) or message.get("ignoreLegacy") is True:
            return
        text = message.get("message")
        if isinstance(text, str):
            self._take(packet.participant.identity, text, str(message.get("id", "")))

    def _take(self, identity: str, text: str, message_id: str) -> None:
        participant = self._room.remote_participants.get(identity)
        if participant is None or participant.kind not in HEARD_KINDS:
            return
        if message_id:
            # An id is its sender's own: nobody else's message can be kept out by it.
            known = f"{identity}/{message_id[:100]}"
            if known in self._seen:
                return
            self._seen.append(known)
        is_long = len(text) > MOST_CHARACTERS
        self._on_message(Written(participant, text[:MOST_CHARACTERS], is_long))
