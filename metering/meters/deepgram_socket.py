"""Deepgram's streaming API, v1.

It states the audio's duration in the `Metadata` message that answers `CloseStream`. What may cost
more than the model does is in the query: `language=multi`, `diarize`, `keyterm`, `redact`, and
`mip_opt_out`.
https://developers.deepgram.com/reference/speech-to-text/listen-streaming
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import override
from yarl import URL

from .speech_socket import (
    SpeechProtocol,
    SpeechSocket,
    exact_json,
    is_true,
    linear16,
    seconds,
    text,
)


class DeepgramSocket(SpeechSocket):
    """One connection to `/v1/listen`."""

    @override
    def received(self, message: str) -> None:
        if '"Metadata"' not in message:
            return
        data = exact_json(message)
        if data.get("type") == "Metadata":
            self.stated_audio = seconds(data, "duration", "stt_audio")
            self.provider_ref = text(data, "request_id") or self.provider_ref


class DeepgramListen(SpeechProtocol):
    """Deepgram's `/v1/listen`, whatever host or proxy it is behind."""

    @override
    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        if not url.path.endswith("/v1/listen"):
            return None
        query = url.query
        attributes = {}
        if language := query.get("language"):
            attributes["language"] = language
        for feature, asked in (
            ("diarization", is_true(query.get("diarize"))),
            ("keyterms", bool(query.get("keyterm"))),
            ("redaction", query.get("redact", "false").lower() != "false"),
            ("model_improvement_opt_out", is_true(query.get("mip_opt_out"))),
        ):
            if asked:
                attributes[feature] = "true"
        return DeepgramSocket(
            provider="deepgram",
            model=query.get("model", ""),
            attributes=attributes,
            bytes_per_second=linear16(query.get("sample_rate"), query.get("channels", "1"))
            if query.get("encoding") == "linear16"
            else None,
            provider_ref=response_headers.get("dg-request-id"),
        )
