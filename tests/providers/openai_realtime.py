"""OpenAI's realtime transcription as far as the plugin speaks to it, with OpenAI's own ledger.

https://platform.openai.com/docs/guides/realtime-transcription: the client appends audio, the server
finds where speech begins and ends, and each item it has transcribed is billed by its tokens. Here
speech is what is loud, a tenth of a second of it is a token, and so is a word of the transcript.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from typing_extensions import override

from .server import Fault
from .speech import BilledConnection, Conversation, SpeechServer, is_speech

_BYTES_PER_SECOND = 48_000


@dataclass(frozen=True)
class BilledItem:
    """One transcribed item in OpenAI's ledger."""

    item_id: str
    input_tokens: int
    output_tokens: int
    audio_ms: int


class Transcription(Conversation):
    """One socket that was opened to transcribe; speech ends after `silence_seconds` of none."""

    silence_seconds = 0.2

    def __init__(self, socket: web.WebSocketResponse, billed: BilledConnection) -> None:
        super().__init__(socket, billed)
        self.items: list[BilledItem] = []
        self._speech_from: float | None = None
        self._silent_since: float | None = None
        self._item_id = ""

    @override
    async def begin(self) -> None:
        await self.say(type="session.created", session={"id": self.billed.request_id})

    @override
    async def answer(self, message: Mapping[str, Any]) -> bool:
        if message["type"] == "session.update":
            self.billed.session = message["session"]
            await self.say(type="session.updated", session=message["session"])
        elif message["type"] == "input_audio_buffer.append":
            before = float(self.billed.audio_seconds)
            audio = base64.b64decode(message["audio"])
            self.billed.listen(audio)
            await self._follow(before, loud=is_speech(audio))
        return False

    async def _follow(self, at: float, *, loud: bool) -> None:
        if loud:
            self._silent_since = None
            if self._speech_from is None:
                self._speech_from, self._item_id = at, f"item_{uuid.uuid4().hex}"
                await self.say(
                    type="input_audio_buffer.speech_started",
                    item_id=self._item_id,
                    audio_start_ms=round(at * 1000),
                )
        elif self._speech_from is not None:
            if self._silent_since is None:
                self._silent_since = at
            silent = float(self.billed.audio_seconds) - self._silent_since
            if silent >= self.silence_seconds - 1e-6:
                await self.complete(self._speech_from, self._silent_since)
                self._speech_from = self._silent_since = None

    async def complete(self, start: float, end: float) -> None:
        """A turn has ended, and is billed."""
        start_ms, end_ms = round(start * 1000), round(end * 1000)
        text = f"heard {self.billed.heard():.2f} seconds"
        item = BilledItem(
            item_id=self._item_id,
            input_tokens=math.ceil((end_ms - start_ms) / 100),
            output_tokens=len(text.split()),
            audio_ms=end_ms - start_ms,
        )
        await self.say(
            type="input_audio_buffer.speech_stopped",
            item_id=item.item_id,
            audio_end_ms=end_ms,
        )
        self.items.append(item)
        # Once, whatever the fault: the plugin counts the usage each time, and cannot be told.
        await self.socket.send_json(
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "event_id": f"event_{uuid.uuid4().hex}",
                "content_index": 0,
                "item_id": item.item_id,
                "transcript": text,
                "usage": {
                    "type": "tokens",
                    "input_tokens": item.input_tokens,
                    "output_tokens": item.output_tokens,
                    "total_tokens": item.input_tokens + item.output_tokens,
                },
            }
        )


class OpenAIRealtimeServer(SpeechServer):
    """OpenAI's realtime endpoint; `connections` is who was there, `items` its bill."""

    path = "/v1/realtime"

    def __init__(self, *, api_key: str = "key") -> None:
        super().__init__(api_key=api_key)
        self.items: list[BilledItem] = []

    @override
    def conversation(self, socket: web.WebSocketResponse, billed: BilledConnection) -> Conversation:
        conversation = Transcription(socket, billed)
        conversation.items = self.items
        return conversation

    @override
    def bill(self, query: dict[str, str], fault: Fault) -> BilledConnection:
        return BilledConnection(
            query=query, fault=fault, opened_at=0.0, bytes_per_second=_BYTES_PER_SECOND
        )
