"""What each provider's models are asked for, and what they are not."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from livekit.agents import inference, stt
from livekit.plugins import assemblyai, deepgram, openai
from pydantic import SecretStr

from agent import providers
from agent.errors import DispatchError, SettingsError
from agent.providers import Warm, build_engine, check_options, check_request
from agent.request import TranscriptionRequest
from agent.settings import AgentSettings, parse_choice
from agent.speech_options import SpeechOptions

KEYS: dict[str, Any] = {
    "deepgram_api_key": SecretStr("dg"),
    "openai_api_key": SecretStr("sk"),
    "assemblyai_api_key": SecretStr("aai"),
    "livekit_api_key": "lk",
    "livekit_api_secret": SecretStr("secret"),
}
EVERYTHING = {"keyterms": ("Tallyroom",), "diarize": True, "profanity_filter": True}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def built(session: aiohttp.ClientSession, model: str, **options: Any) -> stt.STT[Any]:
    settings = AgentSettings(stt=model, **KEYS)
    return build_engine(settings, SpeechOptions(**options), Warm(), lambda: session)


def refusal(model: str, **options: Any) -> str:
    with pytest.raises(DispatchError) as caught:
        check_options(parse_choice("TALLYROOM_STT", model), SpeechOptions(**options))
    message = str(caught.value)
    assert "\n" not in message
    return message


async def test_deepgram_is_asked_for_all_of_it(session: aiohttp.ClientSession) -> None:
    engine = built(session, "deepgram/nova-3", language="multi", numerals=True, **EVERYTHING)
    assert isinstance(engine, deepgram.STT)
    options = engine._opts
    assert (options.language, options.keyterm) == ("multi", ["Tallyroom"])
    assert (options.enable_diarization, options.profanity_filter) == (True, True)
    assert (options.smart_format, options.numerals, options.punctuate) == (True, True, True)
    assert engine.capabilities.diarization


async def test_deepgram_is_asked_for_none_of_it(session: aiohttp.ClientSession) -> None:
    engine = built(session, "deepgram/nova-3", language="de-CH")
    assert isinstance(engine, deepgram.STT)
    options = engine._opts
    assert (options.language, options.keyterm) == ("de-CH", [])
    assert (options.enable_diarization, options.profanity_filter) == (False, False)
    assert (options.smart_format, options.numerals, options.punctuate) == (True, False, True)
    assert engine._session is session


async def test_deepgram_leaves_numbers_as_words(session: aiohttp.ClientSession) -> None:
    engine = built(session, "deepgram/nova-3", numerals=False)
    assert isinstance(engine, deepgram.STT)
    options = engine._opts
    assert (options.smart_format, options.numerals, options.punctuate) == (False, False, True)


async def test_an_english_model_of_deepgrams_stays_itself(session: aiohttp.ClientSession) -> None:
    """Asked for en-GB, the plugin would take nova-2-general in its place."""
    engine = built(session, "deepgram/nova-2-meeting", language="en-GB")
    assert isinstance(engine, deepgram.STT)
    assert (engine.model, engine._opts.language) == ("nova-2-meeting", "en")


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "nova-2",
            {"keyterms": ("x",)},
            "keyterms: TALLYROOM_STT=deepgram/nova-2 takes none; use a nova-3 model",
        ),
        (
            "nova-3",
            {"keyterms": ("one two three four five six",) * 84},
            "keyterms: TALLYROOM_STT=deepgram/nova-3 takes 500 words at most, not 504",
        ),
        (
            "base",
            {"language": "multi"},
            "language: TALLYROOM_STT=deepgram/base cannot find out the language; name it, or use"
            " nova-3",
        ),
        (
            "nova-2-medical",
            {"language": "de"},
            "language: TALLYROOM_STT=deepgram/nova-2-medical knows English only, not 'de'; use"
            " nova-3",
        ),
    ],
)
def test_what_deepgram_cannot_do(model: str, options: dict[str, Any], message: str) -> None:
    assert refusal(f"deepgram/{model}", **options) == message


async def test_assemblyais_pro_models_are_held_to_a_language(
    session: aiohttp.ClientSession,
) -> None:
    engine = built(
        session, "assemblyai/universal-3-6-pro", language="de-CH", keyterms=("a",), diarize=True
    )
    assert isinstance(engine, assemblyai.STT)
    assert (engine.provider, engine.model) == ("AssemblyAI", "universal-3-6-pro")
    options = engine._opts
    assert options.language_codes == ["de"]
    assert (options.keyterms_prompt, options.speaker_labels) == (["a"], True)
    assert not options.format_turns
    assert engine.capabilities.diarization
    assert engine._api_key == "aai"
    assert engine._base_url == "wss://streaming.assemblyai.com"
    assert engine.session is session


@pytest.mark.parametrize(
    ("model", "language", "formatted"),
    [
        ("universal-3-5-pro", "multi", False),
        ("universal-streaming-multilingual", "multi", True),
        ("universal-streaming-multilingual", "fr", True),
        ("universal-streaming-english", "en-GB", True),
    ],
)
async def test_assemblyais_models_find_out_the_language_or_know_one(
    session: aiohttp.ClientSession, model: str, language: str, formatted: bool
) -> None:
    engine = built(session, f"assemblyai/{model}", language=language)
    assert isinstance(engine, assemblyai.STT)
    assert not engine._opts.language_codes
    assert bool(engine._opts.format_turns) is formatted
    assert not engine.capabilities.diarization


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "universal-streaming-english",
            {"language": "de"},
            "language: TALLYROOM_STT=assemblyai/universal-streaming-english does not know 'de',"
            " it knows en",
        ),
        (
            "universal-streaming-english",
            {"language": "multi"},
            "language: TALLYROOM_STT=assemblyai/universal-streaming-english knows English only;"
            " use universal-streaming-multilingual",
        ),
        (
            "u3-rt-pro",
            {"language": "ja"},
            "language: TALLYROOM_STT=assemblyai/u3-rt-pro does not know 'ja', it knows de, en, es,"
            " fr, it, pt",
        ),
        (
            "u3-rt-pro",
            {"keyterms": ("ok", "x" * 51)},
            "keyterms: TALLYROOM_STT=assemblyai/u3-rt-pro takes 50 characters; no. 2 has 51",
        ),
        (
            "u3-rt-pro",
            {"profanity_filter": True},
            "profanity_filter: TALLYROOM_STT=assemblyai/u3-rt-pro filters none through LiveKit's"
            " plugin; use Deepgram",
        ),
        (
            "u3-rt-pro",
            {"numerals": False},
            "numerals: TALLYROOM_STT=assemblyai/u3-rt-pro has no choice of digits or words; leave"
            " it out, or use Deepgram",
        ),
    ],
)
def test_what_assemblyai_cannot_do(model: str, options: dict[str, Any], message: str) -> None:
    assert refusal(f"assemblyai/{model}", **options) == message


def test_a_model_that_assemblyai_has_not() -> None:
    with pytest.raises(SettingsError) as caught:
        check_request(AgentSettings(stt="assemblyai/best", **KEYS), TranscriptionRequest())
    assert str(caught.value) == (
        "TALLYROOM_STT=assemblyai/best is no streaming model of AssemblyAI's; use one of"
        " universal-streaming-english, universal-streaming-multilingual, u3-rt-pro,"
        " universal-3-5-pro, universal-3-6-pro"
    )


async def test_openai_with_a_language_or_without(session: aiohttp.ClientSession) -> None:
    named = built(session, "openai/gpt-4o-transcribe", language="de-CH")
    found = built(session, "openai/gpt-4o-transcribe", language="multi")
    assert isinstance(named, openai.STT)
    assert isinstance(found, openai.STT)
    assert (named._opts.languages, named._opts.detect_language) == (["de"], False)
    assert (found._opts.languages, found._opts.detect_language) == ([], True)


async def test_openais_newer_models_take_keyterms(session: aiohttp.ClientSession) -> None:
    engine = built(session, "openai/gpt-live-transcribe", keyterms=("Tallyroom",))
    assert isinstance(engine, openai.STT)
    assert engine._opts.keywords == ["Tallyroom"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"keyterms": ("x",)},
            "keyterms: TALLYROOM_STT=openai/gpt-4o-transcribe takes none; use gpt-transcribe or"
            " gpt-live-transcribe",
        ),
        ({"diarize": True}, "tells no voices apart in a realtime session"),
        ({"profanity_filter": True}, "filters no profanity in a realtime session"),
        ({"numerals": True}, "has no choice of digits or words in a realtime session"),
    ],
)
def test_what_openai_cannot_do(options: dict[str, Any], message: str) -> None:
    assert message in refusal("openai/gpt-4o-transcribe", **options)


@pytest.mark.parametrize(
    ("model", "options", "extra"),
    [
        (
            "deepgram/nova-3",
            {**EVERYTHING, "numerals": True},
            {
                "keyterm": ["Tallyroom"],
                "diarize": True,
                "profanity_filter": True,
                "numerals": True,
                "smart_format": True,
                "punctuate": True,
            },
        ),
        (
            "deepgram/nova-3",
            {"numerals": False},
            {"numerals": False, "smart_format": False, "punctuate": True},
        ),
        ("deepgram/flux-general", {"keyterms": ("a",)}, {"keyterm": ["a"]}),
        (
            "assemblyai/u3-rt-pro",
            {"keyterms": ("a",), "diarize": True},
            {"keyterms_prompt": ["a"], "speaker_labels": True},
        ),
        (
            "speechmatics/enhanced",
            {"keyterms": ("a",), "diarize": True},
            {"additional_vocab": [{"content": "a"}], "diarization": "speaker"},
        ),
        ("xai/stt-1", {"diarize": True, "numerals": True}, {"diarize": True, "format": True}),
        ("openai/gpt-live-transcribe", {"keyterms": ("a",)}, {"keywords": ["a"]}),
        (
            "google/gemini-3.5-transcribe-live",
            {"keyterms": ("a",)},
            {"custom_vocabulary": ["a"]},
        ),
        ("cartesia/ink-whisper", {}, {}),
    ],
)
async def test_inference_asks_each_model_by_its_own_names(
    session: aiohttp.ClientSession,
    model: str,
    options: dict[str, Any],
    extra: dict[str, Any],
) -> None:
    engine = built(session, f"livekit/{model}", **options)
    assert isinstance(engine, inference.STT)
    assert engine._opts.extra_kwargs == extra
    assert engine._opts.language == "en"


@pytest.mark.parametrize(
    ("model", "language"),
    [
        ("deepgram/nova-3", "multi"),
        ("deepgram/flux-general-multi", "multi"),
        ("assemblyai/u3-rt-pro", None),
        ("openai/gpt-live-transcribe", None),
    ],
)
async def test_inference_finds_out_the_language(
    session: aiohttp.ClientSession, model: str, language: str | None
) -> None:
    engine = built(session, f"livekit/{model}", language="multi")
    assert isinstance(engine, inference.STT)
    assert (engine._opts.language or None) == language


@pytest.mark.parametrize(
    ("model", "options", "field"),
    [
        ("deepgram/nova-2", {"keyterms": ("a",)}, "keyterms"),
        ("deepgram/flux-general", {"diarize": True}, "diarize"),
        ("deepgram/flux-general", {"language": "multi"}, "language"),
        ("deepgram/nova-3-pharma", {"language": "multi"}, "language"),
        ("assemblyai/u3-rt-pro", {"profanity_filter": True}, "profanity_filter"),
        ("assemblyai/u3-rt-pro", {"numerals": False}, "numerals"),
        ("assemblyai/universal-streaming", {"language": "multi"}, "language"),
        ("speechmatics/standard", {"language": "multi"}, "language"),
        ("xai/stt-1", {"keyterms": ("a",)}, "keyterms"),
        ("openai/gpt-live-transcribe", {"diarize": True}, "diarize"),
        ("cartesia/ink-whisper", {"keyterms": ("a",)}, "keyterms"),
        ("cartesia/ink-whisper", {"language": "multi"}, "language"),
        ("auto", {"diarize": True}, "diarize"),
    ],
)
def test_what_inference_cannot_do(model: str, options: dict[str, Any], field: str) -> None:
    assert refusal(f"livekit/{model}", **options).startswith(
        f"{field}: TALLYROOM_STT=livekit/{model} cannot "
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"keyterms": ("a",)}, "keyterms"),
        ({"diarize": True}, "diarize"),
        ({"profanity_filter": True}, "profanity_filter"),
        ({"numerals": False}, "numerals"),
    ],
)
def test_what_the_embedded_model_cannot_do(options: dict[str, Any], field: str) -> None:
    assert refusal("faster-whisper/small", **options).startswith(
        f"{field}: TALLYROOM_STT=faster-whisper/small "
    )


def test_what_one_participant_asks_for_declines_the_dispatch() -> None:
    settings = AgentSettings(stt="assemblyai/u3-rt-pro", **KEYS)
    check_request(settings, TranscriptionRequest(languages={"anna": "de"}, diarize=("ben",)))
    with pytest.raises(DispatchError, match="does not know 'ja'"):
        check_request(settings, TranscriptionRequest(languages={"anna": "ja"}))
    with pytest.raises(DispatchError, match="tells no voices apart"):
        check_request(
            AgentSettings(stt="openai/gpt-4o-transcribe", **KEYS),
            TranscriptionRequest(diarize=("ben",)),
        )


@pytest.mark.parametrize(
    ("model", "package", "extra"),
    [
        ("assemblyai/u3-rt-pro", "livekit-plugins-assemblyai", "assemblyai"),
        ("deepgram/nova-3", "livekit-plugins-deepgram", "transcriber"),
    ],
)
def test_a_plugin_that_is_not_installed_is_said_before_a_job_is_taken(
    monkeypatch: pytest.MonkeyPatch, model: str, package: str, extra: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        check_request(AgentSettings(stt=model, **KEYS), TranscriptionRequest())
    assert str(caught.value) == (
        f"TALLYROOM_STT={model} needs the package {package}; install tallyroom[{extra}]"
    )


async def test_what_a_plugin_refuses_is_a_setting_that_cannot_be_used(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(wanted: object) -> stt.STT[Any]:
        raise ValueError("no such thing")

    known = providers._PROVIDERS["deepgram"]
    monkeypatch.setitem(providers._PROVIDERS, "deepgram", replace(known, build=refuse))
    with pytest.raises(SettingsError) as caught:
        built(session, "deepgram/nova-9")
    assert str(caught.value) == "TALLYROOM_STT=deepgram/nova-9 cannot be used: no such thing"
