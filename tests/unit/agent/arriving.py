"""What a connection says of itself, as the SDK has it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from livekit import rtc
from livekit.rtc._proto import stats_pb2 as proto

STARTED_AT_MS = 1_795_366_623_000.0


def pair(
    at: float, *, packet_at: float | None, answers: int, nominated: bool = True
) -> proto.RtcStats:
    """A path that was looked at, and took its newest packet, so many seconds after the start."""
    stats = proto.RtcStats()
    path = stats.candidate_pair
    path.rtc.timestamp = round((STARTED_AT_MS + at * 1000) * 1000)
    path.candidate_pair.nominated = nominated
    path.candidate_pair.responses_received = answers
    if packet_at is not None:
        path.candidate_pair.packets_received = 1
        path.candidate_pair.last_packet_received_timestamp = STARTED_AT_MS + packet_at * 1000
    return stats


def report(*publisher: proto.RtcStats, subscriber: Iterable[proto.RtcStats] = ()) -> rtc.RtcStats:
    """What the SDK says, which has more in it than paths."""
    other = proto.RtcStats()
    other.transport.transport.packets_received = 1
    return rtc.RtcStats(publisher_stats=[other, *publisher], subscriber_stats=list(subscriber))


class TalkingRoom(rtc.EventEmitter[str]):
    """Says of its connection what it is told to say, as often as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.says: asyncio.Queue[rtc.RtcStats | Exception] = asyncio.Queue()
        self.is_asked = asyncio.Event()

    async def get_rtc_stats(self) -> rtc.RtcStats:
        self.is_asked.set()
        said = await self.says.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def say(self, said: rtc.RtcStats | Exception) -> None:
        """Answer the next look; returns once that is seen, and the next one has begun."""
        await asyncio.wait_for(self.is_asked.wait(), 10)
        self.is_asked.clear()
        self.says.put_nowait(said)
        await asyncio.wait_for(self.is_asked.wait(), 10)
