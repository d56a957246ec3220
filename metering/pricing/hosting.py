"""Who runs server and agent, and so which provider the room's meters are bought from.

A record made on one's own server can be rated as if it had run on LiveKit Cloud, by moving its
room meters from one provider to the other; everything else stays where it was bought.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..errors import RateError
from ..usage import Usage

SELF_HOSTED = "self-hosted"
LIVEKIT_CLOUD = "livekit-cloud"

ROOM_PROVIDERS = {"self": SELF_HOSTED, "cloud": LIVEKIT_CLOUD, "cloud-agents": LIVEKIT_CLOUD}
"""The provider of the room's meters, by hosting."""

ROOM_METERS = frozenset(
    {
        "agent_session",
        "participant_connection",
        "downstream_data",
        "sip_connection",
        "ingress",
        "egress_transcode",
        "egress_track",
    }
)
"""Meters that whoever runs the LiveKit server bills."""


def room_provider(hosting: str) -> str:
    """The provider that the room's meters carry under this hosting.

    Raises:
        RateError: no such hosting.
    """
    try:
        return ROOM_PROVIDERS[hosting]
    except KeyError:
        known = ", ".join(ROOM_PROVIDERS)
        raise RateError(f"unknown hosting {hosting!r}; use one of {known}") from None


def as_hosted(usages: Iterable[Usage], hosting: str) -> list[Usage]:
    """The same usage as if it had been measured under `hosting`.

    Raises:
        RateError: no such hosting.
    """
    provider = room_provider(hosting)
    return [
        replace(usage, provider=provider)
        if usage.meter in ROOM_METERS
        and usage.provider in (SELF_HOSTED, LIVEKIT_CLOUD)
        and usage.provider != provider
        else usage
        for usage in usages
    ]
