"""How many meetings one worker carries, and whether it tells the server when it has enough.

In each room one person speaks, with short pauses, and another reads the captions. All rooms are
asked for in the same moment. Server, people and provider share the machine with the worker, so that
a machine that the worker has for itself carries more.

    python -m benchmarks.many_rooms                        # 1, 5, 10 and 20 rooms, no limit of load
    python -m benchmarks.many_rooms --load-threshold 0.7   # as shipped: the server is told "enough"
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from livekit import api, rtc

from demo.clips import SAMPLE_RATE
from demo.server import LocalServer, free_port
from demo.speaker import Caption, Speaker
from demo.worker_process import WorkerProcess

from .hearing_provider import API_KEY, Final, marks_in, open_provider
from .people import AGENT_NAME
from .process_tree import TreeWatch, watch_tree
from .report import percentile, print_machine, print_table

CLIP = "austen_0890"
PAUSE_SECONDS = 1.0
ASKED_AGAIN_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
_LOAD_EVERY_SECONDS = 0.5
_SETTLED_SECONDS = 3.0
_GONE_SECONDS = 90.0


@dataclass
class Held:
    """One room: how often an agent was asked for, and how long it took, None if it never came.

    `captions` are those that the other person saw.
    """

    asked: int = 0
    waited: float | None = None
    captions: list[Caption] = field(default_factory=list)


@dataclass(frozen=True)
class Carried:
    """What one worker did with so many rooms; times in seconds, `loads` as it told them."""

    rooms: Sequence[Held]
    cpu_cores: float
    memory_bytes: int
    loads: Sequence[float]
    finals: Sequence[Final]

    def row(self) -> list[str]:
        """As the table has it."""
        came = [one.waited for one in self.rooms if one.waited is not None]
        shown = {
            mark: caption
            for room in self.rooms
            for caption in room.captions
            if caption.final
            for mark in marks_in(caption.text)
        }
        late = [shown[one.mark].received_at - one.at for one in self.finals if one.mark in shown]
        return [
            str(len(self.rooms)),
            str(len(came)),
            str(sum(one.asked > 1 for one in self.rooms)),
            f"{statistics.median(came):.2f} s",
            f"{max(came):.2f} s",
            f"{self.cpu_cores:.2f}",
            f"{self.cpu_cores / len(came):.3f}",
            f"{self.memory_bytes / 1e6 / len(came):.0f} MB",
            f"{max(self.loads):.2f}",
            f"{percentile(late, 50) * 1000:.0f} ms",
            f"{percentile(late, 95) * 1000:.0f} ms",
            f"{len(self.finals) - len(late)} of {len(self.finals)}",
        ]


COLUMNS = (
    "rooms",
    "came",
    "asked again",
    "came after, p50",
    "at most",
    "cores",
    "cores a room",
    "memory a room",
    "load told, at most",
    "final to caption, p50",
    "p95",
    "lost",
)


async def hold(server: LocalServer, livekit: api.LiveKitAPI, name: str, seconds: float) -> Held:
    """One room, from its first person to its last."""
    held = Held()
    listener = Speaker(server, name, "listener", hears=False)
    await listener.join(microphone=False)
    async with Speaker(server, name, "talker", hears=False) as talker:
        await _ask(livekit, listener.room, name, held)
        if held.waited is not None:
            begun = time.monotonic()
            while time.monotonic() - begun < seconds:
                await talker.say(CLIP)
                await talker.microphone.play(np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.int16))
    await listener.leave()
    held.captions = list(listener.captions)
    await livekit.room.delete_room(api.DeleteRoomRequest(room=name))
    return held


async def _ask(livekit: api.LiveKitAPI, room: rtc.Room, name: str, held: Held) -> None:
    came = asyncio.Event()

    @room.on("participant_connected")
    def on_participant(participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            came.set()

    first = time.monotonic()
    while not came.is_set() and time.monotonic() - first < _PATIENCE_SECONDS:
        held.asked += 1
        dispatch = await livekit.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(agent_name=AGENT_NAME, room=name)
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(came.wait(), ASKED_AGAIN_SECONDS)
            held.waited = time.monotonic() - first
            return
        await livekit.agent_dispatch.delete_dispatch(dispatch.id, name)


@contextlib.asynccontextmanager
async def loads_told(port: int) -> AsyncIterator[list[float]]:
    """What the worker tells the server of its load, for as long as the block."""
    told = [0.0]

    async def ask() -> None:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}/") as session:
            while True:
                async with session.get("worker") as answer:
                    told.append(float((await answer.json()).get("worker_load", 0.0)))
                await asyncio.sleep(_LOAD_EVERY_SECONDS)

    asking = asyncio.create_task(ask())
    try:
        yield told
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def carry(rooms: int, seconds: float, threshold: str) -> Carried:
    """One worker, asked to come into so many rooms at once."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        port = free_port(socket.SOCK_STREAM)
        async with LocalServer() as server, open_provider(place / "provider") as provider:
            settings = {
                "TALLYROOM_AGENT_NAME": AGENT_NAME,
                "TALLYROOM_STT": "deepgram/nova-3",
                "DEEPGRAM_API_KEY": API_KEY,
                "DEEPGRAM_BASE_URL": provider.base_url,
                "TALLYROOM_HEALTH_PORT": str(port),
                "TALLYROOM_LOAD_THRESHOLD": threshold,
            }
            async with (
                WorkerProcess(server, place / "data", settings) as worker,
                api.LiveKitAPI(server.url, server.api_key, server.api_secret) as livekit,
            ):
                await worker.until_logged(lambda one: one["message"] == "process initialized", 60)
                await asyncio.sleep(_SETTLED_SECONDS)
                async with watch_tree(worker.pid) as watch, loads_told(port) as loads:
                    before, began = watch.size, time.monotonic()
                    held = await asyncio.gather(
                        *(hold(server, livekit, f"room-{one}", seconds) for one in range(rooms))
                    )
                    elapsed = time.monotonic() - began
                    cores = watch.cpu_seconds / elapsed
                    await _until_gone(watch, before)
            connections = await provider.close()
    finals = [final for one in connections for final in one.finals]
    return Carried(held, cores, max(watch.memory), loads, finals)


async def _until_gone(watch: TreeWatch, before: int) -> None:
    async with asyncio.timeout(_GONE_SECONDS):
        await watch.until_size(before)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--seconds", type=float, default=30.0, help="how long people speak")
    parser.add_argument("--load-threshold", default="inf", help="0.7 is what the worker ships with")
    given = parser.parse_args()
    print_machine()
    rows = [
        asyncio.run(carry(rooms, given.seconds, given.load_threshold)).row()
        for rooms in given.rooms
    ]
    print_table(
        f"One worker, {given.seconds:g} s of speech in each room, load threshold "
        f"{given.load_threshold}",
        COLUMNS,
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
