"""LiveKit Inference's STT gateway as far as the framework's client speaks to it, with a ledger.

It bills connection time. There is no public reference of its protocol: this is what the client of
livekit-agents 1.8.9 sends and expects (livekit/agents/inference/stt.py).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from .server import Fault
from .speech import TURN_LANGUAGES, BilledConnection, Conversation, SpeechServer


class _Session(Conversation):
    @override
    async def answer(self, message: Mapping[str, Any]) -> bool:
        kind = message["type"]
        if kind == "session.create":
            self.billed.session = dict(message["settings"])
            rate = int(message["settings"]["sample_rate"])
            self.billed.bytes_per_second = rate * 2
            await self.say(type="session.created", session_id=self.billed.request_id)
        elif kind == "input_audio":
            self.billed.listen(base64.b64decode(message["audio"]))
        elif kind == "session.finalize":
            if heard := self.billed.heard():
                await self.say(
                    type="final_transcript",
                    request_id=self.billed.request_id,
                    transcript=f"heard {heard:.2f} seconds",
                    start=max(0.0, float(self.billed.audio_seconds) - heard),
                    duration=heard,
                    confidence=0.98,
                    words=[],
                    language=self._language(),
                    **self._speaker(),
                )
            # The client sends it once, at the end of its input, unless it endpoints by itself.
            await self.say(type="session.finalized")
            await self.say(type="session.closed")
            return True
        return bool(kind == "session.close")

    def _language(self) -> str:
        asked = str(self.billed.session.get("language", "multi"))
        return TURN_LANGUAGES[self.billed.turn] if asked == "multi" else asked

    def _speaker(self) -> dict[str, str]:
        extra = self.billed.session.get("extra", {})
        if extra.get("diarize") or extra.get("speaker_labels"):
            return {"speaker_id": f"S{self.billed.turn}"}
        return {}


class InferenceServer(SpeechServer):
    """LiveKit Inference on loopback; `connections` is its bill. Its base URL ends in `/v1`."""

    path = "/v1/stt"
    conversation = _Session

    @override
    def authorised(self, header: str) -> bool:
        return header.startswith("Bearer ")

    @override
    def bill(self, query: dict[str, str], fault: Fault) -> BilledConnection:
        return BilledConnection(query=query, fault=fault, opened_at=0.0, bytes_per_second=32_000)
