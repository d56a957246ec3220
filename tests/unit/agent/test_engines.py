from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.agents import stt
from pydantic import SecretStr

from agent.engines import Engines
from agent.errors import SettingsError
from agent.providers import Warm
from agent.request import TranscriptionRequest
from agent.settings import AgentSettings
from agent.speech_options import LANGUAGE_ATTRIBUTE


class Made:
    """What a job's engines have asked for."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.sessions = 0
        self.watched: list[stt.STT[Any]] = []

    def http_session(self) -> aiohttp.ClientSession:
        self.sessions += 1
        return self.session

    def engines(self, model: str = "deepgram/nova-3", **asked: Any) -> Engines:
        settings = AgentSettings(deepgram_api_key=SecretStr("dg"), stt=model)
        request = TranscriptionRequest(**asked)
        return Engines(settings, request, Warm(), self.http_session, self.watched.append)


@pytest.fixture
async def made() -> AsyncIterator[Made]:
    async with aiohttp.ClientSession() as session:
        yield Made(session)


def language(engine: stt.STT[Any]) -> str:
    return str(engine._opts.language)  # type: ignore[attr-defined]


async def test_who_is_to_be_heard_alike_shares_one(made: Made) -> None:
    engines = made.engines(languages={"anna": "de", "ben": "de", "carl": "en"}, diarize=["dora"])
    heard = {name: engines.for_participant(name) for name in ("anna", "ben", "carl", "dora", "eve")}
    assert heard["anna"] is heard["ben"] is not heard["carl"]
    assert heard["carl"] is heard["eve"] is engines.for_participant("")
    assert [language(heard[name]) for name in ("anna", "carl")] == ["de", "en"]
    assert heard["dora"].capabilities.diarization
    assert not heard["eve"].capabilities.diarization


async def test_each_is_metered_once_and_all_share_a_session(made: Made) -> None:
    engines = made.engines(languages={"anna": "de"})
    (meetings,) = made.watched
    assert engines.for_participant("ben") is meetings
    annas = engines.for_participant("anna")
    assert engines.for_participant("anna") is annas
    assert made.watched == [meetings, annas]
    assert made.sessions == 1


async def test_a_participant_names_a_language(made: Made) -> None:
    engines = made.engines(languages={"anna": "de"})
    fr = {LANGUAGE_ATTRIBUTE: "fr"}
    assert language(engines.for_participant("ben", fr)) == "fr"
    assert language(engines.for_participant("anna", fr)) == "de"


@pytest.mark.parametrize("own", ["de", "a name", "multi"])
async def test_a_language_that_cannot_be_had_leaves_nobody_unheard(
    made: Made, caplog: pytest.LogCaptureFixture, own: str
) -> None:
    engines = made.engines("deepgram/nova-2-medical")
    with caplog.at_level(logging.WARNING, "tallyroom.agent"):
        heard = engines.for_participant("anna", {LANGUAGE_ATTRIBUTE: own})
    assert heard is engines.for_participant("")
    (line,) = caplog.messages
    assert "deepgram/nova-2-medical" in line
    assert own not in line.replace("deepgram/nova-2-medical", "").split()


async def test_where_even_the_dispatchs_cannot_be_had_the_meetings_is_taken(made: Made) -> None:
    # It would have been declined; a worker may have been restarted with another model since.
    engines = made.engines("deepgram/nova-2-medical", languages={"anna": "de"})
    assert engines.for_participant("anna") is engines.for_participant("")


async def test_without_the_meetings_own_there_is_no_job(made: Made) -> None:
    settings = AgentSettings(stt="assemblyai/universal-3-6-pro")
    with pytest.raises(SettingsError, match="needs ASSEMBLYAI_API_KEY"):
        Engines(settings, TranscriptionRequest(), Warm(), made.http_session)
