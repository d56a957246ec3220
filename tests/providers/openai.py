"""OpenAI's chat completions (streamed) and speech, as far as the plugin speaks to them.

https://platform.openai.com/docs/api-reference/chat-streaming: chunks, then one with the usage and
no choices where `stream_options.include_usage` asked for it. A token is a word here; the ledger
says how many.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass

from aiohttp import web

from .server import ProviderServer


@dataclass
class BilledCompletion:
    """One chat completion in OpenAI's ledger."""

    request_id: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int


@dataclass
class BilledSpeech:
    """One speech request in OpenAI's ledger."""

    model: str
    characters: int


class OpenAIServer(ProviderServer):
    """OpenAI on loopback; `completions` and `speeches` are its bill."""

    def __init__(self, *, reply: str = "a reply of five words") -> None:
        super().__init__()
        self.reply = reply
        self.cached_tokens = 0
        self.reasoning_tokens = 0
        self.hang_before_usage: asyncio.Event | None = None
        self.completions: list[BilledCompletion] = []
        self.speeches: list[BilledSpeech] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self._complete),
            web.post("/v1/audio/speech", self._speak),
        ]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.refuse()
        words = self.reply.split()
        billed = BilledCompletion(
            request_id=f"chatcmpl-{uuid.uuid4().hex}",
            model=asked["model"],
            input_tokens=sum(len(str(message["content"]).split()) for message in asked["messages"]),
            cached_tokens=self.cached_tokens,
            output_tokens=len(words) + self.reasoning_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )
        self.completions.append(billed)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in words:
            delta = {"role": "assistant", "content": f"{word} "}
            await self._send(response, billed, [{"index": 0, "delta": delta}])
        if self.hang_before_usage:
            await self.hang_before_usage.wait()
        await self._send(response, billed, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if asked.get("stream_options", {}).get("include_usage"):
            await self._send(response, billed, [], usage=_usage(billed))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _send(
        self,
        response: web.StreamResponse,
        billed: BilledCompletion,
        choices: list[object],
        usage: object = None,
    ) -> None:
        chunk = {
            "id": billed.request_id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": billed.model,
            "choices": choices,
            "usage": usage,
        }
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.refuse()
        self.speeches.append(BilledSpeech(asked["model"], len(asked["input"])))
        # A tenth of a second of sound for each word, as raw PCM at 24 kHz.
        sound = b"\x00\x10" * 2400 * len(asked["input"].split())
        return web.Response(body=sound, content_type="audio/pcm")


def _usage(billed: BilledCompletion) -> dict[str, object]:
    return {
        "prompt_tokens": billed.input_tokens,
        "completion_tokens": billed.output_tokens,
        "total_tokens": billed.input_tokens + billed.output_tokens,
        "prompt_tokens_details": {"cached_tokens": billed.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": billed.reasoning_tokens},
    }
