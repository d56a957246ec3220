"""The room's own meters: everyone's connections, the agent's session, the bytes that reached us.

The server bills each join of each participant from its own `joined_at`, which the SDK passes on;
the end is when we hear of the leave. A participant who is still there when we go is recorded as
partial: their connection goes on, and nobody here sees its end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from livekit import rtc

from ..clock import seconds
from ..recorder import OpenUsage, Recorder
from ..run import Ending
from ..usage import Certainty

logger = logging.getLogger("tallyroom.metering")

_SOURCE = "room"

KIND_NAMES: dict[int, str] = {
    rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD: "webrtc",
    rtc.ParticipantKind.PARTICIPANT_KIND_SIP: "sip",
    rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS: "ingress",
    rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS: "egress",
    rtc.ParticipantKind.PARTICIPANT_KIND_AGENT: "agent",
    rtc.ParticipantKind.PARTICIPANT_KIND_CONNECTOR: "connector",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PLAUSIBLE_LAG = timedelta(seconds=10)
"""A join is heard of within this; a larger gap is two clocks that disagree."""

_SETTLED = timedelta(seconds=1)
"""After somebody has gone; by then it is known whether it was we who lost the connection."""


class RoomMeter:
    """Meters one room, from the moment that we are in it.

    `provider` is who bills the room (`livekit-cloud`, or `self-hosted`), `server` the host that
    tells its participants apart from another server's.
    """

    def __init__(self, room: rtc.Room, recorder: Recorder, *, provider: str, server: str) -> None:
        self._room = room
        self._recorder = recorder
        self._provider = provider
        self._server = server
        self._session: OpenUsage | None = None
        self._downstream: OpenUsage | None = None
        self._connections: dict[str, OpenUsage] = {}
        self._gone: dict[str, datetime] = {}
        self._bytes_seen: dict[str, int] = {}
        self._clock_skew = timedelta(0)
        self._out_of_sight_since: datetime | None = None
        self._last_lost_at: datetime | None = None
        room.on("participant_connected", self._joined)
        room.on("participant_disconnected", self._left)
        room.on("connection_state_changed", self._state_changed)
        room.on("reconnecting", self._reconnecting)
        room.on("reconnected", self._reconnected)
        room.on("disconnected", self._disconnected)

    def notice(self) -> None:
        """Open what is due; called as often as one likes, and without effect before we have joined.

        The SDK announces everyone's join but our own, so this is also called from the heartbeat.
        """
        if not self._room.isconnected():
            return
        if self._session is None:
            self._entered()
        for participant in (self._room.local_participant, *self._room.remote_participants.values()):
            self._joined(participant)
        self._close_gone(self._recorder.clock.stamp() - _SETTLED)

    def _entered(self) -> None:
        local = self._room.local_participant
        now = self._recorder.clock.stamp()
        lag = now - (local.joined_at or now)
        if not timedelta(0) - _PLAUSIBLE_LAG <= lag <= _PLAUSIBLE_LAG:
            logger.warning("the server's clock and ours are %s apart", lag)
            self._clock_skew = lag
        self._session = self._open(
            f"{self._recorder.run_id}/agent_session",
            "agent_session",
            started_at=self._on_our_clock(local.joined_at),
        )
        self._downstream = self._recorder.open(
            instance_id=f"{self._recorder.run_id}/downstream_data",
            meter="downstream_data",
            provider=self._provider,
            source=_SOURCE,
            is_clock=False,
            certainty=Certainty.PARTIAL,
        )

    def _open(
        self, instance_id: str, meter: str, *, started_at: datetime, **more: Any
    ) -> OpenUsage:
        now = self._recorder.clock.stamp()
        return self._recorder.open(
            instance_id=instance_id,
            meter=meter,
            provider=self._provider,
            source=_SOURCE,
            started_at=started_at,
            already=_whole_microseconds(now - started_at),
            **more,
        )

    def _on_our_clock(self, server_stamp: datetime | None) -> datetime:
        now = self._recorder.clock.stamp()
        return min(now, (server_stamp or now - self._clock_skew) + self._clock_skew)

    def _joined(self, participant: rtc.Participant) -> None:
        self._gone.pop(participant.sid, None)
        if not participant.sid or participant.sid in self._connections:
            return
        if self._session is None and self._room.isconnected():
            self._entered()
        is_local = participant is self._room.local_participant
        if is_local:
            self._end_former_self(participant.joined_at)
        kind = "agent" if is_local else KIND_NAMES.get(participant.kind, "webrtc")
        self._recorder.person(participant.identity, participant.name)
        self._connections[participant.sid] = self._open(
            self.instance_id(participant),
            "participant_connection",
            started_at=self._on_our_clock(participant.joined_at),
            attributes={"kind": kind},
            participant=participant.identity,
            ending=Ending.WITH_RUN if is_local else Ending.UNSEEN,
        )

    def _end_former_self(self, joined_at: datetime | None) -> None:
        """After a full reconnect we are another participant to the server.

        It has put out the first when the second came, or lost it with the connection.
        """
        for connection in self._connections.values():
            if self._is_local(connection):
                connection.close(
                    ended_at=self._on_our_clock(joined_at), lasted_until=self._last_lost_at
                )

    def instance_id(self, participant: rtc.Participant) -> str:
        """What makes a join the same one for every agent and webhook that sees it.

        Not the room's SID: a server that was restarted has made the room anew, and the SDK goes on
        naming the first one, where an agent that came later names the second.
        """
        joined = participant.joined_at
        joined_ms = (joined - _EPOCH) // timedelta(milliseconds=1) if joined else 0
        return f"{self._server}/{participant.sid}/{joined_ms}"

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        """Somebody has left, or we have: that is only known a moment later.

        A full reconnect takes everybody out of the room before it says what it is, and puts those
        who have been there all the time back in, with the connection that they had.
        """
        if participant.sid not in self._connections:
            self._joined(participant)
        self._gone.setdefault(participant.sid, self._recorder.clock.stamp())

    def _close_gone(self, before: datetime) -> None:
        """Close the connections of those who had left by then, if we could see the room."""
        if self._out_of_sight_since is not None:
            return
        for sid, left_at in list(self._gone.items()):
            if left_at <= before:
                del self._gone[sid]
                self._connections[sid].close(ended_at=left_at)

    def _reconnecting(self) -> None:
        if self._out_of_sight_since is None:
            now = self._recorder.clock.stamp()
            self._close_gone(now - _SETTLED)
            self._out_of_sight_since = self._last_lost_at = now

    def _reconnected(self) -> None:
        self.notice()
        self._close_unseen()
        self._out_of_sight_since = None

    def _close_unseen(self) -> None:
        """Who left while we could not see the room, left somewhen in that time."""
        for sid in self._gone:
            self._connections[sid].close(lasted_until=self._out_of_sight_since)
        self._gone.clear()

    def _state_changed(self, state: int) -> None:
        self.notice()

    def _disconnected(self, reason: int) -> None:
        """Our own end, and with the room's end everyone's."""
        room_ended = reason in (
            rtc.DisconnectReason.ROOM_DELETED,
            rtc.DisconnectReason.ROOM_CLOSED,
            rtc.DisconnectReason.SERVER_SHUTDOWN,
        )
        self.close(everyone=room_ended)

    def close(self, *, everyone: bool = False) -> None:
        """Close what is open; others' connections are partial unless the room ended for all."""
        self._close_gone(self._recorder.clock.stamp())
        self._close_unseen()
        for opened in (self._session, self._downstream):
            if opened:
                opened.close()
        for connection in self._connections.values():
            ours = connection.usage.attributes.get("kind") == "agent" and self._is_local(connection)
            connection.close(certainty=None if ours or everyone else Certainty.PARTIAL)

    def _is_local(self, connection: OpenUsage) -> bool:
        return connection.usage.participant == self._room.local_participant.identity

    async def count_bytes(self) -> None:
        """Add the bytes that came down since the last look; a reconnect restarts the counters."""
        if self._downstream is None or not self._room.isconnected():
            return
        try:
            stats = await self._room.get_rtc_stats()
        except (TimeoutError, RuntimeError):
            return
        # Each peer connection calls its transport T01, so that the id alone tells no two apart.
        for transport, received in (
            *_bytes_received("publisher", stats.publisher_stats),
            *_bytes_received("subscriber", stats.subscriber_stats),
        ):
            before = self._bytes_seen.get(transport, 0)
            self._downstream.add(received - before if received >= before else received)
            self._bytes_seen[transport] = received


def _bytes_received(side: str, stats: Iterable[Any]) -> Iterable[tuple[str, int]]:
    for item in stats:
        if item.WhichOneof("stats") == "transport":
            yield f"{side}/{item.transport.rtc.id}", item.transport.transport.bytes_received


def _whole_microseconds(duration: timedelta) -> Decimal:
    return seconds(duration // timedelta(microseconds=1))
