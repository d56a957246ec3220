"""Asking for a transcriber, and making sure that one comes.

LiveKit hands a dispatch to the workers that are registered at that moment and drops it if there are
none. So whoever asks has to watch until the agent is in the room, and to ask again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import aiohttp
from livekit import api
from livekit.agents.types import ATTRIBUTE_AGENT_NAME
from livekit.protocol import agent as agent_proto
from livekit.protocol import models

from .errors import DispatchError
from .presence import ENDING_ATTRIBUTE
from .request import TranscriptionRequest
from .server_api import server_api
from .settings import AgentSettings

POLL_SECONDS = 0.25
ASK_AGAIN_SECONDS = 4.0
"""A registered worker answers in well under a second; a dispatch without a job by then is lost."""
JOIN_SECONDS = 20.0
"""From dispatch to room where a process has to be started first; who needs longer never comes."""
MAX_ROOM_NAME = 256

JOB_ATTRIBUTE = "tallyroom.job_id"
DISPATCH_ATTRIBUTE = "tallyroom.dispatch_id"
"""What the agent says of itself in the room, to be told apart from an earlier one."""

_OVER = (agent_proto.JobStatus.JS_FAILED, agent_proto.JobStatus.JS_SUCCESS)


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A transcriber that is in its room."""

    job_id: str
    dispatch_id: str
    room_name: str
    agent_identity: str
    seconds: float


async def dispatch(
    settings: AgentSettings,
    room_name: str,
    request: TranscriptionRequest,
    *,
    force: bool = False,
    instead_of: str | None = None,
    timeout: float = 60.0,
    on_asking_again: Callable[[], None] = lambda: None,
) -> Dispatched:
    """Send a transcriber into a room; returns once it is there.

    One of the job `instead_of`, which is to be replaced, may still be there.

    Raises:
        DispatchError: the request was declined, the room has a transcriber already (and `force` is
            not set), the server cannot be reached or refuses the key, or nobody came in time.
    """
    if not room_name or len(room_name) > MAX_ROOM_NAME:
        raise DispatchError(
            f"a room name has 1 to {MAX_ROOM_NAME} characters, this one {len(room_name)}"
        )
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout), server_api(settings) as livekit:
            asker = _Asker(
                livekit, settings.agent_name, room_name, request.to_metadata(), instead_of
            )
            return await asker.ask(began, on_asking_again, force=force)
    except TimeoutError:
        raise DispatchError(
            f"no agent {settings.agent_name!r} came within {timeout:g} s; is a worker running under"
            f" this name (`tallyroom start`), connected to {settings.livekit_url}, and not full?"
        ) from None


class _Asker:
    def __init__(
        self,
        livekit: api.LiveKitAPI,
        agent_name: str,
        room_name: str,
        metadata: str,
        instead_of: str | None,
    ) -> None:
        self._livekit = livekit
        self._agent_name = agent_name
        self._room_name = room_name
        self._metadata = metadata
        self._instead_of = instead_of

    async def ask(
        self, began: float, on_asking_again: Callable[[], None], *, force: bool
    ) -> Dispatched:
        # Of a room that is not there yet nobody answers for the dispatches, for seconds.
        if not force and await self._room_is_there():
            await self._refuse_second()
            await self._refuse_rival(None)
        while True:
            created = await self._livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(
                    agent_name=self._agent_name, room=self._room_name, metadata=self._metadata
                )
            )
            try:
                if not force:
                    await self._refuse_rival(created)
                if agent := await self._until_in_room(created.id):
                    return Dispatched(
                        agent.attributes[JOB_ATTRIBUTE],
                        created.id,
                        self._room_name,
                        agent.identity,
                        time.monotonic() - began,
                    )
            except (DispatchError, asyncio.CancelledError):
                # Nobody waits for it any more, so nobody may come for it later.
                await self._withdraw(created.id)
                raise
            await self._withdraw(created.id)
            on_asking_again()

    async def _refuse_second(self) -> None:
        """Two transcribers in a room caption everything twice, and both are billed."""
        for participant in await self._participants():
            if is_another([participant], self._agent_name, self._instead_of):
                raise DispatchError(
                    f"room {self._room_name!r} has a transcriber already ({participant.identity});"
                    " use --force to send another"
                )

    async def _refuse_rival(self, ours: api.AgentDispatch | None) -> None:
        """Of two who ask at the same moment, before either's agent is there, the later gives way.

        LiveKit's own stamps and ids decide, so both come to the same answer. Before `ours` there is
        only our own clock to hold the others' against.
        """
        dispatches = {found.id: found for found in await self._dispatches()}
        our_id = ours.id if ours else ""
        stamped = dispatches.get(our_id, ours)
        asked_at = stamped.state.created_at if stamped else time.time_ns()
        for other in dispatches.values():
            if other.id == our_id or other.agent_name != self._agent_name:
                continue
            if any(job.id == self._instead_of for job in other.state.jobs):
                continue
            is_first = ours is None or (other.state.created_at, other.id) < (asked_at, our_id)
            if is_first and _may_still_come(other, asked_at):
                raise DispatchError(
                    f"room {self._room_name!r} is being given a transcriber already"
                    f" (dispatch {other.id}); use --force to send another"
                )

    async def _withdraw(self, dispatch_id: str) -> None:
        with contextlib.suppress(api.TwirpError, aiohttp.ClientError):
            await self._livekit.agent_dispatch.delete_dispatch(dispatch_id, self._room_name)

    async def _until_in_room(self, dispatch_id: str) -> models.ParticipantInfo | None:
        """The agent that came for a dispatch, or None if no worker has taken it in time."""
        began = time.monotonic()
        job_id = None
        while time.monotonic() < began + (JOIN_SECONDS if job_id else ASK_AGAIN_SECONDS):
            for participant in await self._participants():
                if participant.attributes.get(DISPATCH_ATTRIBUTE) == dispatch_id:
                    return participant
            job_id = await self._job_of(dispatch_id)
            await asyncio.sleep(POLL_SECONDS)
        if job_id:
            raise DispatchError(
                f"job {job_id} was taken {JOIN_SECONDS:g} s ago and has not come into the room;"
                f" see the worker's log, and `tallyroom show {job_id}`"
            )
        return None

    async def _job_of(self, dispatch_id: str) -> str | None:
        """The job that a worker has for the dispatch, None if nobody has taken it yet.

        Raises:
            DispatchError: a worker has it no more. LiveKit says of a job that was declined for good
                that it has succeeded, without anybody having been in the room for it.
        """
        found = await self._livekit.agent_dispatch.get_dispatch(dispatch_id, self._room_name)
        if found is None or not found.state.jobs:
            return None
        job: agent_proto.Job = found.state.jobs[0]
        if job.state.status in _OVER:
            raise DispatchError(
                f"job {job.id} was declined or is over{job.state.error and ': ' + job.state.error};"
                f" see `tallyroom show {job.id}`"
            )
        return job.id

    async def _room_is_there(self) -> bool:
        asked = api.ListRoomsRequest(names=[self._room_name])
        return bool((await self._livekit.room.list_rooms(asked)).rooms)

    async def _dispatches(self) -> list[api.AgentDispatch]:
        try:
            return await self._livekit.agent_dispatch.list_dispatch(self._room_name)
        except api.TwirpError as error:
            if error.code == api.TwirpErrorCode.NOT_FOUND:
                return []
            raise

    async def _participants(self) -> list[models.ParticipantInfo]:
        try:
            listed = await self._livekit.room.list_participants(
                api.ListParticipantsRequest(room=self._room_name)
            )
        except api.TwirpError as error:
            if error.code == api.TwirpErrorCode.NOT_FOUND:
                return []
            raise
        return [
            participant
            for participant in listed.participants
            if participant.state == models.ParticipantInfo.State.ACTIVE
        ]


def is_another(
    participants: Iterable[models.ParticipantInfo], agent_name: str, job_id: str | None
) -> bool:
    """Whether an agent of that name listens there which is not the job's."""
    return any(
        one.attributes.get(ATTRIBUTE_AGENT_NAME) == agent_name
        and one.attributes.get(JOB_ATTRIBUTE, "") != job_id
        and not one.attributes.get(ENDING_ATTRIBUTE)
        for one in participants
    )


def _may_still_come(other: api.AgentDispatch, now_ns: int) -> bool:
    """Whether an agent may be on its way for a dispatch; one that is there is a participant."""
    jobs = other.state.jobs
    if any(job.state.status in _OVER for job in jobs):
        return False
    within = JOIN_SECONDS if jobs else ASK_AGAIN_SECONDS
    return now_ns - other.state.created_at < within * 10**9
