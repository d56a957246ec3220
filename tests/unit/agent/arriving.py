"""What a connection says of itself, as the SDK has it."""

from __future__ import annotations

from livekit import rtc
from livekit.rtc._proto import stats_pb2 as proto

STARTED_AT_MS = 1_795_366_623_000.0


def pair(at: float, *, packet_at: float, packets: int, answers: int) -> proto.RtcStats:
    """A path that was looked at, and took its newest packet, so many seconds after the start."""
    stats = proto.RtcStats()
    path = stats.candidate_pair
    path.rtc.timestamp = round((STARTED_AT_MS + at * 1000) * 1000)
    path.candidate_pair.packets_received = packets
    path.candidate_pair.responses_received = answers
    if packets:
        path.candidate_pair.last_packet_received_timestamp = STARTED_AT_MS + packet_at * 1000
    return stats


def report(*pairs: proto.RtcStats) -> rtc.RtcStats:
    """What the SDK says, which has more in it than paths."""
    other = proto.RtcStats()
    other.transport.transport.packets_received = 1
    return rtc.RtcStats(publisher_stats=[other, *pairs], subscriber_stats=[])
