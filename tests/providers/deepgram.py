"""Deepgram's streaming API as far as the plugin speaks to it, with Deepgram's own ledger.

https://developers.deepgram.com/reference/speech-to-text/listen-streaming: binary messages are
audio; KeepAlive, Finalize and CloseStream are text; it answers Results, and at the end Metadata
with the seconds of audio that it was sent. Asked for `diarize` each word has its `speaker`, asked
for `language=multi` each alternative its `languages`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from typing_extensions import override

from .server import Fault
from .speech import TURN_LANGUAGES, BilledConnection, Conversation, SpeechServer, is_speech

_PAUSE_SECONDS = 0.5


class Listening(Conversation):
    """One connection: what it does when it is asked to come to an end, and its last words."""

    @override
    async def answer(self, message: Mapping[str, Any]) -> bool:
        kind = message["type"]
        if kind in ("Finalize", "CloseStream"):
            await self.final()
        if kind == "CloseStream":
            await self.say(
                type="Metadata",
                request_id=self.billed.request_id,
                duration=float(self.billed.audio_seconds),
                channels=1,
            )
        return bool(kind == "CloseStream")

    def words(self, heard: float) -> str:
        """What so many seconds of speech were."""
        return f"heard {heard:.2f} seconds"

    async def final(self) -> None:
        """Say what was heard since the last time, if anything was."""
        if not (heard := self.billed.heard()):
            return
        end = float(self.billed.audio_seconds)
        start, text = max(0.0, end - heard), self.words(heard)
        word: dict[str, Any] = {"word": text, "punctuated_word": text, "start": start, "end": end}
        if self.billed.query.get("diarize", "").lower() == "true":
            word["speaker"] = self.billed.turn
        found = {}
        if self.billed.query.get("language") == "multi":
            word["language"] = TURN_LANGUAGES[self.billed.turn]
            found = {"languages": [word["language"]]}
        await self.say(
            type="Results",
            channel_index=[0, 1],
            start=start,
            duration=heard,
            is_final=True,
            speech_final=True,
            channel={
                "alternatives": [
                    {
                        "transcript": text,
                        "confidence": 0.98,
                        "words": [word | {"confidence": 0.98}],
                        **found,
                    }
                ]
            },
            metadata={"request_id": self.billed.request_id, "model_uuid": "local"},
        )


class Endpointing(Listening):
    """Says what it has heard whenever there is a pause, as the real one does."""

    silent_bytes = 0

    @override
    async def hear(self, audio: bytes) -> None:
        await super().hear(audio)
        self.silent_bytes = 0 if is_speech(audio) else self.silent_bytes + len(audio)
        if self.silent_bytes >= _PAUSE_SECONDS * self.billed.bytes_per_second:
            await self.final()


class DeepgramServer(SpeechServer):
    """Deepgram on loopback; `connections` is its bill."""

    path = "/v1/listen"
    conversation: Callable[[web.WebSocketResponse, BilledConnection], Conversation] = Listening

    def __init__(self, *, api_key: str = "dg-key") -> None:
        super().__init__(api_key=api_key)

    @override
    def authorised(self, header: str) -> bool:
        return header == f"Token {self.api_key}"

    @override
    def bill(self, query: dict[str, str], fault: Fault) -> BilledConnection:
        return BilledConnection(
            query=query,
            fault=fault,
            opened_at=0.0,
            bytes_per_second=int(query["sample_rate"]) * int(query["channels"]) * 2,
        )

    @override
    def headers(self, billed: BilledConnection) -> dict[str, str]:
        return {"dg-request-id": billed.request_id}


class EndpointingDeepgramServer(DeepgramServer):
    """The same for an agent, which waits for no `Finalize` before it answers."""

    conversation = Endpointing


class _Scripted(Listening):
    def __init__(
        self, socket: web.WebSocketResponse, billed: BilledConnection, script: deque[str]
    ) -> None:
        super().__init__(socket, billed)
        self._script = script

    @override
    def words(self, heard: float) -> str:
        return self._script.popleft() if self._script else super().words(heard)


class ScriptedDeepgramServer(DeepgramServer):
    """The same, hearing what `script` says that was said, one after the other."""

    def __init__(self, *, api_key: str = "dg-key") -> None:
        super().__init__(api_key=api_key)
        self.script: deque[str] = deque()

    @override
    def conversation(self, socket: web.WebSocketResponse, billed: BilledConnection) -> Conversation:
        return _Scripted(socket, billed, self.script)
