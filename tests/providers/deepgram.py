"""Deepgram's streaming API as far as the plugin speaks to it, with Deepgram's own ledger.

https://developers.deepgram.com/reference/speech-to-text/listen-streaming: binary messages are
audio; KeepAlive, Finalize and CloseStream are text; it answers Results, and at the end Metadata
with the seconds of audio that it was sent. What it says it heard is how much speech there was, so
that no transcript is canned.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from aiohttp import WSMsgType, web

from .server import ProviderServer

_SPEECH_LOUDNESS = 200.0


@dataclass
class BilledConnection:
    """One connection as Deepgram has it in its ledger; times are monotonic seconds."""

    request_id: str
    query: dict[str, str]
    opened_at: float
    closed_at: float | None = None
    audio_bytes: int = 0
    speech_bytes: int = 0
    finals: int = 0

    @property
    def connection_seconds(self) -> float:
        assert self.closed_at is not None, "the connection is still open"
        return self.closed_at - self.opened_at

    @property
    def bytes_per_second(self) -> int:
        return int(self.query["sample_rate"]) * int(self.query["channels"]) * 2

    @property
    def audio_seconds(self) -> Fraction:
        return Fraction(self.audio_bytes, self.bytes_per_second)


class DeepgramServer(ProviderServer):
    """Deepgram on loopback; `connections` is its bill."""

    def __init__(self, *, api_key: str = "dg-key") -> None:
        super().__init__()
        self.api_key = api_key
        self.connections: list[BilledConnection] = []
        self.drop_after_bytes: int | None = None
        """The next connection is cut, without a close handshake, once it has sent this much."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/listen", self._listen)]

    async def _listen(self, request: web.Request) -> web.WebSocketResponse:
        if request.headers.get("Authorization") != f"Token {self.api_key}":
            raise web.HTTPUnauthorized
        self.refuse()
        billed = BilledConnection(str(uuid.uuid4()), dict(request.query), time.monotonic())
        socket = web.WebSocketResponse()
        socket.headers["dg-request-id"] = billed.request_id
        await socket.prepare(request)
        billed.opened_at = time.monotonic()
        self.connections.append(billed)
        drop_after, self.drop_after_bytes = self.drop_after_bytes, None
        try:
            await self._converse(socket, billed, drop_after, request)
        finally:
            billed.closed_at = time.monotonic()
        return socket

    async def _converse(
        self,
        socket: web.WebSocketResponse,
        billed: BilledConnection,
        drop_after: int | None,
        request: web.Request,
    ) -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                billed.audio_bytes += len(message.data)
                if _is_speech(message.data):
                    billed.speech_bytes += len(message.data)
                if drop_after is not None and billed.audio_bytes >= drop_after:
                    assert request.transport is not None
                    request.transport.abort()
                    return
            elif message.type is WSMsgType.TEXT:
                kind = json.loads(message.data)["type"]
                if kind in ("Finalize", "CloseStream"):
                    await self._final(socket, billed)
                if kind == "CloseStream":
                    await socket.send_json(
                        {
                            "type": "Metadata",
                            "request_id": billed.request_id,
                            "duration": float(billed.audio_seconds),
                            "channels": 1,
                        }
                    )
                    await socket.close()
                    return

    async def _final(self, socket: web.WebSocketResponse, billed: BilledConnection) -> None:
        if not billed.speech_bytes:
            return
        heard = billed.speech_bytes / billed.bytes_per_second
        billed.speech_bytes = 0
        billed.finals += 1
        end = float(billed.audio_seconds)
        text = f"heard {heard:.2f} seconds"
        await socket.send_json(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": max(0.0, end - heard),
                "duration": heard,
                "is_final": True,
                "speech_final": True,
                "channel": {
                    "alternatives": [
                        {
                            "transcript": text,
                            "confidence": 0.98,
                            "words": [
                                {
                                    "word": text,
                                    "punctuated_word": text,
                                    "start": max(0.0, end - heard),
                                    "end": end,
                                    "confidence": 0.98,
                                }
                            ],
                        }
                    ]
                },
                "metadata": {"request_id": billed.request_id, "model_uuid": "local"},
            }
        )


def _is_speech(audio: bytes) -> bool:
    samples = np.frombuffer(audio[: len(audio) // 2 * 2], dtype=np.int16)
    return bool(len(samples)) and float(np.abs(samples).mean()) > _SPEECH_LOUDNESS
