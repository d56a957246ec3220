"""AssemblyAI's streaming API, v3.

A session has its id from the `Begin` message, and ends with `Terminate`, which the server answers
with `Termination`: the seconds of the session, which are billed, and of the audio. A session that
nobody terminates is billed until its `inactivity_timeout`, or for three hours.
https://www.assemblyai.com/docs/api-reference/streaming-api/streaming-api
https://www.assemblyai.com/docs/streaming/common-session-errors-and-closures
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from typing_extensions import override
from yarl import URL

from .speech_socket import SpeechProtocol, SpeechSocket, exact_json, linear16, seconds, text

_PATH = "/v3/ws"
_TERMINATE = '{"type": "Terminate"}'
LONGEST_SESSION = Decimal(10_800)
"""Seconds after which AssemblyAI ends a session that nobody has ended."""

INACTIVITY_SECONDS = 300
"""After how long without sound the sessions end that a metered client session opens.

Who kills a job leaves its sessions open, and pays for that long instead of three hours. A session
that ends so while its stream lives on is opened again: LiveKit's framework takes a failure after so
long for a first one.
"""


def limit_inactivity(url: URL) -> URL:
    """The URL with an inactivity timeout, if it is AssemblyAI's and has none."""
    if url.path.endswith(_PATH) and "inactivity_timeout" not in url.query:
        return url.update_query(inactivity_timeout=INACTIVITY_SECONDS)
    return url


@dataclass(slots=True)
class AssemblyAISocket(SpeechSocket):
    """One session of `/v3/ws`; `left_open` is how long it lives on if it is not terminated."""

    left_open: Decimal = LONGEST_SESSION
    terminate_sent: bool = False

    @override
    def sent(self, message: str) -> int:
        if '"Terminate"' in message and exact_json(message).get("type") == "Terminate":
            self.terminate_sent = True
        return 0

    @override
    def received(self, message: str) -> None:
        if '"Begin"' not in message and '"Termination"' not in message:
            return
        data = exact_json(message)
        if data.get("type") == "Begin":
            self.provider_ref = text(data, "id") or self.provider_ref
        elif data.get("type") == "Termination":
            connection = seconds(data, "session_duration_seconds", "stt_connection")
            self.stated_audio = seconds(data, "audio_duration_seconds", "stt_audio")
            self.stated_connection = connection

    @override
    def farewell(self) -> str | None:
        return None if self.terminate_sent else _TERMINATE

    @override
    def exposure(self, *, orderly: bool) -> Decimal:
        # A `Terminate` that was on its way when the connection broke may never have arrived.
        ended = self.stated_connection is not None or (self.terminate_sent and orderly)
        return Decimal(0) if ended else self.left_open


class AssemblyAIStreaming(SpeechProtocol):
    """AssemblyAI's `/v3/ws`, whatever host or proxy it is behind."""

    @override
    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        if not url.path.endswith(_PATH):
            return None
        query = url.query
        attributes = {}
        if query.get("speaker_labels", "").lower() == "true":
            attributes["diarization"] = "true"
        if query.get("keyterms_prompt"):
            attributes["keyterms"] = "true"
        return AssemblyAISocket(
            provider="assemblyai",
            model=query.get("speech_model", ""),
            attributes=attributes,
            bytes_per_second=_bytes_per_second(query),
            left_open=_left_open(query.get("inactivity_timeout")),
        )


def _bytes_per_second(query: Mapping[str, str]) -> int | None:
    in_linear16 = linear16(query.get("sample_rate"))
    if query.get("encoding", "pcm_s16le") == "pcm_s16le":
        return in_linear16
    if query["encoding"] == "pcm_mulaw" and in_linear16:
        return in_linear16 // 2
    return None


def _left_open(inactivity_timeout: str | None) -> Decimal:
    if inactivity_timeout and inactivity_timeout.isdecimal() and len(inactivity_timeout) < 6:
        return min(Decimal(inactivity_timeout), LONGEST_SESSION)
    return LONGEST_SESSION
