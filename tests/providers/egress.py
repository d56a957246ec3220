"""A local LiveKit Egress behind LiveKit's API: Twirp over HTTP with protobuf, and its states.

Starting, active, ending, complete: an egress moves on when it is asked about, so that whoever asks
too seldom or stops asking too soon is found out. Its ledger is the list of what it told at last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from aiohttp import web
from livekit import api
from livekit.protocol.egress import EgressInfo, EgressStatus, ListEgressResponse

from .server import ProviderServer

_TWIRP = "/twirp/livekit.Egress/"


class EgressServer(ProviderServer):
    """`egresses` are all that were asked for; `fails` makes the next of them fail once active."""

    def __init__(self) -> None:
        super().__init__()
        self.egresses: dict[str, EgressInfo] = {}
        self.requests: list[object] = []
        self.fails = ""

    def routes(self) -> list[web.RouteDef]:
        return [web.post(f"{_TWIRP}{{method}}", self._on_request)]

    async def _on_request(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.refusals:
            status = self.refusals.popleft()
            self.refused += 1
            refusal = {"code": "resource_exhausted", "msg": "too many egresses"}
            return web.json_response(refusal, status=status)
        answer = self._methods[request.match_info["method"]](self, body)
        return web.Response(body=answer.SerializeToString(), content_type="application/protobuf")

    def _start_room(self, body: bytes) -> EgressInfo:
        asked = api.RoomCompositeEgressRequest.FromString(body)
        return self._start(asked, EgressInfo(room_name=asked.room_name, room_composite=asked))

    def _start_track(self, body: bytes) -> EgressInfo:
        asked = api.TrackEgressRequest.FromString(body)
        return self._start(asked, EgressInfo(room_name=asked.room_name, track=asked))

    def _start(self, asked: object, info: EgressInfo) -> EgressInfo:
        self.requests.append(asked)
        info.egress_id = f"EG_{len(self.egresses):012d}"
        info.status = EgressStatus.EGRESS_STARTING
        self.egresses[info.egress_id] = info
        return info

    def _stop(self, body: bytes) -> EgressInfo:
        info = self.egresses[api.StopEgressRequest.FromString(body).egress_id]
        info.status = EgressStatus.EGRESS_ENDING
        return info

    def _list(self, body: bytes) -> ListEgressResponse:
        asked = api.ListEgressRequest.FromString(body)
        found = [one for one in self.egresses.values() if one.room_name == asked.room_name]
        for info in found:
            self._move_on(info)
        return ListEgressResponse(items=found)

    def _move_on(self, info: EgressInfo) -> None:
        if info.status == EgressStatus.EGRESS_STARTING:
            info.status = EgressStatus.EGRESS_ACTIVE
            info.started_at = time.time_ns()
        elif info.status == EgressStatus.EGRESS_ACTIVE and self.fails:
            info.status = EgressStatus.EGRESS_FAILED
            info.error, self.fails = self.fails, ""
            info.ended_at = time.time_ns()
        elif info.status == EgressStatus.EGRESS_ENDING:
            info.status = EgressStatus.EGRESS_COMPLETE
            info.ended_at = time.time_ns()

    _methods: ClassVar[
        dict[str, Callable[[EgressServer, bytes], EgressInfo | ListEgressResponse]]
    ] = {
        "StartRoomCompositeEgress": _start_room,
        "StartTrackEgress": _start_track,
        "StopEgress": _stop,
        "ListEgress": _list,
    }
