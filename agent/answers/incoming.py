"""What people write in the room's chat, as LiveKit's components send it, old and new.

https://docs.livekit.io/home/client/data/text-streams: a text stream on `lk.chat`. Before that it
was a data packet on `lk-chat-topic`; components that send both mark the packet to be ignored.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

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
    """Hands each chat message of a person to `on_message`, once; agents' are left alone."""

    def __init__(self, room: rtc.Room, on_message: Callable[[Written], None]) -> None:
        self._room = room
        self._on_message = on_message
        self._reading: set[asyncio.Task[None]] = set()
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
        if len(self._reading) < _MOST_READERS:
            self._start(self._read(reader, identity))

    def _start(self, reading: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(reading, name="tallyroom-chat")
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        parts: list[str] = []
        length = 0
        try:
            async with asyncio.timeout(_READING_SECONDS):
                async for part in reader:
                    if length <= MOST_CHARACTERS:
                        parts.append(part)
                        length += len(part)
        except (TimeoutError, rtc.StreamError):
            return
        self._take(identity, "".join(parts), reader.info.stream_id)

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
