"""LiveKit Inference's STT gateway, as far as the framework's own client speaks to it.

It bills connection time. The model is in the query, the rest in the client's `session.create`;
sound comes as base64 in `input_audio`. What it calls a session is said in its messages.
https://docs.livekit.io/agents/models/stt/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override
from yarl import URL

from .speech_socket import (
    SpeechProtocol,
    SpeechSocket,
    base64_bytes,
    exact_json,
    is_true,
    linear16,
    text,
)

_START = 64
_KEYTERMS = ("keyterm", "keyterms_prompt", "keywords", "additional_vocab", "custom_vocabulary")
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
            self.attributes |= _asked(settings.get("extra") or {})
        return 0

    @override
    def received(self, message: str) -> None:
        if self.provider_ref is None and any(kind in message for kind in _NAMES_REQUEST):
            data = exact_json(message)
            self.provider_ref = text(data, "session_id") or text(data, "request_id")


def _asked(extra: Mapping[str, Any]) -> dict[str, str]:
    """The features asked for in a model's own parameters, which each provider names otherwise."""
    signs = {
        "diarization": (
            is_true(extra.get("diarize")),
            is_true(extra.get("speaker_labels")),
            extra.get("diarization") not in (None, "", "none"),
        ),
        "keyterms": [bool(extra.get(name)) for name in _KEYTERMS],
        "redaction": [extra.get("redact") not in (None, "", [], False, "false")],
    }
    return {feature: "true" for feature, found in signs.items() if any(found)}


class InferenceSTT(SpeechProtocol):
    """The gateway's `/stt`, which asks for a model as `provider/name`."""

    @override
    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        model = url.query.get("model", "")
        if not url.path.endswith("/stt") or not ("/" in model or model == "auto"):
            return None
        return InferenceSocket(provider="livekit", model=model.partition(":")[0].lower())
