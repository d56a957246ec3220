"""`record`: have LiveKit Egress record a room, or end that."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from livekit import api

from metering.cli import AsJson

from ..errors import RecordingError
from ..manners.opt_out import has_opted_out
from ..people import is_heard_by_server
from ..recording.egress import RoomEgress, is_under_way
from ..server_api import server_api
from ..settings import AgentSettings, RecordedAs
from .app import app, attempt


@app.command()
def record(
    room: Annotated[str, typer.Argument(help="The room's name.")],
    what: Annotated[
        RecordedAs, typer.Option("--as", help="One file of everybody, or one for each microphone.")
    ] = RecordedAs.ROOM,
    stop: Annotated[bool, typer.Option("--stop", help="End all of the room's recordings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Record a room through LiveKit Egress; a transcriber that is in it meters it."""
    settings = attempt(AgentSettings.load)
    work = _stop(room, settings) if stop else _start(room, what, settings)
    found = attempt(lambda: asyncio.run(work))
    if as_json:
        typer.echo(json.dumps([_shown(info) for info in found], indent=2))
    else:
        for info in found:
            typer.echo(f"{info.egress_id} {_status(info)}")


def _shown(info: api.EgressInfo) -> dict[str, str]:
    return {"egress_id": info.egress_id, "room_name": info.room_name, "status": _status(info)}


def _status(info: api.EgressInfo) -> str:
    return str(api.EgressStatus.Name(info.status)).removeprefix("EGRESS_").lower()


async def _start(room: str, what: RecordedAs, settings: AgentSettings) -> list[api.EgressInfo]:
    egress = RoomEgress(room, settings, lambda: server_api(settings))
    if what is RecordedAs.ROOM:
        return [await egress.start_room()]
    tracks = await _microphones(room, settings)
    if not tracks:
        raise RecordingError(f"nobody in {room!r} has a microphone that may be recorded")
    return [await egress.start_track(track_id) for track_id in tracks]


async def _microphones(room: str, settings: AgentSettings) -> list[str]:
    async with server_api(settings) as livekit:
        listed = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    return [
        track.sid
        for person in listed.participants
        if is_heard_by_server(person.kind) and not has_opted_out(person.identity, person.attributes)
        for track in person.tracks
        if track.type == api.TrackType.AUDIO
    ]


async def _stop(room: str, settings: AgentSettings) -> list[api.EgressInfo]:
    egress = RoomEgress(room, settings, lambda: server_api(settings))
    running = [info for info in await egress.all() if is_under_way(info)]
    if not running:
        raise RecordingError(f"nothing is being recorded in {room!r}")
    return [await egress.stop(info.egress_id) for info in running]
