"""LiveKit Inference's STT gateway, as far as the framework's own client speaks to it.

It bills connection time. The model is in the query, the rest in the client's `session.create`;
sound comes as base64 in `input_audio`. What it calls a session is said in its messages.
https://docs.livekit.io/agents/models/stt/
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override
from yarl import URL

from .speech_socket import (
    SpeechProtocol,
    SpeechSocket,
    base64_bytes,
    exact_json,
    linear16,
    text,
)

_START = 64
_NAMES_REQUEST = ('"session.created"', '"final_transcript"')


class InferenceSocket(SpeechSocket):
    """One connection to the gateway's `/stt`."""

    @override
    def sent(self, message: str) -> int:
        if '"input_audio"' in message[:_START]:
            return base64_bytes(message)
        if '"session.create"' in message:
            settings = exact_json(message).get("settings") or {}
            if settings.get("encoding", "pcm_s16le") == "pcm_s16le":
                self.bytes_per_second = linear16(settings.get("sample_rate"))
            if language := text(settings, "language"):
                self.attributes["language"] = language
        return 0

    @override
    def received(self, message: str) -> None:
        if self.provider_ref is None and any(kind in message for kind in _NAMES_REQUEST):
            data = exact_json(message)
            self.provider_ref = text(data, "session_id") or text(data, "request_id")


class InferenceSTT(SpeechProtocol):
    """The gateway's `/stt`, which asks for a model as `provider/name`."""

    @override
    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        model = url.query.get("model", "")
        if not url.path.endswith("/stt") or not ("/" in model or model == "auto"):
            return None
        return InferenceSocket(provider="livekit", model=model.partition(":")[0].lower())
