"""Languages, keyterms and voices through the real plugins: what a provider is asked, what comes of
its answers, and what its bill is going to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from livekit.agents.utils import http_context
from pydantic import SecretStr

from agent.engines import Engines
from agent.listening.listener import Listener
from agent.listening.recognisers import Recogniser, Recognisers
from agent.listening.words import Interim, Speaker
from agent.providers import Warm
from agent.request import TranscriptionRequest
from agent.segments import Segment
from agent.settings import AgentSettings
from agent.speech_options import LANGUAGE_ATTRIBUTE
from metering.meters.assemblyai_socket import INACTIVITY_SECONDS
from metering.meters.attribution import attribution
from metering.meters.connections import ConnectionMeter
from tests.providers.assemblyai import AssemblyAIServer, BilledSession
from tests.providers.deepgram import DeepgramServer, EndpointingDeepgramServer
from tests.providers.inference import InferenceServer
from tests.providers.openai_realtime import OpenAIRealtimeServer
from tests.providers.speech import BilledConnection, SpeechServer
from tests.recording import Recording
from tests.sound import silence, tone
from tests.waiting import until


class Meeting:
    """People who are heard by one job, one after the other."""

    def __init__(self, settings: AgentSettings, connections: ConnectionMeter, **asked: Any) -> None:
        self._session = connections.http_session()
        self._engines = Engines(
            settings, TranscriptionRequest(**asked), Warm(), lambda: self._session
        )

    async def hear(self, identity: str, *, own: str = "", sounds: int = 1) -> list[Segment]:
        """What comes of somebody who makes some sounds with pauses between, and leaves."""
        began = time.monotonic()
        said: list[Segment] = []

        async def take(segment: Segment) -> None:
            said.append(segment)

        async def ignore(interim: Interim) -> None:
            """Not every server says any."""

        engine = self._engines.for_participant(identity, {LANGUAGE_ATTRIBUTE: own} if own else {})
        listener = Listener(
            Speaker(identity, lambda: identity.title(), f"TR_{identity}"),
            Recognisers([Recogniser(engine)]),
            now=lambda: time.monotonic() - began,
            on_segment=take,
            on_interim=ignore,
            attribute=lambda: attribution(participant=identity, purpose="captions"),
        )
        hearing = asyncio.create_task(listener.recognise())
        for _ in range(sounds):
            for part in (tone(0.5), silence(0.7)):
                for frame in part:
                    listener.push(frame)
        if sounds > 1:
            await until(lambda: len(said) >= sounds)
        listener.end()
        await until(lambda: len(said) >= sounds)
        # Some plugins take seconds to see that their stream has ended.
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing
        return said

    async def close(self) -> None:
        await self._session.close()


Hold = Callable[..., Meeting]


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
async def hold(recording: Recording) -> AsyncIterator[Hold]:
    meetings: list[Meeting] = []
    connections = ConnectionMeter(recording.recorder)

    def begin(settings: AgentSettings, **asked: Any) -> Meeting:
        meetings.append(Meeting(settings, connections, **asked))
        return meetings[-1]

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(
            lambda: asyncio.gather(*(meeting.close() for meeting in meetings))
        )
        yield begin


def at_deepgram(server: SpeechServer) -> AgentSettings:
    return AgentSettings(
        deepgram_api_key=SecretStr(server.api_key),
        deepgram_base_url=server.origin,
        stt="deepgram/nova-3",
    )


def at_assemblyai(server: SpeechServer, model: str) -> AgentSettings:
    return AgentSettings(
        assemblyai_api_key=SecretStr(server.api_key),
        assemblyai_base_url=server.origin,
        stt=f"assemblyai/{model}",
    )


async def attributes(recording: Recording, count: int) -> list[dict[str, str]]:
    """Those of each connection, once as many have ended."""
    await until(lambda: len(recording.usages("stt_connection")) == count)
    return [dict(usage.attributes) for usage in recording.usages("stt_connection")]


async def test_deepgram_hears_everyone_in_their_language(recording: Recording, hold: Hold) -> None:
    async with DeepgramServer() as server:
        meeting = hold(
            at_deepgram(server),
            language="en-GB",
            languages={"anna": "de-CH"},
            keyterms=["Tallyroom", "Kubernetes"],
            profanity_filter=True,
            numerals=True,
        )
        heard = [
            *await meeting.hear("anna"),
            *await meeting.hear("ben", own="fr"),
            *await meeting.hear("carl"),
        ]
        assert [(said.speaker, said.language, said.voice) for said in heard] == [
            ("anna", "de-CH", None),
            ("ben", "fr", None),
            ("carl", "en-GB", None),
        ]
        assert [billed.query["language"] for billed in server.connections] == [
            "de-CH",
            "fr",
            "en-GB",
        ]
        for billed in server.connections:
            assert billed.asked["keyterm"] == ["Tallyroom", "Kubernetes"]
            assert "diarize" not in billed.asked
            asked = {name: billed.query[name] for name in ("profanity_filter", "numerals")}
            assert asked == {"profanity_filter": "true", "numerals": "true"}
            assert billed.query["smart_format"] == "true"
    assert await attributes(recording, 3) == [
        {"language": language, "keyterms": "true"} for language in ("de-CH", "fr", "en-GB")
    ]


async def test_deepgram_tells_the_voices_on_a_shared_microphone_apart(
    recording: Recording, hold: Hold
) -> None:
    async with EndpointingDeepgramServer() as server:
        meeting = hold(at_deepgram(server), language="multi", diarize=["desk"])
        at_desk = await meeting.hear("desk", sounds=3)
        alone = await meeting.hear("anna", sounds=2)
        assert [(said.voice, said.language) for said in at_desk] == [
            (1, "de"),
            (2, "en"),
            (1, "de"),
        ]
        assert [(said.voice, said.language) for said in alone] == [(None, "de"), (None, "en")]
        assert [billed.query.get("diarize") for billed in server.connections] == ["true", None]
    assert await attributes(recording, 2) == [
        {"language": "multi", "diarization": "true"},
        {"language": "multi"},
    ]


async def test_deepgram_leaves_numbers_as_words_where_that_is_asked(hold: Hold) -> None:
    async with DeepgramServer() as server:
        await hold(at_deepgram(server), numerals=False).hear("anna")
        (billed,) = server.connections
    names = ("smart_format", "numerals", "punctuate", "profanity_filter")
    assert [billed.query[name] for name in names] == ["false", "false", "true", "false"]


async def test_assemblyais_sessions_have_it_all_and_are_terminated(
    recording: Recording, hold: Hold
) -> None:
    async with AssemblyAIServer() as server:
        meeting = hold(
            at_assemblyai(server, "universal-3-6-pro"),
            language="auto",
            languages={"anna": "fr-CA"},
            keyterms=["Tallyroom"],
            diarize=["desk"],
        )
        (annas,) = await meeting.hear("anna")
        (desks,) = await meeting.hear("desk")
        assert (annas.language, annas.voice) == ("fr", None)
        assert (desks.language, desks.voice) == ("de", 1)
        anna, desk = server.connections
        await until(lambda: None not in (anna.closed_at, desk.closed_at))
        assert json.loads(anna.query["language_codes"]) == ["fr"]
        assert "language_codes" not in desk.query
        assert "speaker_labels" not in anna.query
        assert desk.query["speaker_labels"] == "true"
        for billed in (anna, desk):
            assert isinstance(billed, BilledSession)
            assert billed.query["speech_model"] == "universal-3-6-pro"
            assert json.loads(billed.query["keyterms_prompt"]) == ["Tallyroom"]
            assert billed.query["inactivity_timeout"] == str(INACTIVITY_SECONDS)
            assert "format_turns" not in billed.query
            assert billed.stated_seconds is not None
            assert billed.billed_seconds == billed.connection_seconds
    assert await attributes(recording, 2) == [
        {"language": "fr", "keyterms": "true"},
        {"keyterms": "true", "diarization": "true"},
    ]


async def test_assemblyais_other_models_are_asked_to_format(hold: Hold) -> None:
    async with AssemblyAIServer() as server:
        settings = at_assemblyai(server, "universal-streaming-english")
        (said,) = await hold(settings).hear("anna")
        assert said.text == "heard 0.50 seconds"
        (billed,) = server.connections
    assert billed.query["format_turns"] == "true"
    assert billed.query["language_detection"] == "false"


async def test_inference_passes_it_on_by_each_models_names(
    recording: Recording, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with InferenceServer() as server:
        monkeypatch.setenv("LIVEKIT_INFERENCE_URL", f"{server.origin}/v1")
        settings = AgentSettings(
            livekit_api_key="key",
            livekit_api_secret=SecretStr("a secret of the length that is asked for"),
            stt="livekit/deepgram/nova-3",
        )
        meeting = hold(
            settings,
            language="multi",
            languages={"anna": "fr"},
            keyterms=["Tallyroom"],
            diarize=["desk"],
        )
        (annas,) = await meeting.hear("anna")
        (desks,) = await meeting.hear("desk")
        assert (annas.language, annas.voice) == ("fr", None)
        assert (desks.language, desks.voice) == ("de", 1)
        anna, desk = (billed.session for billed in server.connections)
    assert (anna["language"], desk["language"]) == ("fr", "multi")
    assert anna["extra"] == {"keyterm": ["Tallyroom"]}
    assert desk["extra"] == {"keyterm": ["Tallyroom"], "diarize": True}
    assert await attributes(recording, 2) == [
        {"language": "fr", "keyterms": "true"},
        {"language": "multi", "keyterms": "true", "diarization": "true"},
    ]


def transcription(billed: BilledConnection) -> dict[str, Any]:
    asked: dict[str, Any] = billed.session["audio"]["input"]["transcription"]
    return asked


async def test_openai_is_told_the_language_or_finds_it_out(hold: Hold) -> None:
    async with OpenAIRealtimeServer() as server, http_context.open():
        settings = AgentSettings(
            openai_api_key=SecretStr(server.api_key),
            openai_base_url=f"{server.origin}/v1",
            stt="openai/gpt-4o-transcribe",
        )
        meeting = hold(settings, language="auto", languages={"anna": "de-CH"})
        (annas,) = await meeting.hear("anna")
        (bens,) = await meeting.hear("ben")
        anna, ben = map(transcription, server.connections)
    assert anna["language"] == "de"
    assert not ben.get("language")
    # It is not said which it was.
    assert (annas.language, bens.language) == ("de", "und")
