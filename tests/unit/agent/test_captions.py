"""Captions while the connection is being mended: nobody waits for them, and none is stale.

The SDK's side of it is a stand-in here; real captions are in the end-to-end tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents.types import (
    ATTRIBUTE_TRANSCRIPTION_FINAL,
    ATTRIBUTE_TRANSCRIPTION_TRACK_ID,
)

from agent import captions as captions_module
from agent.captions import Caption, Captions


class Room:
    """Sends what it is given, or keeps whoever sends waiting."""

    def __init__(self) -> None:
        self.local_participant = self
        self._ffi_handle = None
        self.is_connected = True
        self.mended = asyncio.Event()
        self.mended.set()
        self.sent: list[tuple[str, str, str]] = []
        self.error: Exception | None = None

    def isconnected(self) -> bool:
        return self.is_connected

    async def send(
        self, sender: Any, text: str, *, topic: str, attributes: Mapping[str, str], compress: bool
    ) -> None:
        await self.mended.wait()
        if self.error:
            raise self.error
        track, final = ATTRIBUTE_TRANSCRIPTION_TRACK_ID, ATTRIBUTE_TRANSCRIPTION_FINAL
        self.sent.append((attributes[track], text, attributes[final]))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()
    monkeypatch.setattr(rtc.LocalParticipant, "send_text", room.send)
    return room


def caption(segment_id: str, text: str, *, final: bool = False, track_id: str = "TR_1") -> Caption:
    return Caption(segment_id, "alice", track_id, text, final)


async def test_captions_of_a_track_come_in_order(room: Room) -> None:
    captions = Captions(cast(rtc.Room, room))
    for number in range(3):
        captions.show(caption(f"SG_{number}", f"number {number}", final=True))
    await captions.close()
    assert [text for _, text, _ in room.sent] == ["number 0", "number 1", "number 2"]


async def test_of_what_is_replaced_while_it_waits_only_the_last_is_sent(room: Room) -> None:
    captions = Captions(cast(rtc.Room, room))
    room.mended.clear()
    captions.show(caption("SG_1", "and"))
    await asyncio.sleep(0)
    captions.show(caption("SG_1", "and so"))
    captions.show(caption("SG_1", "and so we"))
    captions.show(caption("SG_1", "And so we met.", final=True))
    captions.show(caption("SG_2", "Then"))
    room.mended.set()
    await captions.close()
    assert room.sent == [
        ("TR_1", "and", "false"),
        ("TR_1", "And so we met.", "true"),
        ("TR_1", "Then", "false"),
    ]


async def test_one_track_does_not_wait_for_another(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_sent = asyncio.Event()

    async def send(_: Any, text: str, *, attributes: Mapping[str, str], **__: Any) -> None:
        if attributes[ATTRIBUTE_TRANSCRIPTION_TRACK_ID] == "TR_1":
            await other_sent.wait()
        else:
            other_sent.set()

    monkeypatch.setattr(rtc.LocalParticipant, "send_text", send)
    captions = Captions(cast(rtc.Room, room))
    captions.show(caption("SG_1", "slow"))
    captions.show(caption("SG_2", "quick", track_id="TR_2"))
    async with asyncio.timeout(10):
        await captions.close()
    assert other_sent.is_set()


async def test_a_connection_that_is_not_mended_keeps_nobody_at_the_end(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(captions_module, "LAST_SECONDS", 0.05)
    captions = Captions(cast(rtc.Room, room))
    room.mended.clear()
    captions.show(caption("SG_1", "never"))
    async with asyncio.timeout(10):
        await captions.close()
    assert room.sent == []
    assert "not everybody's last captions could be sent" in caplog.messages


async def test_one_that_cannot_be_sent_does_not_keep_the_next(room: Room) -> None:
    captions = Captions(cast(rtc.Room, room))
    room.error = rtc.StreamError("no")
    captions.show(caption("SG_1", "lost", final=True))
    await captions.close()
    room.error = None
    captions.show(caption("SG_2", "sent", final=True))
    await captions.close()
    assert [text for _, text, _ in room.sent] == ["sent"]


async def test_who_is_not_in_the_room_sends_nothing(room: Room) -> None:
    captions = Captions(cast(rtc.Room, room))
    room.is_connected = False
    captions.show(caption("SG_1", "nobody is there", final=True))
    await captions.close()
    assert room.sent == []


async def test_one_that_is_never_answered_does_not_keep_the_next(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captions_module, "SEND_SECONDS", 0.05)
    captions = Captions(cast(rtc.Room, room))
    room.mended.clear()
    captions.show(caption("SG_1", "as the connection broke"))
    await asyncio.sleep(0.1)
    room.mended.set()
    captions.show(caption("SG_2", "and after it", final=True))
    await captions.close()
    assert [text for _, text, _ in room.sent] == ["and after it"]
