"""What the server itself saw: who joined, who left, and when, read from its log.

The server's API tells when somebody joined, but nothing it offers tells afterwards when they left,
and its webhooks carry whole seconds. Its log has both to the microsecond, at the moments that it
counts: the join it reports as `joined_at`, and the closing of the participant. So the log is what
metered times are held against.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class ServerParticipant:
    """One join of one person or agent, as the server saw it.

    Times are UTC. `left_at` is None while they are there; `reason` is LiveKit's DisconnectReason.
    """

    identity: str
    sid: str
    room: str
    room_sid: str
    joined_at: datetime
    left_at: datetime | None = None
    reason: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long the server had them, in seconds; None while they are there."""
        return None if self.left_at is None else (self.left_at - self.joined_at).total_seconds()


@dataclass(frozen=True)
class ServerRoom:
    """One life of a room: from its first join to its close (UTC); None while it is open."""

    name: str
    sid: str
    started_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True)
class Timeline:
    """Every join and every room of a server's life so far, in the order they began."""

    participants: tuple[ServerParticipant, ...]
    rooms: tuple[ServerRoom, ...]

    def of_room(self, name: str) -> Timeline:
        """The part of it that happened in rooms of this name."""
        return Timeline(
            tuple(one for one in self.participants if one.room == name),
            tuple(one for one in self.rooms if one.name == name),
        )

    def joins_of(self, identity: str) -> list[ServerParticipant]:
        """Every join of this identity, earliest first."""
        return [one for one in self.participants if one.identity == identity]

    def by_sid(self, sid: str) -> ServerParticipant | None:
        """The join with this participant SID."""
        return next((one for one in self.participants if one.sid == sid), None)


def read_timeline(lines: Iterable[str]) -> Timeline:
    """Make a timeline of the lines of a livekit-server's JSON log; other lines are passed over.

    A session that is resumed after a lost connection keeps its SID and is one join, as the server
    counts it.
    """
    participants: dict[str, ServerParticipant] = {}
    rooms: dict[str, ServerRoom] = {}
    for entry in _entries(lines):
        message, at = entry["msg"], datetime.fromtimestamp(entry["ts"], UTC)
        room, room_sid = entry.get("room", ""), entry.get("roomID", "")
        sid = entry.get("participantID", "")
        if message == "starting RTC session":
            joined = ServerParticipant(entry["participant"], sid, room, room_sid, at)
            participants.setdefault(sid, joined)
            rooms.setdefault(room_sid, ServerRoom(room, room_sid, at))
        elif message == "participant closing":
            known = participants.get(sid)
            # A participant can be closed twice; the first is when it left.
            if known is not None and known.left_at is None:
                participants[sid] = replace(known, left_at=at, reason=entry.get("reason"))
        elif message == "closing room" and room_sid in rooms:
            rooms[room_sid] = replace(rooms[room_sid], closed_at=at)
    return Timeline(tuple(participants.values()), tuple(rooms.values()))


def _entries(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a panic's stack, or a line that is still being written
        if isinstance(entry, dict) and isinstance(entry.get("ts"), int | float) and "msg" in entry:
            yield entry
