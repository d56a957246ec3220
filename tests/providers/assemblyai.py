"""AssemblyAI's streaming API, v3, as far as the plugin speaks to it, with AssemblyAI's ledger.

https://www.assemblyai.com/docs/api-reference/streaming-api/streaming-api: Begin with the session's
id; binary messages are audio; Turn for what was heard; Terminate is answered with Termination,
which states the seconds of the session and of the audio. The session's duration is billed. A
session that nobody terminates lives on, and is billed on, until it has been inactive for long
enough or has lasted three hours. Who sends audio too far ahead of time is hung up on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from .server import Fault
from .speech import BilledConnection, Conversation, SpeechServer

_LONGEST_SESSION_SECONDS = 10_800.0
_LONGEST_LEAD_SECONDS = 310.0
_TOO_FAST = 3007


@dataclass(kw_only=True, eq=False)
class BilledSession(BilledConnection):
    """One session in AssemblyAI's ledger; `stated_seconds` is what it has told the client."""

    stated_seconds: float | None = None
    longest_lead: float = _LONGEST_LEAD_SECONDS
    was_too_fast: bool = False
    is_half_open: bool = False
    """What the client says at the end does not arrive, and nobody is told."""

    @property
    def billed_seconds(self) -> float:
        """Of the session: past the connection's end where it was not terminated."""
        left_open = min(
            float(self.query.get("inactivity_timeout", _LONGEST_SESSION_SECONDS)),
            _LONGEST_SESSION_SECONDS - self.connection_seconds,
        )
        return self.connection_seconds + (left_open if self.stated_seconds is None else 0.0)


class _Session(Conversation):
    billed: BilledSession

    @override
    async def begin(self) -> None:
        await self.say(type="Begin", id=self.billed.request_id, expires_at=2_000_000_000)

    @override
    async def hear(self, audio: bytes) -> None:
        await super().hear(audio)
        sent, passed = self.billed.audio_seconds, time.monotonic() - self.billed.opened_at
        if sent > passed + self.billed.longest_lead and not self.billed.was_too_fast:
            self.billed.was_too_fast = True
            error = (
                "Input Duration Error: Audio Transmission Rate Exceeded: Received"
                f" {float(sent):.1f} sec. audio in {passed:.6f} sec"
            )
            await self.say(type="Error", error_code=_TOO_FAST, error=error)
            await self.socket.close(code=_TOO_FAST)

    @override
    async def answer(self, message: Mapping[str, Any]) -> bool:
        if self.billed.is_half_open:
            return False
        if message["type"] == "ForceEndpoint":
            await self._turn()
        if message["type"] != "Terminate":
            return False
        await self._turn()
        self.billed.stated_seconds = round(time.monotonic() - self.billed.opened_at, 3)
        await self.say(
            type="Termination",
            audio_duration_seconds=float(self.billed.audio_seconds),
            session_duration_seconds=self.billed.stated_seconds,
        )
        return True

    async def _turn(self) -> None:
        if heard := self.billed.heard():
            end = float(self.billed.audio_seconds)
            text = f"heard {heard:.2f} seconds"
            start_ms, end_ms = round((end - heard) * 1000), round(end * 1000)
            word = {"text": text, "start": start_ms, "end": end_ms, "confidence": 0.98}
            found: dict[str, Any] = {}
            if self.billed.query.get("speaker_labels") == "true":
                found["speaker_label"] = "AB"[self.billed.turn]
            if self.billed.query.get("language_detection") == "true":
                (code,) = json.loads(self.billed.query.get("language_codes", '["de"]'))
                found |= {"language_code": code, "language_confidence": 0.9}
            await self.say(
                type="Turn",
                turn_order=self.billed.finals,
                turn_is_formatted=True,
                end_of_turn=True,
                end_of_turn_confidence=0.9,
                transcript=text,
                words=[word],
                **found,
            )


class AssemblyAIServer(SpeechServer):
    """AssemblyAI on loopback; `connections` is its bill."""

    path = "/v3/ws"
    conversation = _Session
    longest_lead = _LONGEST_LEAD_SECONDS
    is_half_open = False

    @override
    def authorised(self, header: str) -> bool:
        return header == self.api_key

    @override
    def bill(self, query: dict[str, str], fault: Fault) -> BilledSession:
        width = {"pcm_s16le": 2, "pcm_mulaw": 1}[query["encoding"]]
        return BilledSession(
            query=query,
            fault=fault,
            opened_at=0.0,
            bytes_per_second=int(query["sample_rate"]) * width,
            longest_lead=self.longest_lead,
            is_half_open=self.is_half_open,
        )
