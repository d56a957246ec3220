"""When a reconnect is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest

from agent import comeback
from agent.settings import AgentSettings


async def given_up(
    monkeypatch: pytest.MonkeyPatch, answers: Iterator[bool | Exception]
) -> list[bool | Exception]:
    """What the server had answered by then."""
    heard: list[bool | Exception] = []

    async def people_are_there(room_name: str, settings: AgentSettings) -> bool:
        assert room_name == "standup"
        heard.append(next(answers))
        if isinstance(heard[-1], Exception):
            raise heard[-1]
        return heard[-1]

    monkeypatch.setattr(comeback, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(comeback, "_people_are_there", people_are_there)
    async with asyncio.timeout(10):
        await comeback.until_given_up("standup", AgentSettings())
    return heard


async def test_people_are_seen_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await given_up(monkeypatch, iter([True] * 9)) == [True] * 3


async def test_while_the_server_is_away_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away: list[bool | Exception] = [
        TimeoutError(),
        True,
        True,
        aiohttp.ClientConnectionError(),
        True,
        False,
    ]
    heard = await given_up(monkeypatch, iter([*away, *[True] * 9]))
    assert heard == [*away, True, True, True]
