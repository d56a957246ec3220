"""The room's meters, against a small stand-in for `rtc.Room`.

The stand-in is here for what a real server cannot be made to do on cue: clocks that disagree, a
leave that is heard before the join is, counters that begin anew. The real room and a real server
are in the end-to-end tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc

from metering.clock import RunClock
from metering.meters.room import RoomMeter
from metering.usage import Certainty, Usage
from tests.recording import Recording

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
Kind = rtc.ParticipantKind
Reason = rtc.DisconnectReason


@dataclass
class Participant:
    identity: str
    sid: str
    joined_at: datetime | None = NINE
    kind: int = Kind.PARTICIPANT_KIND_STANDARD
    name: str = ""


@dataclass
class Transport:
    """One peer connection's statistics, as protobuf gives them."""

    received: int
    id: str = "T01"

    def WhichOneof(self, group: str) -> str:  # noqa: N802
        return "transport"

    @property
    def transport(self) -> Any:
        return SimpleNamespace(
            rtc=SimpleNamespace(id=self.id), transport=SimpleNamespace(bytes_received=self.received)
        )


@dataclass
class Codec:
    """Statistics of another kind."""

    def WhichOneof(self, group: str) -> str:  # noqa: N802
        return "codec"


@dataclass
class Stats:
    publisher_stats: list[Any] = field(default_factory=list)
    subscriber_stats: list[Any] = field(default_factory=list)


class Room(rtc.EventEmitter[str]):
    def __init__(self) -> None:
        super().__init__()
        self.local_participant = Participant(
            "agent-1", "PA_agent", kind=Kind.PARTICIPANT_KIND_AGENT
        )
        self.remote_participants: dict[str, Participant] = {}
        self.connected = False
        self.stats: Stats | Exception = Stats()

    def isconnected(self) -> bool:
        return self.connected

    async def get_rtc_stats(self) -> Stats:
        if isinstance(self.stats, Exception):
            raise self.stats
        return self.stats

    def connect(self, *others: Participant) -> None:
        for other in others:
            self.remote_participants[other.identity] = other
        self.connected = True
        self.emit("connection_state_changed", rtc.ConnectionState.CONN_CONNECTED)

    def join(self, participant: Participant) -> None:
        self.remote_participants[participant.identity] = participant
        self.emit("participant_connected", participant)

    def leave(self, participant: Participant) -> None:
        self.remote_participants.pop(participant.identity, None)
        self.emit("participant_disconnected", participant)

    def disconnect(self, reason: int) -> None:
        self.connected = False
        self.emit("disconnected", reason)


class Scene:
    """A room, its meter, and a clock moved by hand."""

    def __init__(self) -> None:
        self._ns = 0
        self.recording = Recording(RunClock(wall=lambda: NINE, monotonic_ns=lambda: self._ns))
        self.room = Room()
        self.meter = RoomMeter(
            cast(rtc.Room, self.room),
            self.recording.recorder,
            provider="self-hosted",
            server="sfu.example:7880",
        )

    def pass_by(self, seconds: float) -> None:
        self._ns += round(seconds * 10**9)

    def settle(self) -> None:
        """The heartbeats of two seconds, in which it is known who has left for good."""
        for _ in range(2):
            self.pass_by(1)
            self.meter.notice()

    @property
    def now(self) -> datetime:
        return self.recording.clock.stamp()

    def connections(self, identity: str) -> list[Usage]:
        return [
            usage
            for usage in self.recording.usages("participant_connection")
            if usage.participant == identity
        ]

    def connection(self, identity: str) -> Usage:
        (found,) = self.connections(identity)
        return found

    def downstream(self) -> Usage:
        self.recording.entries.extend(self.recording.recorder.beat())
        (found,) = self.recording.usages("downstream_data")
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_before_we_have_joined_nothing_is_due(scene: Scene) -> None:
    scene.meter.notice()
    scene.meter.close()
    assert [entry["kind"] for entry in scene.recording.entries] == ["run"]


def test_everyone_counts_from_the_servers_join(scene: Scene) -> None:
    scene.pass_by(3)
    scene.room.local_participant.joined_at = NINE + timedelta(seconds=2.5)
    scene.room.connect(Participant("alice", "PA_1", NINE - timedelta(minutes=1), name="Alice"))
    scene.pass_by(7)
    scene.meter.close()

    (session,) = scene.recording.usages("agent_session")
    assert session.quantity == Decimal("7.5")
    assert session.started_at == NINE + timedelta(seconds=2.5)
    assert session.certainty is Certainty.EXACT
    ours, alices = scene.connection("agent-1"), scene.connection("alice")
    assert (ours.quantity, ours.certainty) == (Decimal("7.5"), Certainty.EXACT)
    assert (alices.quantity, alices.certainty) == (Decimal(70), Certainty.PARTIAL)
    assert alices.quantity_lower == Decimal(70)
    assert alices.started_at == NINE - timedelta(minutes=1)
    assert {ours.provider, alices.provider, session.provider} == {"self-hosted"}
    assert scene.recording.run().people == {"agent-1": "", "alice": "Alice"}


def test_a_leave_that_we_hear_of_is_exact(scene: Scene) -> None:
    scene.room.connect()
    scene.pass_by(10)
    alice = Participant("alice", "PA_1", scene.now)
    scene.room.join(alice)
    scene.pass_by(20)
    scene.room.leave(alice)
    scene.pass_by(30)
    scene.meter.close()
    connection = scene.connection("alice")
    assert (connection.quantity, connection.certainty) == (Decimal(20), Certainty.EXACT)
    assert connection.ended_at == NINE + timedelta(seconds=30)


def test_each_join_is_its_own_instance(scene: Scene) -> None:
    scene.room.connect()
    for sid, seconds in (("PA_1", 5), ("PA_2", 8)):
        alice = Participant("alice", sid, scene.now)
        scene.room.join(alice)
        scene.meter.notice()
        scene.pass_by(seconds)
        scene.room.leave(alice)
    scene.settle()
    first, second = scene.connections("alice")
    assert (first.quantity, second.quantity) == (Decimal(5), Decimal(8))
    assert first.instance_id != second.instance_id


def test_a_leave_that_is_heard_before_the_join(scene: Scene) -> None:
    scene.room.connect()
    scene.pass_by(4)
    scene.room.emit("participant_disconnected", Participant("alice", "PA_1", NINE))
    scene.settle()
    connection = scene.connection("alice")
    assert (connection.quantity, connection.certainty) == (Decimal(4), Certainty.EXACT)


def test_seeing_somebody_again_counts_nobody_twice(scene: Scene) -> None:
    alice = Participant("alice", "PA_1")
    scene.room.connect(alice)
    scene.room.join(alice)
    for _ in range(5):
        scene.pass_by(1)
        scene.meter.notice()
    scene.room.leave(alice)
    scene.room.leave(alice)
    scene.settle()
    assert scene.connection("alice").quantity == Decimal(5)
    assert len(scene.recording.usages("agent_session")) == 1


def test_our_own_sid_may_come_late(scene: Scene) -> None:
    scene.room.local_participant.sid = ""
    scene.room.connect()
    assert scene.connections("agent-1") == []
    scene.room.local_participant.sid = "PA_agent"
    scene.meter.notice()
    assert len(scene.connections("agent-1")) == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.PARTICIPANT_KIND_STANDARD, "webrtc"),
        (Kind.PARTICIPANT_KIND_SIP, "sip"),
        (Kind.PARTICIPANT_KIND_INGRESS, "ingress"),
        (Kind.PARTICIPANT_KIND_EGRESS, "egress"),
        (Kind.PARTICIPANT_KIND_AGENT, "agent"),
        (Kind.PARTICIPANT_KIND_CONNECTOR, "connector"),
        (99, "webrtc"),
    ],
)
def test_what_a_price_may_depend_on(scene: Scene, kind: int, name: str) -> None:
    scene.room.connect(Participant("somebody", "PA_1", kind=kind))
    assert scene.connection("somebody").attributes == {"kind": name}


def test_a_full_reconnect_makes_us_another_participant(scene: Scene) -> None:
    scene.room.connect()
    scene.pass_by(10)
    scene.room.local_participant = Participant(
        "agent-1", "PA_agent_again", kind=Kind.PARTICIPANT_KIND_AGENT, joined_at=scene.now
    )
    scene.meter.notice()
    scene.pass_by(5)
    scene.room.disconnect(rtc.DisconnectReason.CLIENT_INITIATED)
    assert [usage.quantity for usage in scene.connections("agent-1")] == [10, 5]


def test_who_is_gone_after_a_reconnect_left_somewhen_meanwhile(scene: Scene) -> None:
    alice = Participant("alice", "PA_1")
    scene.room.connect(alice)
    scene.pass_by(10)
    scene.room.emit("reconnecting")
    scene.pass_by(3)
    scene.room.emit("reconnecting")
    scene.pass_by(1)
    scene.room.local_participant = Participant(
        "agent-1", "PA_agent_again", kind=Kind.PARTICIPANT_KIND_AGENT, joined_at=scene.now
    )
    scene.pass_by(2)
    scene.room.leave(alice)
    scene.room.emit("reconnected")
    left, former = scene.connection("alice"), scene.connections("agent-1")[0]
    assert left.certainty is former.certainty is Certainty.BOUNDED
    assert left.quantity_lower == former.quantity_lower == Decimal(10)
    assert left.quantity == left.quantity_upper == Decimal(16)
    # The server put our former self out when the new one came, not when we heard of it.
    assert former.quantity == former.quantity_upper == Decimal(14)
    assert former.ended_at == NINE + timedelta(seconds=14)

    bob = Participant("bob", "PA_2", joined_at=scene.now)
    scene.room.join(bob)
    scene.pass_by(5)
    scene.room.leave(bob)
    scene.settle()
    assert scene.connection("bob").quantity == Decimal(5)
    assert scene.connection("bob").certainty is Certainty.EXACT
    scene.room.disconnect(Reason.CLIENT_INITIATED)
    assert scene.connections("agent-1")[1].quantity == Decimal(9)


@pytest.mark.parametrize("resumed_before", [False, True])
def test_who_is_still_there_after_a_full_reconnect_was_there_all_the_time(
    scene: Scene, resumed_before: bool
) -> None:
    alice, bob = Participant("alice", "PA_1"), Participant("bob", "PA_2")
    scene.room.connect(alice, bob)
    scene.pass_by(10)
    # The SDK says so in this order, unless it has tried to resume the connection first.
    if resumed_before:
        scene.room.emit("reconnecting")
        scene.pass_by(4)
    scene.room.leave(alice)
    scene.room.leave(bob)
    scene.room.emit("connection_state_changed", rtc.ConnectionState.CONN_RECONNECTING)
    scene.room.emit("reconnecting")
    scene.pass_by(5)
    scene.meter.notice()
    scene.room.join(alice)
    scene.room.emit("reconnected")
    scene.pass_by(100)
    scene.room.leave(alice)
    scene.settle()
    away = 4 if resumed_before else 0
    stayed, left = scene.connection("alice"), scene.connection("bob")
    assert (stayed.quantity, stayed.certainty) == (Decimal(115 + away), Certainty.EXACT)
    assert (left.quantity_lower, left.quantity) == (Decimal(10), Decimal(15 + away))
    assert left.certainty is Certainty.BOUNDED


def test_who_had_left_before_the_connection_was_lost_left_then(scene: Scene) -> None:
    alice = Participant("alice", "PA_1")
    scene.room.connect(alice)
    scene.pass_by(10)
    scene.room.leave(alice)
    scene.pass_by(3)
    scene.room.emit("reconnecting")
    scene.pass_by(5)
    scene.room.emit("reconnected")
    assert (scene.connection("alice").quantity, scene.connection("alice").certainty) == (
        Decimal(10),
        Certainty.EXACT,
    )


def test_of_a_room_that_is_never_seen_again_nobody_knows_who_was_there(scene: Scene) -> None:
    alice = Participant("alice", "PA_1")
    scene.room.connect(alice)
    scene.pass_by(10)
    scene.room.leave(alice)
    scene.room.emit("reconnecting")
    scene.pass_by(30)
    scene.room.disconnect(Reason.CONNECTION_TIMEOUT)
    connection = scene.connection("alice")
    assert connection.certainty is Certainty.BOUNDED
    assert (connection.quantity_lower, connection.quantity) == (Decimal(10), Decimal(40))


def test_we_are_an_agent_whatever_our_token_says(scene: Scene) -> None:
    scene.room.local_participant.kind = Kind.PARTICIPANT_KIND_STANDARD
    scene.room.connect()
    assert scene.connection("agent-1").attributes == {"kind": "agent"}


def test_another_agents_connection_is_not_ours_to_end(scene: Scene) -> None:
    scene.room.connect(Participant("agent-2", "PA_2", kind=Kind.PARTICIPANT_KIND_AGENT))
    scene.pass_by(5)
    scene.room.disconnect(Reason.CLIENT_INITIATED)
    assert scene.connection("agent-1").certainty is Certainty.EXACT
    assert scene.connection("agent-2").certainty is Certainty.PARTIAL


@pytest.mark.parametrize(
    ("reason", "certainty"),
    [
        (Reason.ROOM_DELETED, Certainty.EXACT),
        (Reason.ROOM_CLOSED, Certainty.EXACT),
        (Reason.SERVER_SHUTDOWN, Certainty.EXACT),
        (Reason.CLIENT_INITIATED, Certainty.PARTIAL),
        (Reason.PARTICIPANT_REMOVED, Certainty.PARTIAL),
        (Reason.SIGNAL_CLOSE, Certainty.PARTIAL),
        (Reason.UNKNOWN_REASON, Certainty.PARTIAL),
    ],
)
def test_the_rooms_end_is_everyones_and_our_leave_only_ours(
    scene: Scene, reason: int, certainty: Certainty
) -> None:
    scene.room.connect(Participant("alice", "PA_1"))
    scene.pass_by(5)
    scene.room.disconnect(reason)
    scene.pass_by(60)
    scene.meter.close()
    assert scene.connection("alice").certainty is certainty
    assert scene.connection("alice").quantity == Decimal(5)
    assert scene.connection("agent-1").certainty is Certainty.EXACT
    (session,) = scene.recording.usages("agent_session")
    assert session.quantity == Decimal(5)


def test_killed_our_own_is_bounded_and_theirs_is_partial(scene: Scene) -> None:
    scene.room.connect(Participant("alice", "PA_1"))
    scene.pass_by(5)
    scene.recording.entries.extend(scene.recording.recorder.beat())
    certainty = {
        (usage.meter, usage.participant): usage.certainty for usage in scene.recording.run().usages
    }
    assert certainty == {
        ("agent_session", None): Certainty.BOUNDED,
        ("downstream_data", None): Certainty.PARTIAL,
        ("participant_connection", "agent-1"): Certainty.BOUNDED,
        ("participant_connection", "alice"): Certainty.PARTIAL,
    }


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=-11)])
def test_a_server_whose_clock_disagrees_is_read_on_ours(
    scene: Scene, caplog: pytest.LogCaptureFixture, skew: timedelta
) -> None:
    """The join that we have just made tells how far apart the two clocks are."""
    scene.pass_by(60)
    scene.room.local_participant.joined_at = scene.now + skew
    alice = Participant("alice", "PA_1", scene.now + skew - timedelta(seconds=20))
    scene.room.connect(alice)
    scene.pass_by(5)
    scene.meter.close()
    assert scene.connection("alice").quantity == Decimal(25)
    assert scene.connection("alice").started_at == NINE + timedelta(seconds=40)
    assert scene.connection("agent-1").quantity == Decimal(5)
    assert "clock" in caplog.text
    assert "alice" not in caplog.text


def test_a_join_in_the_near_future_begins_now(scene: Scene) -> None:
    scene.room.connect()
    alice = Participant("alice", "PA_1", scene.now + timedelta(seconds=3))
    scene.room.join(alice)
    scene.pass_by(5)
    scene.room.leave(alice)
    scene.settle()
    assert scene.connection("alice").quantity == Decimal(5)


def test_a_join_that_the_server_does_not_date_begins_now(scene: Scene) -> None:
    scene.room.local_participant.joined_at = None
    scene.room.connect(Participant("alice", "PA_1", None))
    scene.pass_by(5)
    scene.meter.close()
    assert scene.connection("alice").quantity == Decimal(5)
    assert scene.connection("alice").instance_id == "sfu.example:7880/PA_1/0"


def test_an_instance_is_the_same_for_all_who_see_it(scene: Scene) -> None:
    """To the server's own millisecond, as a webhook has it: floats would now and then lose one."""
    for joined_ms in range(1_763_700_000_000, 1_763_700_001_000):
        joined = datetime.fromtimestamp(joined_ms / 1000, UTC)
        participant = cast(rtc.Participant, Participant("alice", "PA_1", joined))
        assert scene.meter.instance_id(participant) == f"sfu.example:7880/PA_1/{joined_ms}"


async def test_bytes_down_are_what_came_since_the_last_look(scene: Scene) -> None:
    scene.room.connect()
    for received, total in ((1_000, 1_000), (1_500, 1_500), (1_500, 1_500), (4_000, 4_000)):
        scene.room.stats = Stats([Transport(received), Codec()])
        await scene.meter.count_bytes()
        assert scene.downstream().quantity == total
    assert scene.downstream().certainty is Certainty.PARTIAL
    assert scene.downstream().unit == "byte"


async def test_a_reconnect_begins_the_counters_anew(scene: Scene) -> None:
    scene.room.connect()
    for received in (5_000, 700, 900):
        scene.room.stats = Stats([Transport(received)])
        await scene.meter.count_bytes()
    assert scene.downstream().quantity == 5_900


async def test_two_peer_connections_that_share_an_id_are_two(scene: Scene) -> None:
    scene.room.connect()
    for published, subscribed in ((100, 10_000), (150, 20_000)):
        scene.room.stats = Stats([Transport(published)], [Transport(subscribed)])
        await scene.meter.count_bytes()
    assert scene.downstream().quantity == 20_150


@pytest.mark.parametrize("error", [RuntimeError("closed"), TimeoutError()])
async def test_no_statistics_now_are_no_bytes_now(scene: Scene, error: Exception) -> None:
    scene.room.connect()
    scene.room.stats = error
    await scene.meter.count_bytes()
    assert scene.downstream().quantity == 0
    scene.room.stats = Stats([Transport(500)])
    await scene.meter.count_bytes()
    assert scene.downstream().quantity == 500


async def test_no_bytes_are_asked_for_before_or_after(scene: Scene) -> None:
    scene.room.stats = AssertionError("asked")
    await scene.meter.count_bytes()
    scene.room.connect()
    scene.room.connected = False
    await scene.meter.count_bytes()
    assert scene.downstream().quantity == 0
