"""The CPU of asking a real connection for its statistics, which the room meter does every 5 s.

In a room on a real livekit-server, with six people who publish; they are another process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from livekit import rtc

from demo.server import LocalServer, participant_token

from .events import SPEAKERS, Cost

_RATE, _ROOM = 48_000, "bench"
_SETTLED_SECONDS = 3.0


async def measure(calls: int) -> Cost:
    """The median of five pairs: so long with questions, and as long without."""
    async with LocalServer() as server:
        tokens = [participant_token(server, _ROOM, f"p{number}") for number in range(SPEAKERS)]
        command = [sys.executable, "-m", "benchmarks.rtc_stats", server.url, *tokens]
        people = await asyncio.create_subprocess_exec(*command)
        room = rtc.Room()
        everybody = asyncio.Event()
        room.on("track_subscribed", lambda *_: everybody.set() if _all(room) else None)
        try:
            await room.connect(server.url, participant_token(server, _ROOM, "listener"))
            async with asyncio.timeout(60):
                await everybody.wait()
            await asyncio.sleep(_SETTLED_SECONDS)
            added = sorted([await _pair(room, calls) for _ in range(5)])
        finally:
            people.kill()
            await people.wait()
            await room.disconnect()
    return Cost(added[2], None, added[2], calls * 5)


def _all(room: rtc.Room) -> bool:
    return (
        sum(
            publication.track is not None
            for participant in room.remote_participants.values()
            for publication in participant.track_publications.values()
        )
        == SPEAKERS
    )


async def _pair(room: rtc.Room, calls: int) -> float:
    async def span(asks: bool) -> float:
        began = time.process_time()
        for _ in range(calls):
            if asks:
                await room.get_rtc_stats()
            await asyncio.sleep(0.02)
        return time.process_time() - began

    # The listener's own decoding goes on in both; how long both last must be the same.
    clock = time.monotonic()
    with_questions = await span(True)
    lasted = time.monotonic() - clock
    clock = time.monotonic()
    without = await span(False)
    without *= lasted / (time.monotonic() - clock)
    return (with_questions - without) / calls


async def _publish(url: str, tokens: list[str]) -> None:
    silence = rtc.AudioFrame.create(_RATE, 1, _RATE // 100)
    sources = []
    rooms = []
    for token in tokens:
        room, source = rtc.Room(), rtc.AudioSource(_RATE, 1)
        await room.connect(url, token)
        track = rtc.LocalAudioTrack.create_audio_track("voice", source)
        await room.local_participant.publish_track(track)
        rooms.append(room)
        sources.append(source)
    while True:
        await asyncio.gather(*(source.capture_frame(silence) for source in sources))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("tokens", nargs="+")
    asked = parser.parse_args()
    asyncio.run(_publish(asked.url, asked.tokens))
