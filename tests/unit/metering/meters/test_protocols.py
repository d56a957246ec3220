from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest
from yarl import URL

from metering.errors import UsageError
from metering.meters.protocols import hear, recognise, say
from metering.meters.speech_socket import SpeechSocket

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
    assert found.stated_audio is None


@pytest.mark.parametrize(
    ("query", "features"),
    [
        ("diarize=True&keyterm=a", {"diarization", "keyterms"}),
        ("redact=pci&redact=ssn", {"redaction"}),
        ("redact=true", {"redaction"}),
        ("redact=false&keyterm=&diarize=false", set()),
        ("mip_opt_out=true", {"model_improvement_opt_out"}),
        ("mip_opt_out=false", set()),
        ("profanity_filter=true&numerals=true&smart_format=true", set()),
    ],
)
def test_deepgrams_paid_features(query: str, features: set[str]) -> None:
    assert socket(query).attributes == dict.fromkeys(features, "true")


def test_deepgram_behind_a_proxy() -> None:
    assert socket(base="ws://127.0.0.1:9000/speech/v1/listen").provider == "deepgram"


@pytest.mark.parametrize(
    "url",
    [
        "wss://api.deepgram.com/v1/speak",
        "wss://api.deepgram.com/v2/listen/more",
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
    assert found.stated_audio == Decimal("0.1")
    assert found.provider_ref == "req-2"
    assert hear(found, metadata(duration=10**20 // 10**19)) is None
    assert found.stated_audio == Decimal(10)


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
    assert (found.stated_audio, found.provider_ref) == (None, "req-1")


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
    assert (found.stated_audio, found.provider_ref) == (None, "req-1")


def test_a_refusal_does_not_repeat_what_was_said() -> None:
    error = hear(socket(), '["Metadata", "the secret plan"]')
    assert str(error) == "unreadable message from deepgram: TypeError"


@pytest.mark.parametrize("request_id", [None, "", {"a": 1}, ["x"], True])
def test_a_request_id_that_is_no_text_leaves_the_first(request_id: object) -> None:
    found = socket()
    assert hear(found, metadata(request_id=request_id, duration=1)) is None
    assert found.stated_audio == Decimal(1)
    assert found.provider_ref == "req-1"


ASSEMBLYAI = "wss://streaming.assemblyai.com/v3/ws"


def termination(**fields: object) -> str:
    stated = {"audio_duration_seconds": 4.5, "session_duration_seconds": 5}
    return json.dumps({"type": "Termination"} | stated | fields)


def test_assemblyai_is_read_off_its_request_and_its_messages() -> None:
    found = socket(
        "speech_model=universal-3-6-pro&sample_rate=16000&encoding=pcm_s16le"
        "&speaker_labels=true&keyterms_prompt=%5B%22a%22%5D",
        ref=None,
        base=ASSEMBLYAI,
    )
    assert (found.provider, found.model) == ("assemblyai", "universal-3-6-pro")
    assert found.attributes == {"diarization": "true", "keyterms": "true"}
    assert found.bytes_per_second == 32_000
    assert hear(found, '{"type": "Begin", "id": "session-1", "expires_at": 1}') is None
    assert found.provider_ref == "session-1"
    assert hear(found, termination()) is None
    assert (found.stated_connection, found.stated_audio) == (Decimal(5), Decimal("4.5"))


@pytest.mark.parametrize(
    ("query", "attributes"),
    [
        ("language_codes=%5B%22de%22%5D", {"language": "de"}),
        ("language_codes=%5B%22de%22%2C%22en%22%5D", {}),
        ("language_codes=de", {}),
        ("language_codes=5", {}),
        ("speaker_labels=1&redact_pii=yes", {"diarization": "true", "redaction": "true"}),
        ("domain=medical-v1", {"medical": "true"}),
        ("prompt=a+meeting", {"prompt": "true"}),
        ("voice_focus=far-field", {"voice_focus": "true"}),
        ("keyterms_prompt=%5B%5D&filter_profanity=true&format_turns=true", {}),
    ],
)
def test_assemblyais_language_and_paid_features(query: str, attributes: dict[str, str]) -> None:
    assert socket(query, base=ASSEMBLYAI).attributes == attributes


def test_what_is_asked_of_assemblyai_later_counts_too() -> None:
    found = socket(base=ASSEMBLYAI)
    assert say(found, '{"type": "UpdateConfiguration", "keyterms_prompt": ["a"]}') == 0
    assert say(found, '{"type": "UpdateConfiguration", "keyterms_prompt": []}') == 0
    assert found.attributes == {"keyterms": "true"}
    assert isinstance(say(found, '"UpdateConfiguration"'), UsageError)


@pytest.mark.parametrize(
    ("encoding", "bytes_per_second"),
    [("pcm_s16le", 16_000), ("pcm_mulaw", 8_000), ("opus", None)],
)
def test_assemblyais_encodings(encoding: str, bytes_per_second: int | None) -> None:
    found = socket(f"sample_rate=8000&encoding={encoding}", base=ASSEMBLYAI)
    assert found.bytes_per_second == bytes_per_second


@pytest.mark.parametrize(
    ("query", "left_open"),
    [
        ("", 10_800),
        ("inactivity_timeout=30", 30),
        ("inactivity_timeout=99999", 10_800),
        ("inactivity_timeout=soon", 10_800),
        ("inactivity_timeout=-5", 10_800),
        ("inactivity_timeout=999999999999999999999", 10_800),
    ],
)
def test_a_session_left_open_is_an_exposure_until_it_times_out(query: str, left_open: int) -> None:
    found = socket(query, base=ASSEMBLYAI)
    assert (found.owes_statement, found.exposure) == (False, Decimal(left_open))
    assert say(found, '{"type": "Terminate"}') == 0
    # Whether it has arrived is not known: what is written to a dead network is written.
    assert (found.owes_statement, found.exposure) == (True, Decimal(left_open))
    assert hear(found, termination()) is None
    assert (found.owes_statement, found.exposure) == (False, Decimal(0))


@pytest.mark.parametrize("seconds", ["-1", "NaN", '"soon"', "1e999999999", "[]"])
def test_a_termination_that_cannot_be_true_is_refused(seconds: str) -> None:
    found = socket(base=ASSEMBLYAI)
    message = f'{{"type": "Termination", "session_duration_seconds": {seconds}}}'
    assert hear(found, message) is not None
    assert found.stated_connection is None
    assert found.exposure == 10_800


def test_deepgram_leaves_nothing_open() -> None:
    assert socket().exposure == 0


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 4_800])
@pytest.mark.parametrize("separators", [None, (",", ":")])
def test_sound_in_base64_is_counted_as_what_it_stands_for(
    size: int, separators: tuple[str, str] | None
) -> None:
    sound = base64.b64encode(bytes(size)).decode()
    openai = socket("intent=transcription", base="wss://api.openai.com/v1/realtime")
    append = {"type": "input_audio_buffer.append", "audio": sound}
    assert say(openai, json.dumps(append, separators=separators)) == size
    gateway = socket("model=deepgram/nova-3", base="wss://agent-gateway.livekit.cloud/v1/stt")
    spoken = {"type": "input_audio", "audio": sound}
    assert say(gateway, json.dumps(spoken, separators=separators)) == size


def test_openai_names_its_model_once_the_client_asks_for_it() -> None:
    found = socket("intent=transcription", base="wss://api.openai.com/v1/realtime", ref=None)
    assert (found.provider, found.model, found.bytes_per_second) == ("openai", "", None)
    session = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {
                    "model": "gpt-4o-transcribe",
                    "language": "de",
                    "keywords": ["Tallyroom"],
                },
            }
        },
    }
    assert say(found, json.dumps({"type": "session.update", "session": session})) == 0
    assert (found.model, found.bytes_per_second) == ("gpt-4o-transcribe", 48_000)
    assert found.attributes == {"language": "de", "keyterms": "true"}
    assert hear(found, '{"type": "session.created", "session": {"id": "sess_1"}}') is None
    assert found.provider_ref == "sess_1"


@pytest.mark.parametrize(
    "url",
    [
        "wss://api.openai.com/v1/realtime?model=gpt-realtime",
        "wss://api.openai.com/v1/realtime",
        "wss://example.com/stt",
        "wss://example.com/stt?model=whisper",
    ],
)
def test_a_conversation_is_no_transcription(url: str) -> None:
    assert recognise(URL(url), {}) is None


def test_inference_says_the_rest_as_its_session_is_made() -> None:
    found = socket(
        "model=Deepgram/nova-3:en", base="wss://agent-gateway.livekit.cloud/v1/stt", ref=None
    )
    assert (found.provider, found.model) == ("livekit", "deepgram/nova-3")
    settings = {"sample_rate": "16000", "encoding": "pcm_s16le", "language": "en"}
    assert say(found, json.dumps({"type": "session.create", "settings": settings})) == 0
    assert (found.bytes_per_second, found.attributes) == (32_000, {"language": "en"})
    assert hear(found, '{"type": "session.created", "session_id": "s-1"}') is None
    assert hear(found, '{"type": "final_transcript", "request_id": "other"}') is None
    assert found.provider_ref == "s-1"


@pytest.mark.parametrize(
    ("extra", "features"),
    [
        ({"diarize": True, "keyterm": ["a"]}, {"diarization", "keyterms"}),
        ({"speaker_labels": True, "keyterms_prompt": ["a"]}, {"diarization", "keyterms"}),
        ({"diarization": "speaker", "additional_vocab": [{}]}, {"diarization", "keyterms"}),
        ({"diarization": "none", "diarize": False, "keyterm": [], "redact": ""}, set()),
        ({"redact": ["pci"]}, {"redaction"}),
        ({"keywords": ["a"], "profanity_filter": True}, {"keyterms"}),
    ],
)
def test_inferences_paid_features_by_each_models_own_names(
    extra: dict[str, object], features: set[str]
) -> None:
    found = socket("model=a/b", base="wss://agent-gateway.livekit.cloud/v1/stt")
    message = {"type": "session.create", "settings": {"extra": extra}}
    assert say(found, json.dumps(message)) == 0
    assert found.attributes == dict.fromkeys(features, "true")


@pytest.mark.parametrize(
    "message",
    ['{"type": "session.create", "settings": 5}', '"session.create"', '{"session.create": '],
)
def test_what_a_client_says_is_read_without_ever_raising(message: str) -> None:
    found = socket("model=a/b", base="wss://agent-gateway.livekit.cloud/v1/stt")
    assert isinstance(say(found, message), UsageError)
