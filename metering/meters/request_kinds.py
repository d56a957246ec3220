"""What is asked of a provider in one request, and what that comes to: read off the wire.

Each kind knows its own way to be read: a completion states its tokens, speech is billed as it was
asked, a recording is as long as it is.
"""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from typing_extensions import override

from .attribution import Attribution, current_attribution
from .request_bounds import Asked, Estimate

_EVENTS = (b"data:", b"event:", b"id:", b":")
_LONGEST_REPLY_BYTES = 16_000_000
_MODEL = re.compile(rb'name="model"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]+)\r\n')


@dataclass(slots=True)
class Request:
    """One request between its start and its record."""

    provider: str
    model: str
    started_at: datetime
    caused_by: Attribution = field(default_factory=current_attribution)
    instance_id: str = ""
    """By which it is under way."""
    request_id: str | None = None
    begun: bool = False
    """The reply has begun: whatever was asked is billed."""
    ended: bool = False
    """The reply has been read to its end."""

    @property
    def told_by_plugin(self) -> bool:
        """Whether its plugin reports it, so that it must not be counted here too."""
        return False

    def take(self, chunk: bytes) -> None:
        """Read a part of the reply."""

    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        """What it came to, as far as is known."""
        return iter(())


@dataclass(slots=True, kw_only=True)
class Completion(Request):
    """A chat completion, streamed or not."""

    asked: Asked
    deltas: int = 0
    content_bytes: int = 0
    usage: dict[str, Any] | None = None
    unread: bytes = b""
    streamed: bool = False

    @override
    def take(self, chunk: bytes) -> None:
        if len(self.unread) + len(chunk) > _LONGEST_REPLY_BYTES:
            return
        self.unread += chunk
        # Events, or else one object, which can be read when it is whole.
        self.streamed = self.streamed or self.unread.lstrip().startswith(_EVENTS)
        if self.streamed:
            *lines, self.unread = self.unread.split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._read(line[5:])

    def _read(self, text: bytes) -> None:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(data, dict):
            return
        request_id = data.get("id")
        if isinstance(request_id, str) and request_id:
            self.request_id = request_id
        if isinstance(data.get("usage"), dict):
            self.usage = data["usage"]
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            said = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else 0
            if isinstance(said, dict) and any(
                said.get(kind) for kind in ("content", "tool_calls", "refusal")
            ):
                self.deltas += 1
                self.content_bytes += len(str(said.get("content") or "").encode())

    @override
    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        if self.unread and not self.streamed:
            self._read(self.unread)
        if self.usage is None or not _count(self.usage, "prompt_tokens"):
            yield "llm_input_tokens", self.asked.input()
            yield (
                "llm_output_tokens",
                self.asked.output(deltas=self.deltas, content_bytes=self.content_bytes),
            )
            return
        read, said = (
            self.usage.get("prompt_tokens_details"),
            self.usage.get("completion_tokens_details"),
        )
        yield "llm_input_tokens", _count(self.usage, "prompt_tokens")
        yield "llm_output_tokens", _count(self.usage, "completion_tokens")
        for meter, details, name in (
            ("llm_cached_input_tokens", read, "cached_tokens"),
            ("llm_cache_write_tokens", read, "cache_write_tokens"),
            ("llm_reasoning_tokens", said, "reasoning_tokens"),
        ):
            if isinstance(details, dict) and (tokens := _count(details, name)):
                yield meter, tokens


@dataclass(slots=True, kw_only=True)
class Speech(Request):
    """Text to be spoken."""

    characters: int

    @override
    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        asked = Decimal(self.characters)
        # Characters are billed as they were asked, however much of the sound was heard.
        yield "tts_characters", asked if self.begun else Estimate(asked, Decimal(0), asked)


@dataclass(slots=True, kw_only=True)
class Recording(Request):
    """A recording that is transcribed in one piece: its plugin reports it if the reply arrives."""

    seconds: Decimal | None

    @property
    @override
    def told_by_plugin(self) -> bool:
        return self.ended

    @override
    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        if self.seconds is None:
            yield "stt_audio", Estimate(Decimal(0), Decimal(0), None)
            return
        least = self.seconds if self.begun else Decimal(0)
        yield "stt_audio", Estimate(self.seconds, least, self.seconds)


def read_request(path: str, body: bytes, provider: str, started_at: datetime) -> Request | None:
    """The request that is about to be sent; None for one of another kind."""
    if path.endswith("/chat/completions"):
        asked = Asked.read(body)
        return Completion(provider, asked.model, started_at, asked=asked)
    if path.endswith("/audio/speech"):
        spoken = _object(body)
        model, text = str(spoken.get("model") or "").lower(), str(spoken.get("input") or "")
        return Speech(provider, model, started_at, characters=len(text))
    if path.endswith("/audio/transcriptions"):
        found = _MODEL.search(body)
        model = found[1].decode("utf-8", "replace").lower() if found else ""
        return Recording(provider, model, started_at, seconds=_recorded_seconds(body))
    return None


def _recorded_seconds(body: bytes) -> Decimal | None:
    """How long the WAV file in a form is; None where there is none that can be read."""
    start = body.find(b"RIFF")
    if start < 0:
        return None
    try:
        with wave.open(io.BytesIO(body[start:])) as recording:
            return Decimal(recording.getnframes()) / Decimal(recording.getframerate())
    except (wave.Error, EOFError, ArithmeticError):
        return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _count(data: dict[str, Any], name: str) -> Decimal:
    """A number of tokens, 0 where there is none that can be one."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return Decimal(0)
    return Decimal(value)
