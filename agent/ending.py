"""The end of a job: last words, transcript, notes, and another transcriber where one is missed.

It happens while the room is still there; LiveKit gives all of it five minutes.
"""

from __future__ import annotations

import asyncio
import logging

from livekit.agents import JobContext

from metering import JobMeter, WebhookEvent

from .comeback import come_back
from .session import TranscriptionSession
from .settings import AgentSettings

logger = logging.getLogger("tallyroom.agent")

_RETURNING_SECONDS = 5.0
"""The server's API knows of who has come a moment later than the room does."""


async def end(ctx: JobContext, session: TranscriptionSession, meter: JobMeter | None) -> None:
    """Hear the last words out, write the transcript, and have notes and the like made.

    A job that has lost the room asks for another at once: whoever speaks until that has come is
    heard by nobody. So does one that has left an empty room into which somebody comes meanwhile.
    """
    elapsed = session.elapsed
    coming = asyncio.create_task(_come_back(ctx, elapsed)) if session.is_cut_off else None
    try:
        await session.finish()
        if meter:
            await meter.announce(WebhookEvent.ENDED)
        concluding = asyncio.create_task(session.conclude())
        if session.has_left_an_empty_room:
            coming = asyncio.create_task(_come_back_to_company(ctx, session, elapsed, concluding))
        await concluding
    finally:
        if coming:
            await coming


async def _come_back(ctx: JobContext, elapsed: float, **limits: float) -> None:
    """Whatever goes wrong with it must cost neither notes nor record."""
    try:
        await come_back(ctx, AgentSettings.load(), elapsed, **limits)
    except Exception as error:
        logger.error("no other transcriber was asked for: %s", type(error).__name__)


async def _come_back_to_company(
    ctx: JobContext,
    session: TranscriptionSession,
    elapsed: float,
    concluding: asyncio.Task[None],
) -> None:
    """As long as the job is in the room it looks as if it listened."""
    company = asyncio.create_task(session.has_company_again.wait())
    await asyncio.wait({company, concluding}, return_when=asyncio.FIRST_COMPLETED)
    company.cancel()
    returning = _RETURNING_SECONDS if session.has_company_again.is_set() else 0.0
    await _come_back(ctx, elapsed, patience=_RETURNING_SECONDS, returning=returning)
