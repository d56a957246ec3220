"""How each speech provider's socket says what it carries.

What is billed can be read off the wire: the provider from the path, model and paid features from
the query, the audio from its bytes, the provider's own id and its own figure from what it sends
back. Reading them there needs no setting and cannot disagree with what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from typing_extensions import override
from yarl import URL

from ..errors import UsageError
from ..usage import check_quantity, parse_decimal

_LINEAR16_BYTES_PER_SAMPLE = 2


@dataclass(slots=True)
class SpeechSocket:
    """What one STT socket carries.

    `bytes_per_second` is that of its audio, None where the encoding does not tell.
    `stated_seconds` is the provider's own figure, once it has sent one.
    """

    provider: str
    model: str
    attributes: dict[str, str] = field(default_factory=dict)
    bytes_per_second: int | None = None
    provider_ref: str | None = None
    stated_seconds: Decimal | None = None

    def received(self, message: str) -> None:
        """Take what the provider says of itself from one of its messages."""


class SpeechProtocol(Protocol):
    """Recognises one provider's sockets."""

    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        """The socket that this request opened, or None if it is not this provider's."""


class DeepgramSocket(SpeechSocket):
    """Deepgram's streaming API, v1.

    It states the audio's duration in the `Metadata` message that answers `CloseStream`.
    https://developers.deepgram.com/reference/speech-to-text/listen-streaming
    """

    @override
    def received(self, message: str) -> None:
        if '"Metadata"' not in message:
            return
        data = json.loads(message, parse_float=str, parse_int=str)
        if data.get("type") == "Metadata":
            stated = parse_decimal(data.get("duration"), "duration")
            check_quantity("stt_audio", "duration", stated)
            self.stated_seconds = stated
            request_id = data.get("request_id")
            if request_id and isinstance(request_id, str):
                self.provider_ref = request_id


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
        if query.get("diarize", "").lower() == "true":
            attributes["diarization"] = "true"
        if "keyterm" in query:
            attributes["keyterms"] = "true"
        return DeepgramSocket(
            provider="deepgram",
            model=query.get("model", ""),
            attributes=attributes,
            bytes_per_second=_linear16(query),
            provider_ref=response_headers.get("dg-request-id"),
        )


def _linear16(query: Mapping[str, str]) -> int | None:
    if query.get("encoding") != "linear16":
        return None
    try:
        rate, channels = int(query.get("sample_rate", "0")), int(query.get("channels", "1"))
    except ValueError:
        return None
    return rate * channels * _LINEAR16_BYTES_PER_SAMPLE or None


PROTOCOLS: tuple[SpeechProtocol, ...] = (DeepgramListen(),)


def recognise(url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
    """The speech socket behind a request, or None if no known protocol fits."""
    for protocol in PROTOCOLS:
        if socket := protocol.recognise(url, response_headers):
            return socket
    return None


def hear(socket: SpeechSocket, message: str) -> UsageError | None:
    """Let a socket read a message; what cannot be read is returned, never raised.

    The message goes on to the plugin whatever we make of it.
    """
    try:
        socket.received(message)
    except UsageError as error:
        return error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return UsageError(f"unreadable message from {socket.provider}: {type(error).__name__}")
    return None
