"""OpenAI's realtime transcription, whose sockets its plugin pools past the end of a stream.

It bills tokens, item by item, which the plugin reports; the connection is not billed, but it is
there to be found again. The model is in the query where a gateway routes on it, and in the client's
`session.update` where it is OpenAI itself.
https://platform.openai.com/docs/guides/realtime-transcription
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


class OpenAITranscriptionSocket(SpeechSocket):
    """One connection to `/realtime?intent=transcription`."""

    @override
    def sent(self, message: str) -> int:
        if '"input_audio_buffer.append"' in message[:_START]:
            return base64_bytes(message)
        if '"session.update"' in message:
            session = exact_json(message).get("session") or {}
            spoken = (session.get("audio") or {}).get("input") or {}
            transcription = spoken.get("transcription") or {}
            self.model = text(transcription, "model") or self.model
            if language := text(transcription, "language"):
                self.attributes["language"] = language
            if transcription.get("keywords"):
                self.attributes["keyterms"] = "true"
            how = spoken.get("format") or {}
            if how.get("type") == "audio/pcm":
                self.bytes_per_second = linear16(how.get("rate"))
        return 0

    @override
    def received(self, message: str) -> None:
        if '"session.created"' in message or '"transcription_session.created"' in message:
            session = exact_json(message).get("session") or {}
            self.provider_ref = text(session, "id") or self.provider_ref


class OpenAITranscription(SpeechProtocol):
    """OpenAI's realtime endpoint where it was opened to transcribe."""

    @override
    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        if not url.path.endswith("/realtime") or url.query.get("intent") != "transcription":
            return None
        return OpenAITranscriptionSocket(provider="openai", model=url.query.get("model", ""))
