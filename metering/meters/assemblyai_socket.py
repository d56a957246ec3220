"""AssemblyAI's streaming API, v3.

A session has its id from the `Begin` message, and ends with `Terminate`, which the server answers
with `Termination`: the seconds of the session, which are billed, and of the audio. A session that
nobody terminates is billed until its `inactivity_timeout`, or for three hours.
https://www.assemblyai.com/docs/api-reference/streaming-api/streaming-api
https://www.assemblyai.com/docs/streaming/common-session-errors-and-closures
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

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

_PATH = "/v3/ws"
_TERMINATE = '{"type": "Terminate"}'
_FEATURES = {
    "keyterms_prompt": "keyterms",
    "prompt": "prompt",
    "agent_context": "prompt",
    "voice_focus": "voice_focus",
}
"""Parameters that ask for a feature by being there at all; they may also come in mid-session."""
_EMPTY: tuple[object, ...] = (None, "", "[]", [])
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
        elif '"UpdateConfiguration"' in message:
            self.attributes |= _asked(exact_json(message))
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

    @property
    @override
    def owes_statement(self) -> bool:
        return self.terminate_sent and self.stated_connection is None

    @property
    @override
    def exposure(self) -> Decimal:
        # What was written to a network that has gone is written all the same: only the answer to a
        # `Terminate` tells that it has arrived.
        return self.left_open if self.stated_connection is None else Decimal(0)


class AssemblyAIStreaming(SpeechProtocol):
    """AssemblyAI's `/v3/ws`, whatever host or proxy it is behind."""

    @override
    def recognise(self, url: URL, response_headers: Mapping[str, str]) -> SpeechSocket | None:
        if not url.path.endswith(_PATH):
            return None
        query = url.query
        attributes = _asked(query)
        if (language := _only_language(query.get("language_codes"))) is not None:
            attributes["language"] = language
        for feature, asked in (
            ("diarization", is_true(query.get("speaker_labels"))),
            ("redaction", is_true(query.get("redact_pii"))),
            ("medical", query.get("domain", "").startswith("medical")),
        ):
            if asked:
                attributes[feature] = "true"
        return AssemblyAISocket(
            provider="assemblyai",
            model=query.get("speech_model", ""),
            attributes=attributes,
            bytes_per_second=_bytes_per_second(query),
            left_open=_left_open(query.get("inactivity_timeout")),
        )


def _asked(parameters: Mapping[str, object]) -> dict[str, str]:
    return {
        feature: "true" for name, feature in _FEATURES.items() if parameters.get(name) not in _EMPTY
    }


def _only_language(codes: str | None) -> str | None:
    """The language that the model is held to, if it is one and can be read."""
    try:
        (code,) = json.loads(codes or "")
    except (ValueError, TypeError):
        return None
    return code if isinstance(code, str) else None


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
