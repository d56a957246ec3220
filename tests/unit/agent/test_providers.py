from __future__ import annotations

import importlib.metadata
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.agents import inference, vad
from livekit.plugins import deepgram, openai

from agent.errors import DispatchError, SettingsError, SpeechModelError
from agent.providers import Warm, build_stt, check_request, warm_up
from agent.request import TranscriptionRequest
from agent.settings import AgentSettings
from agent.speech_model import BUNDLED_MODEL, SpeechModel
from agent.whisper_stt import WhisperSTT

PLUGINS = tuple(f"livekit-plugins-{name}" for name in ("assemblyai", "deepgram", "openai"))


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "DEEPGRAM_", "OPENAI_", "ASSEMBLYAI_", "TALLYROOM_")):
            monkeypatch.delenv(name)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def settings(**changes: Any) -> AgentSettings:
    keys = {
        "deepgram_api_key": "dg",
        "openai_api_key": "sk",
        "assemblyai_api_key": "aai",
        "livekit_api_key": "lk",
        "livekit_api_secret": "secret",
    }
    return AgentSettings(**keys | changes)


def asking(**changes: Any) -> TranscriptionRequest:
    return TranscriptionRequest(**changes)


def test_the_plugins_are_of_one_version() -> None:
    versions = {importlib.metadata.version(name) for name in ("livekit-agents", *PLUGINS)}
    assert len(versions) == 1


async def test_deepgram(session: aiohttp.ClientSession) -> None:
    engine = build_stt(
        settings(stt="deepgram/nova-3", deepgram_base_url="http://localhost:1"),
        asking(language="de-CH", keyterms=["Tallyroom", "LiveKit"]),
        Warm(),
        lambda: session,
    )
    assert isinstance(engine, deepgram.STT)
    assert (engine.provider, engine.model) == ("Deepgram", "nova-3")
    assert engine.capabilities.interim_results
    options = engine._opts
    assert options.endpoint_url == "http://localhost:1/v1/listen"
    assert options.language == "de-CH"
    assert options.keyterm == ["Tallyroom", "LiveKit"]
    assert (options.interim_results, options.smart_format) == (True, True)
    assert engine._api_key == "dg"
    assert engine._session is session


async def test_openai(session: aiohttp.ClientSession) -> None:
    engine = build_stt(
        settings(stt="openai/gpt-4o-transcribe", openai_base_url="http://localhost:1/v1"),
        asking(language="de-CH"),
        Warm(),
        lambda: session,
    )
    assert isinstance(engine, openai.STT)
    assert engine.model == "gpt-4o-transcribe"
    assert engine.capabilities.streaming
    assert engine.capabilities.interim_results
    assert engine._opts.languages == ["de"]
    assert str(engine._client.base_url) == "http://localhost:1/v1/"
    assert engine._client.api_key == "sk"


async def test_livekit_inference(session: aiohttp.ClientSession) -> None:
    engine = build_stt(
        settings(stt="livekit/deepgram/nova-3"), asking(language="en"), Warm(), lambda: session
    )
    assert isinstance(engine, inference.STT)
    assert (engine.provider, engine.model) == ("livekit", "deepgram/nova-3")
    assert engine._opts.language == "en"
    assert (engine._opts.api_key, engine._opts.api_secret) == ("lk", "secret")
    assert engine._session is session


async def test_the_embedded_model_is_the_one_that_was_warmed_up(
    speech_model: SpeechModel, voice_finder: vad.VAD, session: aiohttp.ClientSession
) -> None:
    engine = build_stt(
        settings(stt="faster-whisper/tiny.en"),
        asking(language="en-GB"),
        Warm({"tiny.en": speech_model}, voice_finder),
        lambda: session,
    )
    assert isinstance(engine, WhisperSTT)
    assert (engine.provider, engine.model) == ("faster-whisper", "tiny.en")
    assert engine._speech_model is speech_model


@pytest.mark.parametrize(
    ("choice", "missing"),
    [
        ("deepgram/nova-3", {"deepgram_api_key": ""}),
        ("openai/whisper-1", {"openai_api_key": ""}),
        ("assemblyai/u3-rt-pro", {"assemblyai_api_key": ""}),
        ("livekit/deepgram/nova-3", {"livekit_api_secret": ""}),
    ],
)
def test_a_missing_key_is_named_before_a_job_is_taken(choice: str, missing: dict[str, str]) -> None:
    (variable,) = (name.upper() for name in missing)
    expected = f"TALLYROOM_STT={choice} needs {variable}"
    with pytest.raises(SettingsError) as caught:
        check_request(settings(stt=choice, **missing), asking())
    assert str(caught.value) == expected
    with pytest.raises(SettingsError) as caught:
        build_stt(settings(stt=choice, **missing), asking(), Warm(), _no_session)
    assert str(caught.value) == expected


def test_an_unknown_provider_is_named_with_those_there_are() -> None:
    expected = (
        "TALLYROOM_STT names provider 'whisperer'; use one of deepgram, openai,"
        " assemblyai, livekit, faster-whisper, such as faster-whisper/tiny.en"
    )
    chosen = settings(stt="whisperer/x")
    with pytest.raises(SettingsError) as caught:
        warm_up(chosen)
    assert str(caught.value) == expected
    with pytest.raises(SettingsError):
        check_request(chosen, asking())
    with pytest.raises(SettingsError):
        build_stt(chosen, asking(), Warm(), _no_session)


def test_a_provider_elsewhere_needs_no_speech_model() -> None:
    warm = warm_up(settings(stt="deepgram/nova-3"))
    assert (warm.speech_models, warm.vad) == ({}, None)
    assert warm.speech_detector is not None


def test_any_tenant_where_none_are_listed() -> None:
    check_request(settings(), asking(tenant="whoever"))
    check_request(settings(), asking())


def test_only_the_tenants_that_are_listed() -> None:
    listed = settings(tenants="acme,globex")
    check_request(listed, asking(tenant="globex"))
    for tenant in ("initech", "", "ACME"):
        with pytest.raises(DispatchError) as caught:
            check_request(listed, asking(tenant=tenant))
        assert str(caught.value) == f"tenant {tenant!r} is not among TALLYROOM_TENANTS"


def test_an_english_model_declines_other_languages() -> None:
    english = settings(stt=f"faster-whisper/{BUNDLED_MODEL}")
    for language in ("en", "en-GB", "EN"):
        check_request(english, asking(language=language))
    for language in ("de", "de-CH", "multi"):
        with pytest.raises(DispatchError) as caught:
            check_request(english, asking(language=language))
        assert str(caught.value) == (
            f"speech model 'tiny.en' does not know language {language!r}, it knows en;"
            " set TALLYROOM_STT to a multilingual model or provider"
        )
    check_request(settings(stt="faster-whisper/small"), asking(language="de"))
    check_request(settings(stt="deepgram/nova-3"), asking(language="de"))


def test_weights_that_are_not_here_are_said_at_warm_up() -> None:
    with pytest.raises(SpeechModelError, match="'no-such-size' cannot be loaded"):
        warm_up(settings(stt="faster-whisper/no-such-size"))


def _no_session() -> aiohttp.ClientSession:
    raise AssertionError("no session is needed for this")
