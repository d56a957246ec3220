"""OpenAI's realtime models as far as the plugin speaks to them, with OpenAI's own ledger.

https://platform.openai.com/docs/guides/realtime-conversations: the server finds the turns in what
it hears, transcribes them, and answers each; it also answers when it is asked to. A response states
its usage by modality when it is done. Here a turn's audio is a token for each tenth of a second, a
word is a token, and what one response was given is cached for the next.
"""

from __future__ import annotations

import asyncio
import base64
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from typing_extensions import override

from .openai import OpenAIServer
from .openai_realtime import OpenAIRealtimeServer, Transcription
from .speech import BilledConnection, Conversation

_REPLY = "a reply of five words"
_TENTH_OF_A_SECOND = b"\x00\x10" * 2400


@dataclass(frozen=True)
class BilledResponse:
    """One response in OpenAI's ledger; cached tokens are among the input's."""

    response_id: str
    input_text: int
    input_audio: int
    cached_text: int
    cached_audio: int
    output_text: int
    output_audio: int

    @property
    def usage(self) -> dict[str, Any]:
        cached = self.cached_text + self.cached_audio
        return {
            "input_tokens": self.input_text + self.input_audio,
            "output_tokens": self.output_text + self.output_audio,
            "total_tokens": self.input_text
            + self.input_audio
            + self.output_text
            + self.output_audio,
            "input_token_details": {
                "text_tokens": self.input_text,
                "audio_tokens": self.input_audio,
                "cached_tokens": cached,
                "cached_tokens_details": {
                    "text_tokens": self.cached_text,
                    "audio_tokens": self.cached_audio,
                },
            },
            "output_token_details": {
                "text_tokens": self.output_text,
                "audio_tokens": self.output_audio,
            },
        }


class _Dialogue(Transcription):
    silence_seconds = 0.8

    def __init__(
        self,
        socket: web.WebSocketResponse,
        billed: BilledConnection,
        server: OpenAIVoiceServer,
    ) -> None:
        super().__init__(socket, billed)
        self.items = server.items
        self._server = server
        self._speaks = True
        self._heard_text = 0
        self._heard_audio = 0
        self._cached = 0, 0
        self._last_item: str | None = None

    @override
    async def answer(self, message: Mapping[str, Any]) -> bool:
        kind = message["type"]
        if kind == "session.update":
            session = message["session"]
            if "output_modalities" in session:
                self._speaks = "audio" in session["output_modalities"]
            self._heard_text += len(str(session.get("instructions", "")).split())
        elif kind == "conversation.item.create":
            await self._add(message["item"])
        elif kind == "response.create":
            asked = message.get("response") or {}
            self._heard_text += len(str(asked.get("instructions") or "").split())
            await self._respond(asked.get("metadata") or {})
        return await super().answer(message)

    @override
    async def complete(self, start: float, end: float) -> None:
        await super().complete(start, end)
        self._heard_audio += math.ceil(round((end - start) * 1000) / 100)
        said = [{"type": "input_audio", "transcript": None}]
        item_id = self.items[-1].item_id
        await self._add({"id": item_id, "type": "message", "role": "user", "content": said})
        await self._respond({})

    async def _add(self, item: Mapping[str, Any]) -> None:
        await self.say(
            type="conversation.item.added", previous_item_id=self._last_item, item=dict(item)
        )
        self._last_item = item["id"]

    async def _respond(self, metadata: Mapping[str, Any]) -> None:
        billed = BilledResponse(
            response_id=f"resp_{uuid.uuid4().hex}",
            input_text=self._heard_text,
            input_audio=self._heard_audio,
            cached_text=self._cached[0],
            cached_audio=self._cached[1],
            output_text=len(_REPLY.split()),
            output_audio=len(_REPLY.split()) if self._speaks else 0,
        )
        self._cached = self._heard_text, self._heard_audio
        self._server.responses.append(billed)
        response = {"id": billed.response_id, "object": "realtime.response", "metadata": metadata}
        await self.say(type="response.created", response=response | {"status": "in_progress"})
        await self._speak(billed.response_id)
        if self._server.hang_before_done:
            await self._server.hang_before_done.wait()
        await self.say(
            type="response.done", response=response | {"status": "completed", "usage": billed.usage}
        )

    async def _speak(self, response_id: str) -> None:
        item_id = f"item_{uuid.uuid4().hex}"
        item: dict[str, Any] = {
            "id": item_id,
            "type": "message",
            "role": "assistant",
            "content": [],
        }
        place = {"response_id": response_id, "item_id": item_id, "output_index": 0}
        await self.say(type="response.output_item.added", item=item, **place)
        await self._add(item)
        kind = "audio" if self._speaks else "text"
        await self.say(
            type="response.content_part.added", content_index=0, part={"type": kind}, **place
        )
        sound = base64.b64encode(_TENTH_OF_A_SECOND).decode()
        for word in _REPLY.split():
            if self._speaks:
                await self.say(type="response.output_audio.delta", delta=sound, **place)
                await self.say(
                    type="response.output_audio_transcript.delta", delta=f"{word} ", **place
                )
            else:
                await self.say(type="response.output_text.delta", delta=f"{word} ", **place)
        await self.say(type=f"response.output_{kind}.done", **place)
        await self.say(type="response.output_item.done", item=item, **place)


class OpenAIVoiceServer(OpenAIRealtimeServer):
    """OpenAI's realtime endpoint, to transcribe and to talk to; `responses` is of its bill, too."""

    def __init__(self, *, api_key: str = "key") -> None:
        super().__init__(api_key=api_key)
        self.responses: list[BilledResponse] = []
        self.hang_before_done: asyncio.Event | None = None

    @override
    def conversation(self, socket: web.WebSocketResponse, billed: BilledConnection) -> Conversation:
        if billed.query.get("intent") == "transcription":
            return super().conversation(socket, billed)
        return _Dialogue(socket, billed, self)


class OpenAIPlatform(OpenAIServer):
    """All of OpenAI behind one base URL; `realtime` is what is billed there."""

    def __init__(self) -> None:
        super().__init__()
        self.realtime = OpenAIVoiceServer()

    @override
    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), *self.realtime.routes()]
