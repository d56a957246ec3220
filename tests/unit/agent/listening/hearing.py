"""A listener at work on a scripted STT, for tests of what becomes of what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from agent.listening.listener import Listener
from agent.listening.recognisers import Recogniser, Recognisers, StreamTraits
from agent.listening.silence import SilencePolicy
from agent.listening.words import Interim, Speaker
from agent.segments import Segment
from tests.unit.agent.scripted import PATIENCE_SECONDS, ScriptedSTT, numbered

USUAL = StreamTraits()
SOON = StreamTraits(patience=0.05)
"""Of a provider that is taken to hang after so short a time that a test can wait for it."""


class Hearing:
    """A listener at work, with what it has handed on.

    Its own recogniser stands in for those `before` it, and those `after` stand in for it.
    """

    def __init__(
        self,
        *,
        tail_seconds: float = 0.5,
        traits: StreamTraits = USUAL,
        before: Sequence[Recogniser] = (),
        after: Sequence[Recogniser] = (),
        **options: Any,
    ) -> None:
        self.engine = ScriptedSTT()
        silence = SilencePolicy(closes=False, tail_seconds=tail_seconds)
        self.recogniser = Recogniser(self.engine, silence=silence, traits=traits)
        self.time = 0.0
        self.name = "Alice"
        self.segments: asyncio.Queue[Segment] = asyncio.Queue()
        self.interims: asyncio.Queue[Interim] = asyncio.Queue()
        values: dict[str, Any] = {
            "now": lambda: self.time,
            "on_segment": self.segments.put,
            "on_interim": self.interims.put,
            "first_pause_seconds": 0.001,
        }
        self.listener = Listener(
            Speaker("alice", lambda: self.name, "TR_alice"),
            Recognisers([*before, self.recogniser, *after], clock=lambda: self.time),
            **values | options,
        )
        self.task = asyncio.create_task(self.listener.recognise())

    def speak(self, *numbers: int) -> None:
        """A second of audio for each number."""
        for frame in numbered(*numbers):
            self.time += 1.0
            self.listener.push(frame)

    async def segment(self) -> Segment:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.segments.get()

    async def interim(self) -> Interim:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.interims.get()

    async def over(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.task


Hear = Callable[..., Hearing]
