from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from livekit import rtc

from demo.text_streams import TextStream, TextStreams


class Reader:
    """A stream that is over when it is told how it ends."""

    def __init__(self, **attributes: str) -> None:
        self.info = SimpleNamespace(attributes=attributes)
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read_all(self) -> str:
        return await self.end


def begin(streams: TextStreams, sender: str, **attributes: str) -> Reader:
    reader = Reader(**attributes)
    streams.begin(cast(Any, reader), sender)
    return reader


async def test_what_was_begun_first_comes_first() -> None:
    came: list[TextStream] = []
    streams = TextStreams(came.append)
    long, short = begin(streams, "alice", topic="oven"), begin(streams, "bob")
    short.end.set_result("a short one")
    await asyncio.sleep(0)
    assert came == []

    long.end.set_result("a long one")
    await streams.wait()
    assert [(one.sender_identity, one.text) for one in came] == [
        ("alice", "a long one"),
        ("bob", "a short one"),
    ]
    assert came[0].attributes == {"topic": "oven"}
    assert came[1].received_at <= came[0].received_at


async def test_one_that_is_cut_short_holds_nothing_up_and_does_not_come() -> None:
    came: list[TextStream] = []
    streams = TextStreams(came.append)
    cut, whole = begin(streams, "alice"), begin(streams, "alice")
    whole.end.set_result("whole")
    cut.end.set_exception(rtc.StreamError("the room is gone"))
    await streams.wait()
    assert [one.text for one in came] == ["whole"]


async def test_there_may_be_nothing_to_wait_for() -> None:
    await TextStreams(lambda _: None).wait()
