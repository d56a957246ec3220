"""What asking for a transcriber refuses before it asks anybody; tests/e2e has the rest."""

from __future__ import annotations

import os
import socket
from http import HTTPStatus

import pytest
from livekit import api
from pydantic import SecretStr

from agent.dispatch import MAX_ROOM_NAME, dispatch
from agent.errors import DispatchError
from agent.request import TranscriptionRequest
from agent.server_api import twirp_advice
from agent.settings import AgentSettings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "TALLYROOM_")):
            monkeypatch.delenv(name)


def settings(url: str = "http://127.0.0.1:1") -> AgentSettings:
    return AgentSettings(
        livekit_url=url, livekit_api_key="key", livekit_api_secret=SecretStr("s" * 32)
    )


async def refusal(settings: AgentSettings, room: str = "room") -> str:
    with pytest.raises(DispatchError) as caught:
        await dispatch(settings, room, TranscriptionRequest(), timeout=10)
    return str(caught.value)


@pytest.mark.parametrize("length", [0, MAX_ROOM_NAME + 1])
async def test_a_room_name_that_the_server_would_cut(length: int) -> None:
    message = await refusal(settings(), "x" * length)
    assert message == f"a room name has 1 to 256 characters, this one {length}"


async def test_what_is_not_set_is_named() -> None:
    assert await refusal(AgentSettings()) == (
        "set LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET"
    )
    without_secret = AgentSettings(livekit_url="ws://localhost:1", livekit_api_key="key")
    assert await refusal(without_secret) == "set LIVEKIT_API_SECRET"


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        message = await refusal(settings(url))
    assert message.startswith(f"{url} cannot be reached: ")
    assert message.endswith("; check LIVEKIT_URL and that the server runs")


@pytest.mark.parametrize("url", ["localhost:7880", "not a url", "http://"])
async def test_what_is_no_address(url: str) -> None:
    message = await refusal(settings(url))
    assert message.startswith(f"LIVEKIT_URL={url!r} is no URL")


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
def test_a_refused_key_is_said_to_be_one(status: HTTPStatus) -> None:
    error = api.TwirpError("unauthenticated", "go/jose: error", status=status)
    assert twirp_advice(error) == (
        "the key is refused; check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    )


def test_any_other_refusal_is_the_servers_own_words() -> None:
    error = api.TwirpError("resource_exhausted", "too many rooms", status=429)
    assert twirp_advice(error) == "resource_exhausted: too many rooms"
