"""The end of a job: last words, transcript, notes, and another transcriber where one is missed.

It happens while the room is still there; LiveKit gives all of it five minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from livekit.agents import JobContext

from metering import JobMeter, WebhookEvent

from .comeback import PATIENCE_SECONDS, RETURNING_SECONDS, come_back
from .session import TranscriptionSession
from .settings import AgentSettings

logger = logging.getLogger("tallyroom.agent")

_REASON_SECONDS = 1.0
"""The server ends a job a moment before it says why its agent is no more in the room."""
_LISTED_SECONDS = 5.0
"""The server's API knows of who has come a moment later than the room does."""


async def end(ctx: JobContext, session: TranscriptionSession, meter: JobMeter | None) -> None:
    """Hear the last words out, write the transcript, and have notes and the like made.

    Beside it another transcriber is asked for where the meeting goes on: whoever speaks until that
    has come is heard by nobody.
    """
    concluded = asyncio.Event()
    another = asyncio.create_task(_have_another_come(ctx, session, concluded))
    try:
        await session.finish()
        if meter:
            await meter.announce(WebhookEvent.ENDED)
        await session.conclude()
    finally:
        concluded.set()
        await another


async def _have_another_come(
    ctx: JobContext, session: TranscriptionSession, concluded: asyncio.Event
) -> None:
    elapsed = session.elapsed
    if session.has_left_an_empty_room:
        await _for_company(ctx, session, elapsed, concluded)
        return
    await session.until_disconnected(_REASON_SECONDS)
    if session.is_cut_off:
        await _come_back(ctx, elapsed, wanted=lambda: session.is_cut_off)


async def _for_company(
    ctx: JobContext, session: TranscriptionSession, elapsed: float, concluded: asyncio.Event
) -> None:
    """For whoever comes as long as the job is in the room, where it looks as if it listened.

    It asks at once, too: a room that looks empty need not be what the server has.
    """
    company = session.has_company_again
    returning = 0.0
    while not await _come_back(ctx, elapsed, patience=_LISTED_SECONDS, returning=returning):
        if concluded.is_set():
            return
        waiting = [asyncio.create_task(event.wait()) for event in (company, concluded)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        returning = _LISTED_SECONDS if company.is_set() else 0.0
        company.clear()


async def _come_back(
    ctx: JobContext,
    elapsed: float,
    *,
    wanted: Callable[[], bool] = lambda: True,
    patience: float = PATIENCE_SECONDS,
    returning: float = RETURNING_SECONDS,
) -> bool:
    """Whatever goes wrong with it must cost neither notes nor record."""
    try:
        return await come_back(
            ctx,
            AgentSettings.load(),
            elapsed,
            wanted=wanted,
            patience=patience,
            returning=returning,
        )
    except Exception as error:
        logger.error("no other transcriber was asked for: %s", type(error).__name__)
        return False
