"""The people of a meeting, in a process of their own, so that their CPU is not the agents'.

They are plain LiveKit clients. What they saw and said is printed as one JSON object; times are on
the machine's monotonic clock, in seconds.

    python -m benchmarks.people meeting ROOM SECONDS
    python -m benchmarks.people dispatch ROOM
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from livekit import api, rtc

from demo.clips import SAMPLE_RATE, Samples
from demo.server import LocalServer, RemoteServer
from demo.speaker import Caption, Speaker
from demo.tied import tied_to_parent

from .mixed_meeting import PEOPLE, Turn, microphone, turns

ROOT = Path(__file__).resolve().parent.parent
AGENT_NAME = "transcriber"
LEAD_SECONDS = 2.0
"""The microphones are open, and nobody speaks, before anybody is asked for."""
AFTER_SECONDS = 3.0
"""From the last word to leaving."""
_HEARD_SECONDS = 3.0
"""How long somebody speaks to an agent that was dispatched only to see when it comes."""
_PATIENCE_SECONDS = 10.0
_TRIES = 4


@dataclass(frozen=True)
class SaidTurn:
    """A turn as it was spoken: when its samples left the microphone, and its words."""

    speaker: str
    said: str
    started_at: float
    ended_at: float


@dataclass(frozen=True)
class Seen:
    """What a meeting's people saw.

    `asked_at` is when an agent was asked for, `seen_at` when it was in the room; `captions` those
    of everybody's, each as it came to somebody else than who is captioned.
    """

    asked_at: float
    seen_at: float
    left_at: float
    turns: tuple[SaidTurn, ...]
    captions: tuple[Caption, ...]

    @classmethod
    def parse(cls, printed: bytes) -> Seen:
        """What the process has printed."""
        found = json.loads(printed)
        return cls(
            found["asked_at"],
            found["seen_at"],
            found["left_at"],
            tuple(SaidTurn(**turn) for turn in found["turns"]),
            tuple(Caption(**caption) for caption in found["captions"]),
        )


async def hold(server: LocalServer, room: str, seconds: float | None) -> Seen:
    """Hold a meeting of so many seconds, or one only to see an agent come, in another process."""
    what = ["dispatch", room] if seconds is None else ["meeting", room, str(seconds)]
    process = await asyncio.create_subprocess_exec(
        *tied_to_parent(sys.executable, "-m", "benchmarks.people", *what),
        cwd=ROOT,
        env={**os.environ, **server.env()},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the people of {room} ended with {process.returncode}")
    return Seen.parse(printed)


class _Room:
    def __init__(self, name: str, livekit: api.LiveKitAPI) -> None:
        self._name = name
        self._livekit = livekit
        self._came = asyncio.Event()
        self.asked_at = 0.0
        self.seen_at = 0.0

    async def ask_for_an_agent(self, watcher: Speaker) -> None:
        """Returns when the watcher sees it; `asked_at` is when it was asked for the last time.

        LiveKit drops a dispatch that no worker takes at once, as happens on a busy machine.
        """
        watcher.room.on("participant_connected", self._on_participant)
        for _ in range(_TRIES):
            self.asked_at = time.monotonic()
            dispatch = await self._livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(agent_name=AGENT_NAME, room=self._name)
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), _PATIENCE_SECONDS)
                return
            print(f"{self._name}: nobody came, asking again", file=sys.stderr)
            await self._livekit.agent_dispatch.delete_dispatch(dispatch.id, self._name)
        raise TimeoutError(f"no agent came into {self._name}")

    def _on_participant(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            self.seen_at = self.seen_at or time.monotonic()
            self._came.set()

    async def delete(self) -> None:
        await self._livekit.room.delete_room(api.DeleteRoomRequest(room=self._name))


async def _dispatch(name: str, server: RemoteServer, livekit: api.LiveKitAPI) -> Seen:
    """Somebody speaks all the time, before an agent is asked for and after it is there."""
    room = _Room(name, livekit)
    person = PEOPLE[0]
    turn = Turn(person.identity, 0.0, person.repertoire[0])
    async with Speaker(server, name, turn.speaker, hears=False) as speaker:
        sound = microphone(person, [turn], turn.ends)
        speaking = asyncio.create_task(speaker.microphone.play(sound))
        await asyncio.sleep(LEAD_SECONDS)
        await room.ask_for_an_agent(speaker)
        await asyncio.sleep(_HEARD_SECONDS)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        left_at = time.monotonic()
    await room.delete()
    return Seen(room.asked_at, room.seen_at, left_at, (), ())


async def _meeting(
    name: str, seconds: float, server: RemoteServer, livekit: api.LiveKitAPI
) -> Seen:
    room = _Room(name, livekit)
    spoken = turns(seconds)
    length = spoken[-1].ends + AFTER_SECONDS
    sounds = {person.identity: microphone(person, spoken, length) for person in PEOPLE}
    async with AsyncExitStack() as stack:
        speakers = [
            await stack.enter_async_context(Speaker(server, name, person.identity, hears=False))
            for person in PEOPLE
        ]
        await asyncio.sleep(LEAD_SECONDS)
        await room.ask_for_an_agent(speakers[0])
        said = await asyncio.gather(
            *(_speak(speaker, spoken, sounds[speaker.identity]) for speaker in speakers)
        )
        left_at = time.monotonic()
    await room.delete()
    ordered = sorted((turn for one in said for turn in one), key=lambda turn: turn.started_at)
    first, second = speakers[:2]
    captions = [
        *(caption for caption in first.captions if caption.sender_identity != first.identity),
        *(caption for caption in second.captions if caption.sender_identity == first.identity),
    ]
    return Seen(room.asked_at, room.seen_at, left_at, tuple(ordered), tuple(captions))


async def _speak(speaker: Speaker, spoken: list[Turn], sound: Samples) -> list[SaidTurn]:
    """Play all of a microphone's sound, turn by turn, so that each turn's times are known."""
    own = [turn for turn in spoken if turn.speaker == speaker.identity]
    parts: list[tuple[Turn | None, Samples]] = []
    at = 0
    for turn in own:
        begins, ends = round(turn.begins * SAMPLE_RATE), round(turn.ends * SAMPLE_RATE)
        parts += [(None, sound[at:begins]), (turn, sound[begins:ends])]
        at = ends
    parts.append((None, sound[at:]))
    parts = [(turn, part) for turn, part in parts if len(part)]
    times = await asyncio.gather(*(speaker.microphone.play(part) for _, part in parts))
    return [
        SaidTurn(turn.speaker, turn.said, time.started_at, time.ended_at)
        for (turn, _), time in zip(parts, times, strict=True)
        if turn
    ]


async def _main(what: str, room: str, *seconds: str) -> None:
    server = RemoteServer(os.environ)
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as livekit:
        if what == "meeting":
            seen = await _meeting(room, float(seconds[0]), server, livekit)
        else:
            seen = await _dispatch(room, server, livekit)
    found: dict[str, Any] = asdict(seen)
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
