"""Coming back into a meeting that the server has ended for us.

Whoever loses the network for longer than the server waits is taken for gone, and when an agent has
left, its job is terminated, though its connection may be mended by then. The meeting goes on, and
nobody else will ask for a transcriber: so the job's last act is to ask for another.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from livekit import api
from livekit.agents import JobContext

from .dispatch import dispatch
from .errors import DispatchError
from .people import is_heard_by_server
from .request import TranscriptionRequest
from .server_api import server_api
from .settings import AgentSettings

logger = logging.getLogger("tallyroom.agent")

TRIES = 5
PAUSE_SECONDS = 2.0
COMING_SECONDS = 30.0
"""Our own worker may be the only one, and still be on its way back to the server, too."""
LOOK_SECONDS = 10.0
LOOKS = 3
_UNREACHABLE = (TimeoutError, aiohttp.ClientError, api.TwirpError)


async def until_given_up(room_name: str, settings: AgentSettings) -> None:
    """Returns once a reconnect is given up: people are there, the server has said so for a while,
    and whoever waits for this has not been back.

    A full reconnect of the SDK can stand still for good, and nobody is told (seen with livekit
    1.1.21: a new participant id, nobody in the room, no further attempt).
    """
    looks = 0
    while looks < LOOKS:
        await asyncio.sleep(LOOK_SECONDS)
        looks = looks + 1 if await _are_people_seen(room_name, settings) else 0


async def _are_people_seen(room_name: str, settings: AgentSettings) -> bool:
    try:
        return await _people_are_there(room_name, settings)
    except _UNREACHABLE:
        return False


async def come_back(ctx: JobContext, settings: AgentSettings, elapsed: float) -> bool:
    """Ask for a transcriber as this one was asked for, if people are there; whether one has come.

    The new job has an id of its own, with a record and a transcript of its own, and of the time
    that this one had what is left after the seconds `elapsed`.
    """
    request = TranscriptionRequest.parse(ctx.job.metadata)
    if request.leave_after_minutes:
        left = request.leave_after_minutes - elapsed / 60
        if left <= 0:
            return False
        request = request.model_copy(update={"leave_after_minutes": left})
    asked = settings.model_copy(update={"agent_name": ctx.job.agent_name})
    for _ in range(TRIES):
        try:
            if not await _people_are_there(ctx.job.room.name, settings):
                return False
            # We may be in the room ourselves, with a connection that is mended too late.
            await dispatch(asked, ctx.job.room.name, request, force=True, timeout=COMING_SECONDS)
        except (DispatchError, *_UNREACHABLE):
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            logger.warning("cut off from the meeting: another transcriber has come")
            return True
    logger.error("cut off from the meeting, and no other transcriber has come")
    return False


async def _people_are_there(room_name: str, settings: AgentSettings) -> bool:
    async with asyncio.timeout(PAUSE_SECONDS), server_api(settings) as livekit:
        listed = await livekit.room.list_participants(api.ListParticipantsRequest(room=room_name))
    return any(is_heard_by_server(one.kind) for one in listed.participants)
