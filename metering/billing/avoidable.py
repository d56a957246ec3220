"""A job's usage as it would have been without what could have been avoided.

Each kind of waste is one function from usage to usage. What it saves is for the rating to say: the
changed usage goes through the same month as the measured one. No stamp is moved, so that an
instance stays in its month and keeps its price; only quantities get smaller, or instances go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from ..clock import seconds
from ..pricing.exact import EXACT, ZERO
from ..pricing.hosting import ROOM_METERS
from ..usage import Certainty, Usage
from .concurrency import Interval

CONNECTION_METERS = frozenset({"agent_session", "participant_connection", "sip_connection"})
"""Meters whose instances are one's time in a room, each rounded up on its own."""

_NOBODY = frozenset({"agent", "egress"})
"""Kinds of participants that nobody needs to be there for."""

_SAME_JOIN = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)


class Avoided(NamedTuple):
    """A job's usage without some waste: how many instances change, and by how many seconds."""

    usages: list[Usage]
    instances: int
    seconds: Decimal


def without_silence(usages: Iterable[Usage]) -> Avoided | None:
    """Every STT connection only as long as the audio that was sent through it.

    Where nobody knows how much audio that was, it stays as it is.
    """
    usages = list(usages)
    audio = {
        usage.instance_id: usage.quantity
        for usage in usages
        if usage.meter == "stt_audio" and not usage.unreported
    }

    def spoken(usage: Usage) -> list[Usage]:
        sent = audio.get(usage.instance_id)
        if usage.meter != "stt_connection" or sent is None or sent >= usage.quantity:
            return [usage]
        return [_shortened(usage, sent)]

    return _changed(usages, spoken)


def presence_of(connections: Iterable[tuple[str, Interval]]) -> list[Interval] | None:
    """When anybody that agents are there for was in a room, from the connections seen in it.

    None where no connection was seen at all, not even the agent's own: then nobody looked.

    Args:
        connections: the participant's kind, and when it was connected.
    """
    seen = list(connections)
    return [span for kind, span in seen if kind not in _NOBODY] if seen else None


def is_agents_time(usage: Usage) -> bool:
    """Whether this is an agent's time in a room: its session, or its own connection."""
    return usage.meter == "agent_session" or (
        usage.meter == "participant_connection" and usage.attributes.get("kind") == "agent"
    )


def without_time_alone(
    usages: Iterable[Usage], presence: Iterable[Interval], at_least: timedelta
) -> Avoided | None:
    """Agents' time without the stretches in which nobody else was in the room.

    An agent that goes and comes back has two sessions, each rounded up: so only stretches that are
    long enough to make up for that are taken out, which a billing increment's length is.

    Args:
        usages: the job's.
        presence: when anybody but agents was in the room, as far as the job has seen.
        at_least: shorter stretches stay.
    """
    there = sorted(presence)

    def attended(usage: Usage) -> list[Usage]:
        if not is_agents_time(usage):
            return [usage]
        return _outside(usage, gaps((usage.started_at, usage.ended_at), there, at_least))

    return _changed(list(usages), attended)


def gaps(whole: Interval, taken: Sequence[Interval], at_least: timedelta) -> list[Interval]:
    """The parts of an interval that none of the others (sorted) covers, if long enough."""
    found = []
    at, end = whole
    for begin, until in (*taken, (end, end)):
        begin = min(begin, end)
        if begin - at >= at_least and begin > at:
            found.append((at, begin))
        at = max(at, until)
    return found


def ended_before_the_next(
    usages: Iterable[Usage], increment_of: Callable[[Usage], Decimal | None], within: Decimal
) -> Avoided | None:
    """Time in rooms that ends seconds into a started increment, as if it had ended before it.

    One that was no longer than those seconds stays: it cannot have ended before it began.

    Args:
        usages: the job's.
        increment_of: what an instance is rounded up to, in seconds.
        within: how many seconds into it are too few to pay it for; fewer than these.
    """

    def ended(usage: Usage) -> list[Usage]:
        if usage.meter not in CONNECTION_METERS:
            return [usage]
        increment = increment_of(usage)
        if increment is None or usage.quantity < increment or increment <= within:
            return [usage]
        past = EXACT.remainder(usage.quantity, increment)
        if not 0 < past < within:
            return [usage]
        return [_shortened(usage, EXACT.subtract(usage.quantity, past))]

    return _changed(list(usages), ended)


def without_duplicate(usages: Iterable[Usage], spans: Iterable[Interval]) -> Avoided | None:
    """A job without what it did while another one of the same agent was in the room already.

    Its sessions and its own connections stop for that time, and what it bought from others wholly
    within it goes. Other people's connections stay: they were there anyway.
    """
    usages, spans = list(usages), list(spans)
    joins = [usage.started_at for usage in usages if usage.meter == "agent_session"]

    def alone(usage: Usage) -> list[Usage]:
        if usage.meter in ROOM_METERS:
            own = any(abs(usage.started_at - join) <= _SAME_JOIN for join in joins)
            return _outside(usage, spans) if is_agents_time(usage) and own else [usage]
        within = any(start <= usage.started_at and usage.ended_at <= end for start, end in spans)
        return [] if within else [usage]

    return _changed(usages, alone)


class DuplicateSweep:
    """Finds sessions of one agent in a room where it already is, in another job.

    Args:
        at_least: the same for a shorter time is a handover.
    """

    def __init__(self, at_least: timedelta) -> None:
        self.spans: dict[str, list[Interval]] = {}
        self._at_least = at_least
        self._where = ("", "")
        self._job = ""
        self._until: datetime | None = None

    def see(self, where: tuple[str, str], job_id: str, start: datetime, end: datetime) -> None:
        """The next session: all of a room and agent (`where`) together, in the order they began."""
        if where != self._where or self._until is None or start >= self._until:
            self._where, self._job, self._until = where, job_id, end
            return
        until = self._until
        if job_id != self._job and min(end, until) - start >= self._at_least:
            self.spans.setdefault(job_id, []).append((start, min(end, until)))
        if end > until:
            self._job, self._until = job_id, end


def _changed(usages: list[Usage], change: Callable[[Usage], list[Usage]]) -> Avoided | None:
    after: list[Usage] = []
    instances = set()
    saved = ZERO
    for usage in usages:
        # Nobody knows how much of an estimate would have been left.
        instead = [usage] if usage.certainty is Certainty.ESTIMATED else change(usage)
        after += instead
        if len(instead) == 1 and instead[0] is usage:
            continue
        instances.add(usage.instance_id)
        if usage.unit == "second":
            left = ZERO
            for piece in instead:
                left = EXACT.add(left, piece.quantity)
            saved = EXACT.add(saved, EXACT.subtract(usage.quantity, left))
    return Avoided(after, len(instances), saved) if instances else None


def _outside(usage: Usage, spans: Iterable[Interval]) -> list[Usage]:
    """What is left of an instance of time outside some intervals (sorted), each part by itself."""
    kept: list[timedelta] = []
    at, cut = usage.started_at, False
    for start, end in spans:
        if end <= at or start >= usage.ended_at:
            continue
        cut = True
        kept.append(max(start, at) - at)
        at = end
    if not cut:
        return [usage]
    kept.append(max(usage.ended_at - at, timedelta(0)))
    left = usage.quantity
    pieces: list[Usage] = []
    for length in kept:
        quantity = min(seconds(length // _MICROSECOND), left)
        left = EXACT.subtract(left, quantity)
        if quantity:
            name = f"{usage.instance_id}#{len(pieces)}" if pieces else usage.instance_id
            pieces.append(_shortened(usage, quantity, name))
    return pieces


def _shortened(usage: Usage, quantity: Decimal, instance_id: str | None = None) -> Usage:
    lower = usage.quantity_lower
    return replace(
        usage,
        instance_id=instance_id or usage.instance_id,
        quantity=quantity,
        quantity_lower=None if lower is None else min(lower, quantity),
    )
