"""Coming back into a meeting that goes on without us.

Whoever loses the network for longer than the server waits is taken for gone, and when an agent has
left, its job is terminated, though its connection may be mended by then. Somebody may come back in
the moment in which we leave an empty room. The meeting goes on, and nobody else will ask for a
transcriber: so the job's last act is to ask for another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from livekit import api
from livekit.agents import JobContext

from .dispatch import dispatch, is_another
from .errors import DispatchError
from .people import is_heard_by_server
from .request import TranscriptionRequest
from .server_api import server_api
from .settings import AgentSettings

logger = logging.getLogger("tallyroom.agent")

PAUSE_SECONDS = 2.0
ANSWER_SECONDS = 2.0
COMING_SECONDS = 30.0
"""Our own worker may be the only one, and still be on its way back to the server, too."""
PATIENCE_SECONDS = 120.0
"""How long it is tried: a record is settled after it, and whoever stops a worker waits for that."""
RETURNING_SECONDS = 60.0
"""How long people are waited for who have lost the server as we have."""
LOOK_SECONDS = 10.0
LOOKS = 3
_UNREACHABLE = (DispatchError, TimeoutError)


async def until_given_up(room_name: str, settings: AgentSettings) -> None:
    """Returns once the server has said for a while that people are there."""
    looks = 0
    while looks < LOOKS:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            seen = await _participants(room_name, settings)
        except _UNREACHABLE:
            looks = 0
        else:
            looks = looks + 1 if _people_among(seen) else 0


async def come_back(
    ctx: JobContext,
    settings: AgentSettings,
    elapsed: float,
    *,
    wanted: Callable[[], bool] = lambda: True,
    patience: float = PATIENCE_SECONDS,
    returning: float = RETURNING_SECONDS,
) -> bool:
    """Ask for a transcriber as this one was asked for, if people are there; whether one has come.

    The new job has an id of its own, with a record and a transcript of its own, and of the time
    that this one had what is left after the seconds `elapsed`. The server may be away for
    `patience`, and people for `returning` while it answers, both in seconds; where people are there
    it is `PATIENCE_SECONDS` until it is given up. `wanted` says whether it still is.
    """
    request = TranscriptionRequest.parse(ctx.job.metadata)
    if request.leave_after_minutes:
        left = request.leave_after_minutes - elapsed / 60
        if left <= 0:
            return False
        request = request.model_copy(update={"leave_after_minutes": left})
    asked = settings.model_copy(update={"agent_name": ctx.job.agent_name})
    began = time.monotonic()
    alone_since: float | None = None
    while wanted():
        limit = began + patience
        try:
            seen = await _participants(ctx.job.room.name, asked)
            if is_another(seen, ctx.job.agent_name, ctx.job.id):
                return True
            if _people_among(seen):
                limit = began + PATIENCE_SECONDS
                # We may be in the room ourselves, with a connection that is mended too late.
                await dispatch(
                    asked,
                    ctx.job.room.name,
                    request,
                    instead_of=ctx.job.id,
                    timeout=COMING_SECONDS,
                )
                logger.warning("the meeting goes on without us: another transcriber has come")
                return True
        except _UNREACHABLE:
            alone_since = None
            if time.monotonic() + PAUSE_SECONDS > limit:
                logger.error("no other transcriber has come into a meeting that may go on")
                return False
        else:
            alone_since = alone_since or time.monotonic()
            if time.monotonic() + PAUSE_SECONDS > alone_since + returning:
                return False
        await asyncio.sleep(PAUSE_SECONDS)
    return False


async def _participants(room_name: str, settings: AgentSettings) -> Sequence[api.ParticipantInfo]:
    """Who is in the room, by the server's account.

    Raises:
        DispatchError: the server cannot be reached, or refuses the key.
        TimeoutError: it does not answer.
    """
    async with asyncio.timeout(ANSWER_SECONDS), server_api(settings) as livekit:
        try:
            listed = await livekit.room.list_participants(
                api.ListParticipantsRequest(room=room_name)
            )
        except api.TwirpError as error:
            if error.code == api.TwirpErrorCode.NOT_FOUND:
                return ()
            raise
    return [one for one in listed.participants if one.state == api.ParticipantInfo.State.ACTIVE]


def _people_among(participants: Sequence[api.ParticipantInfo]) -> bool:
    """Whether anybody is there whom a transcriber would see."""
    return any(is_heard_by_server(one.kind) and not one.permission.hidden for one in participants)
