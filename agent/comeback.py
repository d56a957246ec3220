"""Coming back into a meeting that the server has ended for us.

Whoever loses the network for longer than the server waits is taken for gone, and when an agent has
left, its job is terminated, though its connection may be mended by then. The meeting goes on, and
nobody else will ask for a transcriber: so the job's last act is to ask for another.
"""

from __future__ import annotations

import asyncio
import logging

from livekit import api
from livekit.agents import JobContext

from .errors import DispatchError
from .server_api import server_api
from .settings import AgentSettings

logger = logging.getLogger("tallyroom.agent")

TRIES = 5
PAUSE_SECONDS = 2.0


async def come_back(ctx: JobContext, settings: AgentSettings) -> bool:
    """Ask for a transcriber as this one was asked for, if people are there; whether it was asked.

    The new job has an id of its own, with a record and a transcript of its own.
    """
    for _ in range(TRIES):
        try:
            async with asyncio.timeout(PAUSE_SECONDS), server_api(settings) as livekit:
                return await _ask_again(ctx, livekit)
        except (DispatchError, TimeoutError):
            await asyncio.sleep(PAUSE_SECONDS)
    logger.error("cut off from the meeting, and nobody can be asked to send a transcriber again")
    return False


async def _ask_again(ctx: JobContext, livekit: api.LiveKitAPI) -> bool:
    room_name = ctx.job.room.name
    listed = await livekit.room.list_participants(api.ListParticipantsRequest(room=room_name))
    people = [one for one in listed.participants if one.kind != api.ParticipantInfo.Kind.AGENT]
    if not people:
        return False
    await livekit.agent_dispatch.create_dispatch(
        api.CreateAgentDispatchRequest(
            agent_name=ctx.job.agent_name, room=room_name, metadata=ctx.job.metadata
        )
    )
    logger.warning("cut off from the meeting: another transcriber was asked for")
    return True
