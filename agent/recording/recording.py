"""A meeting's recordings while the transcriber is there: begun, ended with it, and metered.

What others have begun in the same room is metered, too: LiveKit lists all of a room's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

from livekit import api, rtc

from ..errors import RecordingError
from ..observers import MeetingObserver
from ..segments import Meeting
from ..settings import RecordedAs
from .egress import RoomEgress, is_under_way

logger = logging.getLogger("tallyroom.agent")

LOOK_SECONDS = 5.0
"""News of an egress comes by webhook, which a job cannot receive: so it asks this often."""
ENDING_SECONDS = 20.0
"""How long a recording may take to be over; LiveKit bills to its own end, which is waited for."""

Metered = Callable[[api.EgressInfo], None]
MayRecord = Callable[[rtc.RemoteParticipant], bool]


class Recording(MeetingObserver):
    """Records one meeting as it was asked, if it was, and tells `metered` of all that is recorded.

    `may_record` says whose tracks may be recorded one by one. What cannot be recorded is logged,
    and said to `tell`: people who count on a recording must know.
    """

    def __init__(
        self,
        room: rtc.Room,
        egress: RoomEgress,
        wanted: RecordedAs | None,
        *,
        metered: Metered,
        may_record: MayRecord,
        tell: Callable[[str], Awaitable[object]],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._room = room
        self._egress = egress
        self._wanted = wanted
        self._metered = metered
        self._may_record = may_record
        self._tell = tell
        self._look_seconds = look_seconds
        self._by_track: dict[str, str] = {}
        self._ours: set[str] = set()
        self._seen: dict[str, api.EgressInfo] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._is_over = False

    async def on_start(self, meeting: Meeting, said: Sequence[object]) -> None:
        """Begin to record, without making anybody wait for it."""
        if self._wanted is RecordedAs.ROOM:
            self._start(self._record_room())
        elif self._wanted is RecordedAs.TRACKS:
            self._room.on("track_subscribed", self._on_track)
            self._room.on("track_unsubscribed", self._on_track_gone)
            for participant in self._room.remote_participants.values():
                for publication in participant.track_publications.values():
                    if publication.track:
                        self._on_track(publication.track, publication, participant)
        self._watching = asyncio.create_task(self._watch(), name="tallyroom-watch-egress")

    async def on_end(self) -> None:
        """End what was begun here, and hear of its end."""
        if self._watching:
            self._watching.cancel()
        self._is_over = True
        while self._tasks:
            # One that is being begun is ended, too; each waits for an answer for so long only.
            await asyncio.wait(self._tasks)
        for egress_id in self._ours:
            await self._stop(egress_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_SECONDS):
                while self._is_under_way():
                    await self._look()
                    if self._is_under_way():
                        await asyncio.sleep(min(1.0, self._look_seconds))

    def _is_under_way(self) -> bool:
        return any(is_under_way(self._seen[egress_id]) for egress_id in self._ours)

    async def _watch(self) -> None:
        while True:
            if self._ours or self._room.is_recording:
                await self._look()
            await asyncio.sleep(self._look_seconds)

    async def _look(self) -> None:
        try:
            found = await self._egress.all()
        except RecordingError as error:
            logger.warning("recordings are not metered for now: %s", error)
            return
        for info in found:
            self._take(info)

    def _take(self, info: api.EgressInfo) -> None:
        before = self._seen.get(info.egress_id)
        self._seen[info.egress_id] = info
        self._metered(info)
        failed = info.status in (
            api.EgressStatus.EGRESS_FAILED,
            api.EgressStatus.EGRESS_ABORTED,
        )
        if failed and (before is None or before.status != info.status):
            self._failed(f"Egress has given up: {info.error or 'it does not say why'}")

    def _on_track(
        self,
        track: rtc.Track,
        publication: rtc.TrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO or self._is_over:
            return
        if track.sid not in self._by_track and self._may_record(participant):
            self._by_track[track.sid] = ""
            self._start(self._record_track(track.sid))

    def _on_track_gone(
        self,
        track: rtc.Track,
        publication: rtc.TrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        """Who opts out is no longer recorded either; the end of a track ends its egress itself."""
        egress_id = self._by_track.pop(track.sid, "")
        if egress_id and not self._is_over:
            self._start(self._stop(egress_id))

    async def _record_room(self) -> None:
        with self._told_of_failure():
            self._begun(await self._egress.start_room())

    async def _record_track(self, track_id: str) -> None:
        with self._told_of_failure():
            info = await self._egress.start_track(track_id)
            self._begun(info)
            if track_id in self._by_track:
                self._by_track[track_id] = info.egress_id
            else:
                await self._stop(info.egress_id)

    def _begun(self, info: api.EgressInfo) -> None:
        self._ours.add(info.egress_id)
        self._take(info)

    @contextlib.contextmanager
    def _told_of_failure(self) -> Iterator[None]:
        try:
            yield
        except RecordingError as error:
            self._failed(str(error))

    async def _stop(self, egress_id: str) -> None:
        if not is_under_way(self._seen[egress_id]):
            return
        try:
            self._take(await self._egress.stop(egress_id))
        except RecordingError as error:
            logger.warning("a recording is not stopped: %s", error)

    def _failed(self, line: str) -> None:
        logger.error("not recorded: %s", line)
        self._start(self._say("This meeting is not being recorded."))

    async def _say(self, line: str) -> None:
        await self._tell(line)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="tallyroom-recording")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
