from __future__ import annotations

import json
from decimal import Decimal

import pytest
from yarl import URL

from metering.meters.protocols import SpeechSocket, hear, recognise

LISTEN = "wss://api.deepgram.com/v1/listen"


def socket(query: str = "", *, ref: str | None = "req-1", base: str = LISTEN) -> SpeechSocket:
    found = recognise(URL(f"{base}?{query}"), {"dg-request-id": ref} if ref else {})
    assert found is not None
    return found


def metadata(**fields: object) -> str:
    return json.dumps({"type": "Metadata", "request_id": "req-2", "duration": 12.345} | fields)


def test_deepgram_is_read_off_its_request() -> None:
    found = socket(
        "model=nova-3&language=multi&diarize=true&keyterm=a&keyterm=b"
        "&encoding=linear16&sample_rate=16000&channels=2"
    )
    assert found.provider == "deepgram"
    assert found.model == "nova-3"
    assert found.attributes == {"language": "multi", "diarization": "true", "keyterms": "true"}
    assert found.bytes_per_second == 64_000
    assert found.provider_ref == "req-1"
    assert found.stated_seconds is None


def test_deepgram_behind_a_proxy() -> None:
    assert socket(base="ws://127.0.0.1:9000/speech/v1/listen").provider == "deepgram"


@pytest.mark.parametrize(
    "url",
    [
        "wss://api.deepgram.com/v1/speak",
        "wss://api.deepgram.com/v2/listen/more",
        "wss://streaming.assemblyai.com/v3/ws",
        "wss://example.com/",
        "wss://example.com/?path=/v1/listen",
    ],
)
def test_other_sockets_are_nobodys(url: str) -> None:
    assert recognise(URL(url), {}) is None


@pytest.mark.parametrize(
    ("query", "bytes_per_second"),
    [
        ("encoding=linear16&sample_rate=16000", 32_000),
        ("encoding=linear16&sample_rate=48000&channels=1", 96_000),
        ("encoding=opus&sample_rate=48000", None),
        ("encoding=linear16", None),
        ("encoding=linear16&sample_rate=fast", None),
        ("encoding=linear16&sample_rate=16000&channels=many", None),
        ("encoding=linear16&sample_rate=16000&channels=0", None),
        ("sample_rate=16000", None),
        ("", None),
    ],
)
def test_bytes_a_second_where_the_encoding_tells(query: str, bytes_per_second: int | None) -> None:
    assert socket(query).bytes_per_second == bytes_per_second


def test_what_is_not_asked_for_is_no_attribute() -> None:
    assert socket("diarize=false").attributes == {}


def test_no_request_id_is_none() -> None:
    assert socket(ref=None).provider_ref is None


def test_deepgram_states_its_duration_exactly() -> None:
    found = socket()
    assert hear(found, metadata(duration=0.1)) is None
    assert found.stated_seconds == Decimal("0.1")
    assert found.provider_ref == "req-2"
    assert hear(found, metadata(duration=10**20 // 10**19)) is None
    assert found.stated_seconds == Decimal(10)


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "Results", "duration": 5, "request_id": "x"}',
        '{"type": "Results", "channel": {"transcript": "he said \\"Metadata\\" twice"}}',
        "not JSON at all",
        "",
    ],
)
def test_other_messages_state_nothing(message: str) -> None:
    found = socket()
    assert hear(found, message) is None
    assert (found.stated_seconds, found.provider_ref) == (None, "req-1")


@pytest.mark.parametrize(
    "message",
    [
        '"Metadata"',
        '["Metadata"]',
        '{"Metadata": ',
        '{"type": "Metadata", "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"type": "Metadata", "duration": "soon"}',
        '{"type": "Metadata", "duration": -5}',
        '{"type": "Metadata", "duration": NaN}',
        '{"type": "Metadata", "duration": "NaN"}',
        '{"type": "Metadata", "duration": Infinity}',
        '{"type": "Metadata", "duration": 1e999999999}',
        '{"type": "Metadata", "duration": true}',
        '{"type": "Metadata", "duration": {}}',
    ],
    ids=lambda message: message[:48],
)
def test_a_hostile_message_is_refused_and_raises_nothing(message: str) -> None:
    found = socket()
    error = hear(found, message)
    assert error is not None
    assert (found.stated_seconds, found.provider_ref) == (None, "req-1")


def test_a_refusal_does_not_repeat_what_was_said() -> None:
    error = hear(socket(), '["Metadata", "the secret plan"]')
    assert str(error) == "unreadable message from deepgram: AttributeError"


@pytest.mark.parametrize("request_id", [None, "", {"a": 1}, ["x"], True])
def test_a_request_id_that_is_no_text_leaves_the_first(request_id: object) -> None:
    found = socket()
    assert hear(found, metadata(request_id=request_id, duration=1)) is None
    assert found.stated_seconds == Decimal(1)
    assert found.provider_ref == "req-1"
