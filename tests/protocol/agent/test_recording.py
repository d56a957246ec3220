"""A meeting's recordings, through LiveKit's real client, against a local Egress and its ledger."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import api, rtc

from agent.recording.egress import RoomEgress
from agent.recording.recording import Recording
from agent.segments import Meeting
from agent.settings import AgentSettings, RecordedAs
from metering.meters.egress import EgressMeter
from metering.usage import Certainty, Usage
from tests.providers.egress import EgressServer
from tests.recording import Recording as Run
from tests.waiting import until

ROOM = "weekly"
MEETING = Meeting(
    job_id="AJ_1",
    title="",
    room_name=ROOM,
    started_at=datetime(2026, 11, 21, tzinfo=UTC),
    tenant="",
)


@dataclass
class Room:
    """The events and the flag that a recording looks at; the rest of a room is not its business."""

    is_recording: bool = False
    remote_participants: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, Any] = field(default_factory=dict)

    def on(self, event: str, handler: Any) -> None:
        self.handlers[event] = handler

    def publish(self, sid: str, identity: str) -> None:
        self.handlers["track_subscribed"](*_published(sid, identity))

    def unpublish(self, sid: str, identity: str) -> None:
        self.handlers["track_unsubscribed"](*_published(sid, identity))


def _published(sid: str, identity: str) -> tuple[Any, Any, Any]:
    track = SimpleNamespace(sid=sid, kind=rtc.TrackKind.KIND_AUDIO)
    return track, SimpleNamespace(sid=sid), SimpleNamespace(identity=identity)


class Recorded:
    """One meeting with its recordings, and what the meter made of them."""

    def __init__(self, server: EgressServer, wanted: RecordedAs | None, **settings: Any) -> None:
        self.room = Room()
        self.run = Run()
        self.meter = EgressMeter(self.run.recorder, provider="livekit-cloud")
        self.told: list[str] = []
        secret = secrets.token_hex(16)
        self.recording = Recording(
            cast(rtc.Room, self.room),
            RoomEgress(
                ROOM,
                AgentSettings(**settings),
                lambda: api.LiveKitAPI(server.origin, "key", secret),
            ),
            wanted,
            metered=self.meter.seen,
            may_record=lambda person: person.identity != "quiet",
            tell=self._tell,
            look_seconds=0.05,
        )

    async def _tell(self, line: str) -> None:
        self.told.append(line)

    def usages(self, meter: str) -> list[Usage]:
        return self.run.usages(meter)


@asynccontextmanager
async def recorded(wanted: RecordedAs | None, **settings: Any) -> AsyncIterator[Any]:
    async with EgressServer() as server:
        one = Recorded(server, wanted, **settings)
        await one.recording.on_start(MEETING, ())
        yield server, one
        await one.recording.on_end()


def is_active(server: EgressServer, count: int = 1) -> bool:
    states = [info.status for info in server.egresses.values()]
    return states.count(api.EgressStatus.EGRESS_ACTIVE) == count


def stated(info: api.EgressInfo) -> Decimal:
    return Decimal(info.ended_at - info.started_at) / 10**9


async def test_a_room_is_recorded_to_the_end_of_the_meeting_and_billed_as_egress_says() -> None:
    async with recorded(
        RecordedAs.ROOM,
        recording_path="minutes",
        recording_s3_bucket="acme",
        recording_s3_secret="s3cret",
    ) as (server, one):
        await until(lambda: is_active(server))
    (info,) = server.egresses.values()
    assert info.status == api.EgressStatus.EGRESS_COMPLETE
    (output,) = server.requests[0].file_outputs
    assert (output.filepath, output.s3.bucket) == ("minutes/{room_name}-{time}", "acme")
    assert server.requests[0].audio_only
    (usage,) = one.usages("egress_transcode")
    assert (usage.quantity, usage.provider_stated) == (stated(info), stated(info))
    assert (usage.provider_ref, usage.purpose) == (info.egress_id, "recording")
    assert usage.certainty is Certainty.EXACT
    assert one.told == []


async def test_each_microphone_is_recorded_but_not_of_those_who_may_not_be() -> None:
    async with recorded(RecordedAs.TRACKS) as (server, one):
        for sid, identity in (("TR_a", "alice"), ("TR_q", "quiet"), ("TR_b", "bob")):
            one.room.publish(sid, identity)
        await until(lambda: is_active(server, 2))
        one.room.unpublish("TR_a", "alice")
        await until(lambda: is_active(server, 1))
    assert {asked.track_id for asked in server.requests} == {"TR_a", "TR_b"}
    usages = {usage.provider_ref: usage for usage in one.usages("egress_track")}
    assert {key: usage.quantity for key, usage in usages.items()} == {
        info.egress_id: stated(info) for info in server.egresses.values()
    }
    assert len(usages) == 2


async def test_what_others_have_begun_is_metered_and_not_ended() -> None:
    async with recorded(None) as (server, one):
        async with api.LiveKitAPI(server.origin, "key", secrets.token_hex(16)) as livekit:
            asked = api.RoomCompositeEgressRequest(room_name=ROOM, audio_only=True)
            await livekit.egress.start_room_composite_egress(asked)
        assert one.usages("egress_transcode") == []
        one.room.is_recording = True
        await until(lambda: is_active(server))
        await until(lambda: bool(one.usages("egress_transcode")))
    (info,) = server.egresses.values()
    assert info.status == api.EgressStatus.EGRESS_ACTIVE
    one.meter.close()
    (usage,) = one.usages("egress_transcode")
    assert usage.certainty is Certainty.PARTIAL


async def test_an_egress_that_fails_is_told_to_people_and_counted_as_far_as_it_came() -> None:
    async with recorded(RecordedAs.ROOM) as (server, one):
        server.fails = "no space left"
        await until(lambda: bool(one.told))
    assert one.told == ["This meeting is not being recorded."]
    (info,) = server.egresses.values()
    (usage,) = one.usages("egress_transcode")
    assert usage.quantity == stated(info)


async def test_a_refusal_is_told_to_people_and_nothing_is_metered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with EgressServer() as server:
        server.refusals.append(429)
        one = Recorded(server, RecordedAs.ROOM)
        await one.recording.on_start(MEETING, ())
        await until(lambda: bool(one.told))
        await one.recording.on_end()
    assert one.told == ["This meeting is not being recorded."]
    assert "LiveKit Egress refuses: resource_exhausted: too many egresses" in caplog.text
    assert one.usages("egress_transcode") == []
