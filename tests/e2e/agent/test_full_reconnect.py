"""A full reconnect of the agent's own, in the middle of a sentence: with a real room and server.

The session runs in the test's process, because only the SDK itself can be asked to lose its
connection and nobody else's. The people stay where they are, and so do their tracks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from livekit import rtc
from livekit.agents import JobContext
from pydantic import SecretStr
from typing_extensions import override

from agent.providers import Warm
from agent.recognition import Recognition
from agent.request import TranscriptionRequest
from agent.session import TranscriptionSession
from agent.settings import AgentSettings
from demo.server import LocalServer, participant_token
from demo.speaker import Speaker
from metering import JobMeter
from tests.providers.deepgram import Endpointing, EndpointingDeepgramServer
from tests.providers.speech import BilledConnection, Conversation
from tests.waiting import until

PAUSE = 1.5


class Withholding(Endpointing):
    """Says nothing until it may."""

    def __init__(
        self, socket: web.WebSocketResponse, billed: BilledConnection, may: asyncio.Event
    ) -> None:
        super().__init__(socket, billed)
        self._may = may

    @override
    async def answer(self, message: Mapping[str, Any]) -> bool:
        if message["type"] == "CloseStream":
            await self._may.wait()
        return await super().answer(message)

    @override
    async def final(self) -> None:
        if self._may.is_set():
            await super().final()


class WithholdingDeepgramServer(EndpointingDeepgramServer):
    """Takes its time with what was heard on the first connection, until `may_answer`."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    @override
    def conversation(  # type: ignore[override]
        self, socket: web.WebSocketResponse, billed: BilledConnection
    ) -> Conversation:
        if len(self.connections) > 1:
            return Endpointing(socket, billed)
        return Withholding(socket, billed, self.may_answer)


class Meter:
    """What a session asks of its meter; what it measures has tests of its own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def listening(self, *_: Any, **__: Any) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def attribute(self, **_: Any) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class Context:
    """LiveKit's, as far as a session uses it."""

    def __init__(self, server: LocalServer, room_name: str) -> None:
        self.room = rtc.Room()
        self.job = SimpleNamespace(id="AJ_here")
        self.ended_because = ""
        self._server = server
        self._room_name = room_name

    async def connect(self, **_: Any) -> None:
        token = participant_token(self._server, self._room_name, "agent-here", kind="agent")
        await self.room.connect(self._server.url, token)

    def shutdown(self, reason: str) -> None:
        self.ended_because = reason


@asynccontextmanager
async def session_in(
    room_name: str, server: LocalServer, deepgram: WithholdingDeepgramServer, folder: Path
) -> AsyncIterator[Context]:
    settings = AgentSettings(
        stt="deepgram/nova-3",
        deepgram_api_key=SecretStr(deepgram.api_key),
        deepgram_base_url=deepgram.origin,
    )
    request = TranscriptionRequest()
    context = Context(server, room_name)
    async with aiohttp.ClientSession() as http:
        recognition = Recognition(
            settings, request, Warm(), http_session=lambda: http, watch=lambda _: None
        )
        session = TranscriptionSession(
            cast(JobContext, context), request, recognition, cast(JobMeter, Meter()), folder
        )
        await session.start()
        try:
            yield context
        finally:
            await session.finish()
            await context.room.disconnect()


@pytest.mark.timeout(120)
async def test_who_speaks_through_it_is_heard_on_while_the_words_before_it_are_still_out(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with (
        WithholdingDeepgramServer() as deepgram,
        Speaker(livekit_server, room_name, "alice", name="Alice") as alice,
        session_in(room_name, livekit_server, deepgram, tmp_path) as context,
    ):
        before = asyncio.create_task(alice.say("austen_0870"))
        await until(lambda: any(one.audio_seconds > 1 for one in deepgram.connections))
        await context.room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT)
        await before

        async def talk() -> None:
            while not alice.finals():
                await alice.say("austen_0890")
                await alice.silence(PAUSE)

        await asyncio.wait_for(talk(), 60)
        assert deepgram.connections[0].finals == 0
        # Who does not answer is asked again, and all of it is heard.
        await alice.wait_for_final(2, timeout=40)
        deepgram.may_answer.set()
    assert {one.sender_identity for one in alice.captions} == {"alice"}
    assert len({one.track_id for one in alice.captions}) == 1
    assert not context.ended_because
    transcript = json.loads((tmp_path / "AJ_here" / "transcript.json").read_text("utf-8"))
    assert len(transcript["segments"]) >= 2
    # What was said while the connection was away can be a gap; nothing that was heard is.
    assert [gap for gap in transcript["gaps"] if gap["track_id"]] == []
