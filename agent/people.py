"""Who in a room is a person."""

from __future__ import annotations

from livekit import api, rtc

HEARD_KINDS = frozenset(
    {
        rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
        rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
        rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS,
        rtc.ParticipantKind.PARTICIPANT_KIND_CONNECTOR,
    }
)
"""People, however they come in; agents and recorders are not listened to."""

_HEARD_BY_SERVER = frozenset(
    api.ParticipantInfo.Kind.Value(
        rtc.ParticipantKind.Name(kind).removeprefix("PARTICIPANT_KIND_"),
    )
    for kind in HEARD_KINDS
)
"""The SDK and the server's API have numbers of their own for the same kinds."""


def is_heard_by_server(kind: int) -> bool:
    """Whether participants of a kind are people, as the server's API counts kinds."""
    return kind in _HEARD_BY_SERVER
