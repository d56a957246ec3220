"""What every local speech-to-text provider shares: sockets, and a ledger of them.

What one says it heard is how much speech there was, so that no transcript is canned.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from .server import Fault, ProviderServer

_SPEECH_LOUDNESS = 200.0

TURN_LANGUAGES = ("de", "en")
"""What the two speak who are heard by turns, where a provider is asked to find out."""


@dataclass(kw_only=True, eq=False)
class BilledConnection:
    """One connection as the provider has it in its ledger; times are monotonic seconds."""

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    query: dict[str, str]
    fault: Fault
    opened_at: float
    closed_at: float | None = None
    bytes_per_second: int
    audio_bytes: int = 0
    speech_bytes: int = 0
    finals: int = 0
    asked: dict[str, list[str]] = field(default_factory=dict)
    """The query with all of its values; `query` has the last of each."""
    session: dict[str, Any] = field(default_factory=dict)
    """What the client's first message asks for, where that is how it asks."""

    @property
    def connection_seconds(self) -> float:
        assert self.closed_at is not None, "the connection is still open"
        return self.closed_at - self.opened_at

    @property
    def audio_seconds(self) -> Fraction:
        return Fraction(self.audio_bytes, self.bytes_per_second)

    def heard(self) -> float:
        """Take the speech since the last time, in seconds."""
        seconds = self.speech_bytes / self.bytes_per_second
        self.speech_bytes = 0
        self.finals += bool(seconds)
        return seconds

    @property
    def turn(self) -> int:
        """0 or 1, by turns, of the final that is being said: two people in two languages."""
        return (self.finals - 1) % 2

    def listen(self, audio: bytes) -> None:
        self.audio_bytes += len(audio)
        if is_speech(audio):
            self.speech_bytes += len(audio)


class Conversation:
    """One socket of a provider's; a provider says how it begins and answers."""

    def __init__(self, socket: web.WebSocketResponse, billed: BilledConnection) -> None:
        self.socket = socket
        self.billed = billed

    async def say(self, **message: Any) -> None:
        for _ in range(2 if self.billed.fault.twice else 1):
            await self.socket.send_json(message)

    async def begin(self) -> None:
        """After the handshake."""

    async def hear(self, audio: bytes) -> None:
        self.billed.listen(audio)

    async def answer(self, message: Mapping[str, Any]) -> bool:
        """Answer a text message; True ends the conversation."""
        raise NotImplementedError


class SpeechServer(ProviderServer):
    """A speech-to-text provider on loopback; `connections` is its bill."""

    path = ""
    conversation: Callable[[web.WebSocketResponse, BilledConnection], Conversation]

    def __init__(self, *, api_key: str = "key") -> None:
        super().__init__()
        self.api_key = api_key
        self.connections: list[BilledConnection] = []
        self.drop_after_bytes: int | None = None
        """The next connection is cut, without a close handshake, once it has sent this much."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get(self.path, self._listen)]

    def authorised(self, header: str) -> bool:
        return header == f"Bearer {self.api_key}"

    def bill(self, query: dict[str, str], fault: Fault) -> BilledConnection:
        """A new line in the ledger."""
        raise NotImplementedError

    def headers(self, billed: BilledConnection) -> dict[str, str]:
        return {}

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        if not self.authorised(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized
        fault = await self.meet()
        if self.drop_after_bytes is not None:
            fault, self.drop_after_bytes = Fault(drop_after=self.drop_after_bytes), None
        billed = self.bill(dict(request.query), fault)
        billed.asked = {name: request.query.getall(name) for name in request.query}
        socket = web.WebSocketResponse()
        socket.headers.update(self.headers(billed))
        await socket.prepare(request)
        billed.opened_at = time.monotonic()
        self.connections.append(billed)
        try:
            await self._converse(self.conversation(socket, billed), request)
        except ConnectionResetError:
            pass  # The client was gone before it was answered, which is its right.
        finally:
            billed.closed_at = time.monotonic()
        return socket

    async def _converse(self, conversation: Conversation, request: web.Request) -> None:
        socket, billed = conversation.socket, conversation.billed
        await conversation.begin()
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await conversation.hear(message.data)
            elif message.type is WSMsgType.TEXT and await conversation.answer(message.json()):
                await socket.close()
                return
            if billed.fault.breaks_at(billed.audio_bytes):
                billed.fault.break_off(request)
                return


def is_speech(audio: bytes) -> bool:
    samples = np.frombuffer(audio[: len(audio) // 2 * 2], dtype=np.int16)
    return bool(len(samples)) and float(np.abs(samples).mean()) > _SPEECH_LOUDNESS
