"""When another transcriber is asked for, against a server that says who is in the room, or fails.

It speaks LiveKit's protocol, and what it says is what a real server says only in bad moments.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from livekit import api
from livekit.agents import JobContext
from livekit.agents.types import ATTRIBUTE_AGENT_NAME
from pydantic import SecretStr

from agent import comeback
from agent.dispatch import JOB_ATTRIBUTE
from agent.errors import DispatchError
from agent.presence import ENDING_ATTRIBUTE
from agent.request import TranscriptionRequest
from agent.server_api import server_api
from agent.settings import AgentSettings

Info = api.ParticipantInfo
ROOM = "standup"


def person(identity: str = "alice", **values: Any) -> Info:
    values.setdefault("state", Info.State.ACTIVE)
    return Info(identity=identity, **values)


def transcriber(job_id: str, agent_name: str = "transcriber") -> Info:
    attributes = {ATTRIBUTE_AGENT_NAME: agent_name, JOB_ATTRIBUTE: job_id}
    return person(f"agent-{job_id}", kind=Info.Kind.AGENT, attributes=attributes)


class Server:
    """Answers who is in the room: one answer each time, the last of them from then on."""

    def __init__(self) -> None:
        self.answers: deque[list[Info] | int] = deque()
        self.asked = 0
        self.dispatched: list[tuple[str, TranscriptionRequest, str]] = []
        self.refusals = 0
        app = web.Application()
        app.router.add_post("/twirp/livekit.RoomService/ListParticipants", self._list)
        self.http = TestServer(app)

    async def _list(self, request: web.Request) -> web.Response:
        asked = api.ListParticipantsRequest.FromString(await request.read())
        assert asked.room == ROOM
        self.asked += 1
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            code = "not_found" if answer == HTTPStatus.NOT_FOUND else "unavailable"
            return web.json_response({"code": code, "msg": "no"}, status=answer)
        body = api.ListParticipantsResponse(participants=answer).SerializeToString()
        return web.Response(body=body, content_type="application/protobuf")

    def settings(self) -> AgentSettings:
        url = str(self.http.make_url("")).rstrip("/")
        return AgentSettings(
            livekit_url=url, livekit_api_key="key", livekit_api_secret=SecretStr("s" * 40)
        )

    async def dispatch(
        self,
        settings: AgentSettings,
        room_name: str,
        request: TranscriptionRequest,
        *,
        instead_of: str,
        timeout: float,
    ) -> None:
        """Stands for `agent.dispatch`, which has end-to-end tests of its own."""
        assert (room_name, instead_of) == (ROOM, "AJ_1")
        self.dispatched.append((settings.agent_name, request, instead_of))
        if self.refusals:
            self.refusals -= 1
            raise DispatchError("no agent came")


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    server = Server()
    await server.http.start_server()
    monkeypatch.setattr(comeback, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(comeback, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(comeback, "ANSWER_SECONDS", 10.0)
    monkeypatch.setattr(comeback, "dispatch", server.dispatch)
    yield server
    await server.http.close()


def job(metadata: str = "") -> JobContext:
    room = SimpleNamespace(name=ROOM)
    values = SimpleNamespace(id="AJ_1", room=room, metadata=metadata, agent_name="transcriber")
    return cast(JobContext, SimpleNamespace(job=values))


async def come_back(server: Server, metadata: str = "", **limits: Any) -> bool:
    async with asyncio.timeout(20):
        return await comeback.come_back(
            job(metadata), server.settings(), 60.0, **{"patience": 0.0, "returning": 0.0} | limits
        )


async def test_a_reconnect_is_given_up_once_people_are_seen_again_and_again(server: Server) -> None:
    server.answers.extend([[person()], [person()], 503, [person()], [], [person()]])
    async with asyncio.timeout(20):
        await comeback.until_given_up(ROOM, server.settings())
    assert server.asked == 8


async def test_a_server_that_is_away_gives_nothing_up_and_ends_no_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[str] = []
    refused_twice = asyncio.Event()

    @asynccontextmanager
    async def listening(settings: AgentSettings) -> AsyncIterator[api.LiveKitAPI]:
        try:
            async with server_api(settings) as livekit:
                yield livekit
        except DispatchError as error:
            refused.append(str(error))
            if len(refused) == 2:
                refused_twice.set()
            raise

    monkeypatch.setattr(comeback, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(comeback, "server_api", listening)
    settings = AgentSettings(
        livekit_url=f"http://127.0.0.1:{unused_port()}",
        livekit_api_key="key",
        livekit_api_secret=SecretStr("s" * 40),
    )
    watch = asyncio.create_task(comeback.until_given_up(ROOM, settings))
    await asyncio.wait_for(refused_twice.wait(), 20)
    assert "cannot be reached" in refused[0]
    assert not watch.done()
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


@pytest.mark.parametrize(
    ("who", "comes"),
    [
        ([person()], True),
        ([person(kind=Info.Kind.SIP)], True),
        ([person(), transcriber("AJ_1")], True),
        ([], False),
        ([transcriber("AJ_1")], False),
        ([person(state=Info.State.JOINING)], False),
        ([person(permission=api.ParticipantPermission(hidden=True))], False),
        ([person(kind=99)], False),
    ],
)
async def test_another_comes_where_people_are(server: Server, who: list[Info], comes: bool) -> None:
    server.answers.append(who)
    assert await come_back(server) is comes
    assert len(server.dispatched) == comes


async def test_another_that_is_there_already_is_enough(server: Server) -> None:
    server.answers.append([person(), transcriber("AJ_1"), transcriber("AJ_2")])
    assert await come_back(server)
    assert server.dispatched == []


async def test_one_that_only_makes_notes_still_is_not_enough(server: Server) -> None:
    busy = transcriber("AJ_2")
    busy.attributes[ENDING_ATTRIBUTE] = "true"
    server.answers.append([person(), busy])
    assert await come_back(server)
    assert len(server.dispatched) == 1


async def test_another_customers_agent_is_none_of_ours(server: Server) -> None:
    server.answers.append([person(), transcriber("AJ_2", "minutes")])
    assert await come_back(server)
    assert [name for name, _, _ in server.dispatched] == ["transcriber"]


async def test_a_room_that_is_no_more_needs_nobody(server: Server) -> None:
    server.answers.append(404)
    assert not await come_back(server, patience=20.0)
    assert server.asked == 1


async def test_a_server_that_is_away_is_asked_until_it_is_back(server: Server) -> None:
    server.answers.extend([503, 503, 503, [person()]])
    assert await come_back(server, patience=20.0)
    assert server.asked == 4


async def test_it_is_not_asked_for_ever(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers.append(503)
    assert not await come_back(server, patience=0.2)
    assert "no other transcriber has come into a meeting that may go on" in caplog.messages


async def test_people_who_have_lost_the_server_too_are_waited_for(server: Server) -> None:
    server.answers.extend([503, [], [], [person()]])
    assert await come_back(server, patience=20.0, returning=20.0)
    assert len(server.dispatched) == 1


async def test_people_are_waited_for_anew_when_the_server_was_away_again(server: Server) -> None:
    server.answers.extend([[], [], *[503] * 8, [], [person()]])
    assert await come_back(server, patience=20.0, returning=0.3)
    assert len(server.dispatched) == 1


async def test_a_dispatch_to_which_nobody_comes_is_repeated_while_people_are_there(
    server: Server,
) -> None:
    server.answers.append([person()])
    server.refusals = 2
    assert await come_back(server, patience=0.0)
    assert len(server.dispatched) == 3


async def test_nobody_comes_who_is_not_wanted_any_more(server: Server) -> None:
    server.answers.extend([[], [person()]])
    assert not await come_back(
        server, patience=20.0, returning=20.0, wanted=lambda: server.asked < 1
    )
    assert server.dispatched == []


@pytest.mark.parametrize(("minutes", "left"), [(3.0, 2.0), (1.0, None)])
async def test_the_next_has_what_is_left_of_the_time(
    server: Server, minutes: float, left: float | None
) -> None:
    server.answers.append([person()])
    metadata = f'{{"title": "Standup", "leave_after_minutes": {minutes}}}'
    assert await come_back(server, metadata) is (left is not None)
    assert [(one.title, one.leave_after_minutes) for _, one, _ in server.dispatched] == (
        [("Standup", left)] if left else []
    )
