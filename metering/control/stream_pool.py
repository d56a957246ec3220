"""Who may open an STT stream, and when: the rules, without a clock or a store.

All jobs that share a provider's limits share one pool of leases. A job says what it holds and what
it waits for, and is answered what it may open; it says so again and again, so that a job which is
killed is forgotten. Everything it says is whole: saying it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .stream_limits import StreamLimits

LEASE_SECONDS = 20.0
"""A job that has said nothing for so long has been killed."""
POLL_SECONDS = 0.5
"""How soon to ask again for what another job may give back at any moment."""
HEARTBEAT_SECONDS = 5.0
"""How soon to say again what one holds, and that one waits."""
_A_MOMENT = 0.001
"""Stores keep milliseconds."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A stream that is waited for, open, or was; times are seconds on the pool's clock."""

    lease_id: str
    holder: str
    asked_at: float
    opened_at: float | None
    released_at: float | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """What a job says of one of its streams; how long ago, in seconds."""

    lease_id: str
    asked: float
    opened: float | None = None
    released: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job may open, first come first, and how the pool stands.

    `openings` are how many seconds ago the streams that still count were opened, `waiting` is how
    many are waited for, of which `wanted` would be had at once if so many open ones were closed.
    `ask_again` is in how many seconds a job that waits should.
    """

    granted: tuple[str, ...] = ()
    openings: tuple[float, ...] = ()
    waiting: int = 0
    wanted: int = 0
    ask_again: float = HEARTBEAT_SECONDS


def exchange(
    leases: dict[str, Lease], limits: StreamLimits, holder: str, held: Sequence[Held], now: float
) -> Answer:
    """Take in what a job says, in place, and answer it.

    Whoever has waited longest comes first; `held` is in the order of asking. A place that is free
    for another job is kept for it until it asks again or is found to be dead: its stream is counted
    from when it can be opened.
    """
    for one in held:
        leases[one.lease_id] = _as_said(leases.get(one.lease_id), holder, one, now)
    for lease in list(leases.values()):
        if not _counts(lease, limits, now):
            del leases[lease.lease_id]

    openings = sorted(_openings(leases, limits, now))
    queue = sorted(
        (lease for lease in leases.values() if lease.opened_at is None),
        key=lambda lease: (lease.asked_at, lease.lease_id),
    )
    room_to_open = _room(limits.new_streams, len(openings))
    room_at_once = _room(limits.concurrent, sum(_is_open(one, now) for one in leases.values()))
    places = min(room_to_open, room_at_once, len(queue))

    # By its own order: how long a message took is in `asked_at`, and can turn two of one job round.
    waits = {lease.lease_id for lease in queue if lease.holder == holder}
    own_places = sum(lease.holder == holder for lease in queue[:places])
    granted = tuple(one.lease_id for one in held if one.lease_id in waits)[:own_places]
    for lease_id in granted:
        leases[lease_id] = replace(leases[lease_id], opened_at=now)
    behind = [at for at, lease in enumerate(queue) if at >= places and lease.holder == holder]
    openings += [now] * len(granted)
    return Answer(
        granted=granted,
        openings=tuple(now - opened_at for opened_at in openings),
        waiting=len(queue) - len(granted),
        wanted=min(room_to_open, len(queue)) - places,
        ask_again=_ask_again(behind, openings, room_to_open, limits, now),
    )


def _as_said(known: Lease | None, holder: str, said: Held, now: float) -> Lease:
    opened_at = None if said.opened is None else now - said.opened
    if known and known.opened_at is not None and opened_at is not None:
        opened_at = known.opened_at
    return Lease(
        lease_id=said.lease_id,
        holder=holder,
        asked_at=known.asked_at if known else now - said.asked,
        # Granted once and not taken up, for the answer was lost: it waits again.
        opened_at=opened_at,
        released_at=None if said.released is None else now - said.released,
        expires_at=now + LEASE_SECONDS,
    )


def _is_alive(lease: Lease, now: float) -> bool:
    return lease.released_at is None and lease.expires_at > now


def _is_open(lease: Lease, now: float) -> bool:
    return lease.opened_at is not None and _is_alive(lease, now)


def _is_recent(opened_at: float, limits: StreamLimits, now: float) -> bool:
    return limits.new_streams is not None and opened_at > now - limits.counted_seconds


def _counts(lease: Lease, limits: StreamLimits, now: float) -> bool:
    if _is_alive(lease, now):
        return True
    return lease.opened_at is not None and _is_recent(lease.opened_at, limits, now)


def _openings(leases: dict[str, Lease], limits: StreamLimits, now: float) -> list[float]:
    stamps = (lease.opened_at for lease in leases.values() if lease.opened_at is not None)
    return [opened_at for opened_at in stamps if _is_recent(opened_at, limits, now)]


def _room(limit: int | None, used: int) -> int:
    return 1 << 30 if limit is None else max(0, limit - used)


def _ask_again(
    behind: list[int],
    openings: list[float],
    room_to_open: int,
    limits: StreamLimits,
    now: float,
) -> float:
    """When the first of a job's waiting streams may come to its place."""
    if not behind:
        return HEARTBEAT_SECONDS
    if room_to_open > behind[0]:
        return POLL_SECONDS
    # So many of the oldest openings must have left the window for it to have its turn.
    leaving = openings[min(behind[0] - room_to_open, len(openings) - 1)]
    return min(HEARTBEAT_SECONDS, max(0.0, leaving + limits.counted_seconds - now) + _A_MOMENT)
