"""Which limits a worker hands to its jobs, and that a job keeps to them."""

from __future__ import annotations

import os
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from agent.doctor import examine
from agent.limits import limits_in_force
from agent.providers import Warm
from agent.recognition import Recognition
from agent.request import TranscriptionRequest
from agent.settings import AgentSettings
from metering import StreamLimits

BUILD = {"TALLYROOM_PLAN": "livekit/build", "LIVEKIT_URL": "wss://x.livekit.cloud"}


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> AgentSettings:
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "DEEPGRAM_", "OPENAI_", "TALLYROOM_")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return AgentSettings.load()


def test_only_of_the_providers_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        TALLYROOM_STT="deepgram/nova-3",
        TALLYROOM_STT_FALLBACKS="livekit/deepgram/nova-3, faster-whisper/tiny.en",
        TALLYROOM_STT_LIMITS="deepgram: 9/min, assemblyai: free",
        **BUILD,
    )
    assert limits_in_force(settings) == {
        "deepgram": StreamLimits(new_streams=9),
        "livekit": StreamLimits(concurrent=5),
    }


def test_the_embedded_model_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits_in_force(load(monkeypatch, **BUILD)) == {}


@pytest.mark.parametrize(
    ("variables", "detail"),
    [
        ({"TALLYROOM_STT_LIMITS": "deepgram: 9/min 3 concurrent"}, "deepgram: 9/min 3 concurrent"),
        ({}, "none known; TALLYROOM_STT_LIMITS can set them"),
    ],
)
async def test_the_doctor_tells_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], detail: str
) -> None:
    monkeypatch.chdir(tmp_path)
    load(monkeypatch, DEEPGRAM_API_KEY="dg", LIVEKIT_URL="ws://127.0.0.1:9", **variables)
    (found,) = [one for one in await examine() if one.check == "speech limits"]
    assert (found.ok, found.detail) == (True, detail)


async def test_a_provider_without_limits_has_no_limiter() -> None:
    settings = AgentSettings(
        deepgram_api_key=SecretStr("dg"), stt="deepgram/nova-3", stt_fallbacks=("livekit/x/y",)
    ).model_copy(update={"livekit_api_key": "k", "livekit_api_secret": SecretStr("s" * 32)})
    warm = Warm(limits={"livekit": StreamLimits(concurrent=1)})
    async with aiohttp.ClientSession() as session:
        recognition = Recognition(
            settings,
            TranscriptionRequest(),
            warm,
            http_session=lambda: session,
            watch=lambda engine: None,
            run_id="run_1",
        )
        free, limited = recognition.recognisers("alice", {})._recognisers
        async with free.permit(), free.permit():
            """Nobody waits."""
        limiter = recognition._chosen[1].limiter
        assert limiter is not None
        assert (limited.permit, limited.is_short, limited.lend) == (
            limiter.permit,
            limiter.is_short,
            limiter.lend,
        )
        assert limiter._holder == "run_1"
