"""When the transcriber leaves, and whom it tells before."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from typing import cast

from livekit import rtc

from agent.chat import Chat
from agent.manners.leaving import EVERYONE_HAS_LEFT, LEAVES_AT_ATTRIBUTE, TIME_IS_UP, Leaving


class Me:
    def __init__(self) -> None:
        self.shown: list[str] = []

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        self.shown.append(attributes[LEAVES_AT_ATTRIBUTE])


class Room:
    """What is shown and said in it; a room of LiveKit's is in the end-to-end tests."""

    def __init__(self) -> None:
        self.local_participant = Me()
        self.connection_state = rtc.ConnectionState.CONN_CONNECTED
        self.said: list[str] = []

    async def say(self, text: str, *, to: Collection[str] = ()) -> bool:
        self.said.append(text)
        return True


async def left(seconds: float) -> tuple[Room, list[str], list[str]]:
    """A job whose time is up after so long: the room, why it left, and what was said before."""
    room = Room()
    reasons: list[str] = []
    said_before: list[str] = []
    gone = asyncio.Event()

    def leave(reason: str) -> None:
        reasons.append(reason)
        said_before.extend(room.said)
        gone.set()

    Leaving(cast(rtc.Room, room), cast(Chat, room), leave).limit(seconds)
    await asyncio.wait_for(gone.wait(), 10)
    return room, reasons, said_before


async def test_a_job_whose_time_is_up_has_said_so_before() -> None:
    room, reasons, said_before = await left(0.5)
    assert reasons == [TIME_IS_UP]
    assert said_before == ["The transcription ends in 1 second: its time is up."]
    (shown,) = room.local_participant.shown
    assert abs((datetime.fromisoformat(shown) - datetime.now(UTC)).total_seconds()) < 5


async def test_who_is_alone_leaves_unless_somebody_comes() -> None:
    room = Room()
    reasons: list[str] = []
    leaving = Leaving(cast(rtc.Room, room), cast(Chat, room), reasons.append)
    leaving.alone(0.01)
    leaving.in_company()
    await asyncio.sleep(0.1)
    assert reasons == []
    assert room.local_participant.shown[-1] == ""
    leaving.alone(0.01)
    await asyncio.sleep(0.1)
    assert reasons == [EVERYONE_HAS_LEFT]
    assert room.said == []


async def test_what_was_arranged_is_off_once_the_job_ends() -> None:
    room = Room()
    reasons: list[str] = []
    leaving = Leaving(cast(rtc.Room, room), cast(Chat, room), reasons.append)
    leaving.limit(0.02)
    leaving.alone(0.02)
    leaving.cancel()
    await asyncio.sleep(0.1)
    assert (reasons, room.said) == ([], [])


async def test_while_the_connection_is_away_no_attribute_is_set() -> None:
    room, gone = Room(), asyncio.Event()
    room.connection_state = rtc.ConnectionState.CONN_RECONNECTING
    leaving = Leaving(cast(rtc.Room, room), cast(Chat, room), lambda _: gone.set())
    leaving.alone(0.0)
    await asyncio.wait_for(gone.wait(), 10)
    assert room.local_participant.shown == []
