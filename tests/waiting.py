"""Waiting for what another task or process brings about without an event of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from livekit.agents import stt

T = TypeVar("T")


async def until(look: Callable[[], T | None], *, timeout: float = 30.0) -> T:
    """What `look` gives as soon as that is something and not False.

    Raises:
        TimeoutError: it was not within `timeout` seconds.
    """
    async with asyncio.timeout(timeout):
        while (seen := look()) is None or seen is False:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return seen


async def hear(stream: stt.RecognizeStream) -> list[str]:
    """What a stream has understood, once it has ended."""
    return [
        event.alternatives[0].text
        async for event in stream
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
    ]
