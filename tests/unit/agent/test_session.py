"""Who is listened to, and what a job that ends leaves behind, event by event.

Room, job and listeners are small stand-ins: in which order a server tells what, and who comes in
which moment, a real one cannot be made to do on cue. Real ones are in the end-to-end tests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import JobContext

from agent import arrivals, session
from agent.manners.opt_out import OPT_OUT_ATTRIBUTE
from agent.recognition import Recognition
from agent.request import TranscriptionRequest
from agent.session import TranscriptionSession
from metering import JobMeter

from .arriving import TalkingRoom, pair, report

ALONE_SECONDS = 0.1
STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


class Person(rtc.RemoteParticipant):
    """Somebody who is there, without the SDK's handle of them."""

    def __init__(self, identity: str, kind: int) -> None:
        self._values = {"identity": identity, "name": identity, "kind": kind}
        self.listed: dict[str, Any] = {}
        self.said: dict[str, str] = {}

    identity = property(lambda self: self._values["identity"])
    name = property(lambda self: self._values["name"])
    kind = property(lambda self: self._values["kind"])
    track_publications = property(lambda self: self.listed)
    attributes = property(lambda self: self.said)


class Me:
    async def set_attributes(self, attributes: dict[str, str]) -> None:
        pass


class Room(TalkingRoom):
    """Who is in it, each with one microphone."""

    name = "standup"
    connection_state = rtc.ConnectionState.CONN_CONNECTED

    def __init__(self) -> None:
        super().__init__()
        self.local_participant = Me()
        self.remote_participants: dict[str, Any] = {}

    def come(self, identity: str, kind: int = STANDARD) -> None:
        """Somebody joins."""
        person = Person(identity, kind)
        self.remote_participants[identity] = person
        self.emit("participant_connected", person)

    def go(self, identity: str) -> None:
        """Somebody leaves."""
        self.emit("participant_disconnected", self.remote_participants.pop(identity))

    def publish(self, identity: str) -> SimpleNamespace:
        """They have a microphone; returns its publication, with what was asked of it."""
        asked: list[bool] = []
        publication = SimpleNamespace(
            sid=f"TR_{identity}",
            kind=rtc.TrackKind.KIND_AUDIO,
            track=None,
            asked=asked,
            set_subscribed=asked.append,
        )
        self.remote_participants[identity].track_publications[publication.sid] = publication
        return publication

    def subscribe(self, identity: str) -> SimpleNamespace:
        """Their microphone is heard from now on; returns the track."""
        person = self.remote_participants[identity]
        track = SimpleNamespace(sid=f"TR_{identity}", kind=rtc.TrackKind.KIND_AUDIO)
        publication = self.publish(identity)
        publication.track = track
        self.emit("track_subscribed", track, publication, person)
        return track

    def unsubscribe(self, identity: str, track: SimpleNamespace) -> None:
        """And no more."""
        person = self.remote_participants[identity]
        publication = person.track_publications.pop(track.sid, None)
        self.emit("track_unsubscribed", track, publication, person)


class Listening:
    """Listens to a track until it is told to end, and then as long as last words take."""

    def __init__(self, last_words: asyncio.Event) -> None:
        self.track: Any = None
        self.is_ended = False
        self.is_discarded = False
        self._ended = asyncio.Event()
        self._last_words = last_words

    async def listen(self, track: Any) -> None:
        self.track = track
        await self._ended.wait()
        await self._last_words.wait()

    def end(self) -> None:
        self.is_ended = True
        self._ended.set()

    def discard(self) -> None:
        self.is_discarded = True
        self.end()


class Job:
    """As much of LiveKit's context as a session uses."""

    def __init__(self) -> None:
        self.room = Room()
        self.job = SimpleNamespace(id="AJ_1")
        self.ended_because: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connect(self, *, auto_subscribe: Any) -> None:
        pass

    def shutdown(self, reason: str) -> None:
        if not self.ended_because.done():
            self.ended_because.set_result(reason)


class Meeting:
    """A session, its job, its listeners, and what the server would say if it is asked."""

    def __init__(self, folder: Path, **asked: Any) -> None:
        self.job = Job()
        self.room = self.job.room
        self.people_are_there = asyncio.Event()
        self.last_words = asyncio.Event()
        self.last_words.set()
        self.listeners: list[Listening] = []
        self.session = TranscriptionSession(
            cast(JobContext, self.job),
            TranscriptionRequest(captions=False, **asked),
            cast(Recognition, self),
            cast(JobMeter, self),
            folder,
            until_given_up=self._until_given_up,
        )

    allowance = None

    def now(self) -> datetime:
        return datetime.now(UTC)

    def recognisers(self, identity: str, attributes: Any) -> Any:
        return SimpleNamespace(choose=lambda: SimpleNamespace(engine=None))

    def gate(self) -> None:
        return None

    def listening(self, engine: Any, **whose: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def listen(self, *_: Any, **__: Any) -> Listening:
        self.listeners.append(Listening(self.last_words))
        return self.listeners[-1]

    async def _until_given_up(self) -> None:
        await self.people_are_there.wait()

    async def ended(self) -> str:
        """Why, as soon as it has."""
        return await asyncio.wait_for(self.job.ended_because, 10)

    def heard(self) -> list[Any]:
        """The tracks that are being listened to."""
        return [one.track for one in self.listeners if not one.is_ended]


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(session, "EMPTY_SECONDS", ALONE_SECONDS)


@pytest.fixture
async def meeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Meeting]:
    meeting = Meeting(tmp_path, leave_when_alone_seconds=ALONE_SECONDS)
    monkeypatch.setattr(session, "Listener", meeting.listen)
    yield meeting
    meeting.last_words.set()
    await meeting.session.finish()


async def settle() -> None:
    """Let tasks that have just been made begin."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_is_subscribed_to_anew_is_heard_though_the_last_words_are_still_out(
    meeting: Meeting,
) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    meeting.last_words.clear()
    first = meeting.room.subscribe("alice")
    await settle()
    meeting.room.unsubscribe("alice", first)
    second = meeting.room.subscribe("alice")
    await settle()
    assert meeting.heard() == [second]


async def test_what_comes_is_looked_at_for_as_long_as_it_is_listened_to(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "LOOK_SECONDS", 0.0)
    meeting.room.come("alice")
    await meeting.session.start()
    for answers in range(3):
        await meeting.room.say(report(pair(1.0, packet_at=1.0, answers=answers)))
    await meeting.session.finish()
    meeting.room.is_asked.clear()
    meeting.room.says.put_nowait(report())
    await settle()
    assert not meeting.room.is_asked.is_set()


async def test_a_full_reconnect_that_keeps_the_track_hears_it_again(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    meeting.last_words.clear()
    meeting.room.subscribe("alice")
    await settle()
    # The SDK takes everybody out of the room and puts them back, and says so in this order.
    meeting.room.go("alice")
    meeting.room.emit("reconnecting")
    meeting.room.come("alice")
    again = meeting.room.subscribe("alice")
    meeting.room.emit("reconnected")
    await settle()
    assert meeting.heard() == [again]
    assert meeting.listeners[0].is_ended


async def test_after_a_full_reconnect_everybodys_audio_is_asked_for(meeting: Meeting) -> None:
    for identity in ("alice", "carol"):
        meeting.room.come(identity)
    await meeting.session.start()
    meeting.room.go("alice")
    meeting.room.go("carol")
    meeting.room.emit("reconnecting")
    # What is asked for here, the SDK asks of the connection that is gone.
    for identity in ("alice", "carol", "another-agent"):
        meeting.room.come(identity, AGENT if identity == "another-agent" else STANDARD)
    meeting.room.remote_participants["carol"].said = {OPT_OUT_ATTRIBUTE: "yes"}
    asked = {
        identity: meeting.room.publish(identity).asked
        for identity in ("alice", "carol", "another-agent")
    }
    meeting.room.emit("reconnected")
    assert asked == {"alice": [True], "carol": [False], "another-agent": []}


async def test_a_track_that_is_told_of_twice_is_heard_once(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    track = meeting.room.subscribe("alice")
    person = meeting.room.remote_participants["alice"]
    meeting.room.emit("track_subscribed", track, person.track_publications[track.sid], person)
    await settle()
    assert meeting.heard() == [track]
    assert len(meeting.listeners) == 1


async def test_the_end_of_an_earlier_subscription_does_not_end_the_later(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    first = meeting.room.subscribe("alice")
    second = meeting.room.subscribe("alice")
    meeting.room.unsubscribe("alice", first)
    await settle()
    assert meeting.heard() == [second]


async def test_who_opts_out_is_not_heard_by_whom_their_last_words_are_still_due(
    meeting: Meeting,
) -> None:
    meeting.room.come("alice")
    meeting.room.come("bob")
    await meeting.session.start()
    meeting.last_words.clear()
    meeting.room.unsubscribe("alice", meeting.room.subscribe("alice"))
    meeting.room.subscribe("alice")
    meeting.room.subscribe("bob")
    await settle()
    alice = meeting.room.remote_participants["alice"]
    alice.attributes[OPT_OUT_ATTRIBUTE] = "true"
    meeting.room.emit("participant_attributes_changed", {OPT_OUT_ATTRIBUTE: "true"}, alice)
    assert [one.is_discarded for one in meeting.listeners] == [True, True, False]


async def test_the_last_words_of_everybody_are_waited_for(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    meeting.last_words.clear()
    meeting.room.subscribe("alice")
    await settle()
    meeting.room.go("alice")
    finishing = asyncio.create_task(meeting.session.finish())
    await settle()
    assert not finishing.done()
    meeting.last_words.set()
    await asyncio.wait_for(finishing, 10)


async def test_somebody_may_come_back_as_we_leave_an_empty_room(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    meeting.room.go("alice")
    assert await meeting.ended() == "everyone has left"
    assert meeting.session.has_left_an_empty_room
    assert not meeting.session.is_cut_off
    assert not meeting.session.has_company_again.is_set()
    meeting.room.come("alice")
    assert meeting.session.has_company_again.is_set()


async def test_who_is_never_seen_does_not_bring_one_job_after_another(meeting: Meeting) -> None:
    await meeting.session.start()
    meeting.room.come("another-agent", AGENT)
    meeting.room.go("another-agent")
    meeting.people_are_there.set()
    assert await meeting.ended() == "everyone has left"
    assert not meeting.session.has_left_an_empty_room
    assert not meeting.session.is_cut_off


async def test_a_moment_away_does_not_shorten_the_wait_for_the_first_to_come(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "EMPTY_SECONDS", 600.0)
    await meeting.session.start()
    meeting.room.emit("reconnecting")
    meeting.room.emit("reconnected")
    meeting.room.come("another-agent", AGENT)
    meeting.room.go("another-agent")
    await asyncio.sleep(3 * ALONE_SECONDS)
    assert not meeting.job.ended_because.done()


async def test_whose_time_is_up_does_not_come_back(tmp_path: Path) -> None:
    limited = Meeting(tmp_path, leave_after_minutes=ALONE_SECONDS / 60)
    limited.room.come("alice")
    await limited.session.start()
    assert await limited.ended() == "time is up"
    assert not limited.session.is_cut_off
    assert not limited.session.has_left_an_empty_room
    await limited.session.finish()


async def test_a_job_that_is_ended_while_all_is_well_is_not_cut_off(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    assert not meeting.session.is_cut_off


async def test_whoever_is_away_at_the_end_is_cut_off(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    meeting.room.emit("reconnecting")
    assert meeting.session.is_cut_off


async def test_people_whom_a_full_reconnect_takes_away_are_not_gone(meeting: Meeting) -> None:
    meeting.room.come("alice")
    await meeting.session.start()
    meeting.room.go("alice")
    meeting.room.emit("reconnecting")
    await asyncio.sleep(3 * ALONE_SECONDS)
    assert not meeting.job.ended_because.done()
    meeting.people_are_there.set()
    assert await meeting.ended() == "cut off"
    assert meeting.session.is_cut_off


async def test_a_room_that_only_we_see_empty_is_left_for_another_job(tmp_path: Path) -> None:
    patient = Meeting(tmp_path, leave_when_alone_seconds=600)
    patient.room.come("alice")
    await patient.session.start()
    patient.room.go("alice")
    patient.people_are_there.set()
    assert await patient.ended() == "cut off"
    assert patient.session.is_cut_off
    await patient.session.finish()
