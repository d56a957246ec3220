"""The meeting that the demo holds: three people, one late, one leaving early and coming back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from livekit import rtc

from .clips import SAMPLE_RATE, Clip, load_clip
from .server import LocalServer, RemoteServer
from .speaker import Speaker

PAUSE_SECONDS = 0.8
LAST_WORDS_SECONDS = 15.0

NAMES = {"alice": "Alice", "bob": "Bob", "carol": "Carol"}


class Meeting:
    """Three speakers and what they do; `speaking` and `present` say how it stands.

    Alice is there from the first to the last, so the captions are read as she gets them.
    """

    def __init__(self, server: LocalServer | RemoteServer, room: str) -> None:
        self.room = room
        self.people = {
            identity: Speaker(server, room, identity, name=name) for identity, name in NAMES.items()
        }
        self._there: set[str] = set()
        self._talking: set[str] = set()
        self._heard: frozenset[str] = frozenset()

    @property
    def present(self) -> frozenset[str]:
        """Who is in the room now."""
        return frozenset(self._there)

    @property
    def speaking(self) -> frozenset[str]:
        """Who says something now; the server alone misses quiet voices."""
        return self._heard | self._talking

    @property
    def reader(self) -> Speaker:
        """Whose captions are shown."""
        return self.people["alice"]

    async def hold(self, invite: Callable[[], Awaitable[object]]) -> None:
        """Hold it from the first join to the last leave; `invite` brings the transcriber."""
        alice, bob, carol = self.people.values()
        async with contextlib.AsyncExitStack() as room:
            await room.enter_async_context(self._in_room(alice))
            alice.room.on("active_speakers_changed", self._on_speaking)
            await invite()
            async with self._in_room(carol):
                await self._say(alice, load_clip("austen_0870"))
                bob_is_late = room.enter_async_context(self._in_room(bob))
                await asyncio.gather(bob_is_late, self._say(carol, load_clip("austen_0920")))
            await self._say(bob, load_clip("austen_0890"))
            async with self._in_room(carol):
                await asyncio.gather(
                    self._say(alice, opening(load_clip("two_cities"), 11.0)),
                    self._say(carol, load_clip("austen_0920"), after=7.0),
                )
                await self._last_words()

    @contextlib.asynccontextmanager
    async def _in_room(self, person: Speaker) -> AsyncIterator[None]:
        await person.join()
        self._there.add(person.identity)
        try:
            yield
        finally:
            self._there.discard(person.identity)
            await person.leave()

    async def _say(self, person: Speaker, clip: Clip, *, after: float = 0.0) -> None:
        if after:
            await person.silence(after)
        self._talking.add(person.identity)
        try:
            await person.say(clip)
        finally:
            self._talking.discard(person.identity)
        await person.silence(PAUSE_SECONDS)

    async def _last_words(self) -> None:
        """Stay until the last sentence is captioned, as people do who read along."""
        said_by_carol = 2
        with contextlib.suppress(TimeoutError):
            await self.reader.wait_for_final(
                said_by_carol,
                matching=lambda caption: caption.sender_identity == "carol",
                timeout=LAST_WORDS_SECONDS,
            )

    def _on_speaking(self, speakers: list[rtc.Participant]) -> None:
        self._heard = frozenset(speaker.identity for speaker in speakers)


def opening(clip: Clip, seconds: float) -> Clip:
    """The beginning of a recording."""
    return replace(clip, samples=clip.samples[: round(seconds * SAMPLE_RATE)])
