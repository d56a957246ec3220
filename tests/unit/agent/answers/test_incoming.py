"""What is written in the chat, in the order in which each person wrote it, and only from people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc

from agent.answers import incoming
from agent.answers.incoming import LEGACY_TOPIC, MOST_CHARACTERS, IncomingChat, Written


class Reader:
    """A text stream whose parts come when a test says so."""

    def __init__(self, stream_id: str) -> None:
        self.info = SimpleNamespace(stream_id=stream_id)
        self.is_closed = False
        self._parts: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    def says(self, *parts: str | Exception | None) -> None:
        """None is its end."""
        for part in parts:
            self._parts.put_nowait(part)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (part := await self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self) -> None:
        self.is_closed = True


class Chat:
    """A room of Alice, Bob and an agent, and what came of what they wrote."""

    def __init__(self) -> None:
        kinds = rtc.ParticipantKind
        self._room = SimpleNamespace(
            remote_participants={
                identity: SimpleNamespace(identity=identity, kind=kind)
                for identity, kind in (
                    ("alice", kinds.PARTICIPANT_KIND_STANDARD),
                    ("bob", kinds.PARTICIPANT_KIND_SIP),
                    ("agent", kinds.PARTICIPANT_KIND_AGENT),
                )
            },
            register_text_stream_handler=lambda _, handler: setattr(self, "_begin", handler),
            unregister_text_stream_handler=lambda _: None,
            on=lambda _, handler: setattr(self, "_packet", handler),
            off=lambda *_: None,
        )
        self.came: asyncio.Queue[Written] = asyncio.Queue()
        self.incoming = IncomingChat(cast(Any, self._room), self.came.put_nowait)
        self.incoming.open()
        self._begun = 0

    def begin(self, identity: str) -> Reader:
        self._begun += 1
        reader = Reader(f"stream-{self._begun}")
        cast(Any, self)._begin(reader, identity)
        return reader

    def write(self, identity: str, *parts: str) -> None:
        self.begin(identity).says(*parts, None)

    def packet(self, identity: str, data: bytes | str) -> None:
        participant = self._room.remote_participants[identity]
        cast(Any, self)._packet(
            SimpleNamespace(topic=LEGACY_TOPIC, participant=participant, data=data)
        )

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(5.0):
            written = await self.came.get()
        return written.participant.identity, written.text


async def test_what_a_person_began_first_comes_first() -> None:
    chat = Chat()
    long = chat.begin("alice")
    chat.write("alice", "and", " when?")
    # Whom Alice does not keep waiting shows that her second has had its time, too.
    chat.write("bob", "Hello.")
    assert await chat.next() == ("bob", "Hello.")
    assert chat.came.empty()

    long.says("Who pays?", None)
    assert [await chat.next(), await chat.next()] == [
        ("alice", "Who pays?"),
        ("alice", "and when?"),
    ]


async def test_one_that_is_cut_short_holds_nothing_up_and_does_not_come() -> None:
    chat = Chat()
    cut = chat.begin("alice")
    chat.write("alice", "Who pays?")
    cut.says("Who", rtc.StreamError("the room is gone"))
    assert await chat.next() == ("alice", "Who pays?")
    assert cut.is_closed


async def test_one_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "_READING_SECONDS", 0.05)
    chat = Chat()
    endless = chat.begin("alice")
    endless.says("Who")
    chat.write("alice", "Who pays?")
    assert await chat.next() == ("alice", "Who pays?")
    assert endless.is_closed


async def test_more_at_once_than_are_read_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "_MOST_READERS", 1)
    chat = Chat()
    first, second = chat.begin("alice"), chat.begin("bob")
    assert second.is_closed
    first.says("Who pays?", None)
    assert await chat.next() == ("alice", "Who pays?")


async def test_the_end_of_the_meeting_closes_what_is_being_read() -> None:
    chat = Chat()
    reader = chat.begin("alice")
    reader.says("Who")
    await asyncio.sleep(0)
    await chat.incoming.aclose()
    assert reader.is_closed
    assert chat.came.empty()


async def test_an_agent_and_who_has_left_are_not_heard() -> None:
    chat = Chat()
    chat.write("agent", "Who pays?")
    chat.write("dave", "Who pays?")
    chat.write("bob", "I do.")
    assert await chat.next() == ("bob", "I do.")
    assert chat.came.empty()


async def test_what_is_too_long_is_cut() -> None:
    chat = Chat()
    chat.write("alice", "a" * MOST_CHARACTERS, "b", "c")
    async with asyncio.timeout(5.0):
        written = await chat.came.get()
    assert written.text == "a" * MOST_CHARACTERS
    assert written.is_long


async def test_a_packet_of_older_components_is_a_message_once() -> None:
    chat = Chat()
    message = {"id": "1", "message": "Who pays?"}
    chat.packet("alice", json.dumps(message))
    chat.packet("alice", json.dumps(message))
    chat.packet("bob", json.dumps(message))
    assert [await chat.next(), await chat.next()] == [("alice", "Who pays?"), ("bob", "Who pays?")]
    assert chat.came.empty()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        "[" * 100_000,
        "[]",
        json.dumps({"message": 1}),
        json.dumps({"message": "Who pays?", "ignoreLegacy": True}),
    ],
)
async def test_a_packet_that_is_no_message_is_left_alone(data: bytes | str) -> None:
    chat = Chat()
    chat.packet("alice", data)
    assert chat.came.empty()
