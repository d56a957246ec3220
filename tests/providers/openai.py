"""OpenAI's chat completions, speech and transcriptions, as far as the plugin speaks to them.

https://platform.openai.com/docs/api-reference/chat-streaming: chunks, then one with the usage and
no choices where `stream_options.include_usage` asked for it. A token is a word here; the ledger
says how many, also of a reply that nobody waited for: what was generated is billed.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import uuid
import wave
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from aiohttp import web

from .server import Fault, ProviderServer


@dataclass
class BilledCompletion:
    """One chat completion in OpenAI's ledger."""

    request_id: str
    model: str
    asked: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int


@dataclass
class BilledSpeech:
    """One speech request in OpenAI's ledger."""

    model: str
    text: str

    @property
    def characters(self) -> int:
        return len(self.text)


@dataclass
class BilledRecording:
    """One transcription of a recording in OpenAI's ledger, which bills whisper-1 by its length."""

    model: str
    seconds: Fraction


class OpenAIServer(ProviderServer):
    """OpenAI on loopback; `completions`, `speeches` and `recordings` are its bill."""

    def __init__(self, *, reply: str = "a reply of five words") -> None:
        super().__init__()
        self.reply = reply
        self.cached_tokens = 0
        self.reasoning_tokens = 0
        self.pause_seconds = 0.0
        """Between two words of a reply."""
        self.hang_before_usage: asyncio.Event | None = None
        self.word_sound = b"\x00\x10" * 2400
        """What each word sounds like, as raw PCM at 24 kHz: a tenth of a second."""
        self.calls_a_tool = False
        """Whether a streamed reply calls one, offered or not."""
        self.completions: list[BilledCompletion] = []
        self.speeches: list[BilledSpeech] = []
        self.recordings: list[BilledRecording] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self._complete),
            web.post("/v1/audio/speech", self._speak),
            web.post("/v1/audio/transcriptions", self._transcribe),
        ]

    def reply_to(self, asked: dict[str, Any]) -> str:
        """What is said to a request; by default always the same."""
        return self.reply

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        fault = self.pick()
        billed = BilledCompletion(
            request_id=f"chatcmpl-{uuid.uuid4().hex}",
            model=asked["model"],
            asked=str(asked["messages"][-1]["content"]),
            input_tokens=sum(len(str(message["content"]).split()) for message in asked["messages"]),
            cached_tokens=self.cached_tokens,
            output_tokens=self.reasoning_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )
        self.completions.append(billed)
        reply = self.reply_to(asked)
        # Whether or not anybody waits for the answer.
        await self.delay(fault)
        if asked.get("stream"):
            return await self._stream(request, asked, reply, billed, fault)
        billed.output_tokens += len(reply.split())
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": reply},
        }
        return web.json_response(
            _object(billed, "chat.completion") | {"choices": [choice], "usage": _usage(billed)},
            # As OpenAI does, in lines.
            dumps=lambda body: json.dumps(body, indent=2),
        )

    async def _stream(
        self,
        request: web.Request,
        asked: dict[str, Any],
        reply: str,
        billed: BilledCompletion,
        fault: Fault,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(reply.split(), start=1):
            billed.output_tokens += 1
            delta = {"role": "assistant", "content": f"{word} "}
            await self._send(response, billed, [{"index": 0, "delta": delta}])
            await asyncio.sleep(self.pause_seconds)
            if fault.breaks_at(number):
                fault.break_off(request)
                return response
        if self.calls_a_tool:
            call = {"name": "speak", "arguments": "{}"}
            tool_call = {"index": 0, "id": "call_1", "type": "function", "function": call}
            await self._send(response, billed, [{"index": 0, "delta": {"tool_calls": [tool_call]}}])
        if self.hang_before_usage:
            await self.hang_before_usage.wait()
        await self._send(response, billed, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if asked.get("stream_options", {}).get("include_usage"):
            for _ in range(2 if fault.twice else 1):
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
        chunk = _object(billed, "chat.completion.chunk") | {"choices": choices, "usage": usage}
        # A client that has gone is billed all the same.
        with contextlib.suppress(ConnectionError):
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        fault = self.pick()
        self.speeches.append(BilledSpeech(asked["model"], asked["input"]))
        await self.delay(fault)
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for number, _ in enumerate(asked["input"].split(), start=1):
                await response.write(self.word_sound)
                if fault.breaks_at(number):
                    fault.break_off(request)
                    break
        return response

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        asked = await request.post()
        fault = self.pick()
        recording = asked["file"]
        assert isinstance(recording, web.FileField)
        with wave.open(io.BytesIO(recording.file.read())) as sound:
            seconds = Fraction(sound.getnframes(), sound.getframerate())
        self.recordings.append(BilledRecording(str(asked["model"]), seconds))
        await self.delay(fault)
        heard = {"text": f"heard {float(seconds):.2f} seconds", "language": "english"}
        return web.json_response(heard | {"duration": float(seconds), "segments": []})


def _object(billed: BilledCompletion, kind: str) -> dict[str, object]:
    return {"id": billed.request_id, "object": kind, "created": 0, "model": billed.model}


def _usage(billed: BilledCompletion) -> dict[str, object]:
    return {
        "prompt_tokens": billed.input_tokens,
        "completion_tokens": billed.output_tokens,
        "total_tokens": billed.input_tokens + billed.output_tokens,
        "prompt_tokens_details": {"cached_tokens": billed.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": billed.reasoning_tokens},
    }
