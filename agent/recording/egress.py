"""Asking LiveKit Egress to record: the whole room as one file, or each microphone as its own.

Where the files go is Egress's to know, or said by the settings as an S3 bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from livekit import api

from ..errors import DispatchError, RecordingError
from ..settings import AgentSettings

ROOM_FILE = "{room_name}-{time}"
TRACK_FILE = "{room_name}-{publisher_identity}-{track_id}-{time}"
"""Templates of Egress's own, which it fills in."""
ANSWER_SECONDS = 20.0

OpenApi = Callable[[], AbstractAsyncContextManager[api.LiveKitAPI]]

_UNDER_WAY = frozenset(
    {
        api.EgressStatus.EGRESS_STARTING,
        api.EgressStatus.EGRESS_ACTIVE,
        api.EgressStatus.EGRESS_ENDING,
    }
)
_NO_EGRESS = ("no response from servers", "egress not connected")


def is_under_way(info: api.EgressInfo) -> bool:
    """Whether an egress records, or is about to."""
    return info.status in _UNDER_WAY


class RoomEgress:
    """One room's recordings, through LiveKit's API.

    Every method raises `RecordingError`, one line that says what to do, when there is no Egress,
    it refuses, or it does not answer.
    """

    def __init__(self, room_name: str, settings: AgentSettings, open_api: OpenApi) -> None:
        self._room_name = room_name
        self._settings = settings
        self._open_api = open_api

    async def start_room(self) -> api.EgressInfo:
        """Record everybody in one file."""
        request = api.RoomCompositeEgressRequest(
            room_name=self._room_name,
            audio_only=True,
            file_outputs=[
                api.EncodedFileOutput(
                    file_type=api.EncodedFileType.OGG,
                    filepath=self._path(ROOM_FILE),
                    s3=self._s3(),
                )
            ],
        )
        async with self._egress() as egress:
            return await egress.start_room_composite_egress(request)

    async def start_track(self, track_id: str) -> api.EgressInfo:
        """Record one track as it is."""
        request = api.TrackEgressRequest(
            room_name=self._room_name,
            track_id=track_id,
            file=api.DirectFileOutput(filepath=self._path(TRACK_FILE), s3=self._s3()),
        )
        async with self._egress() as egress:
            return await egress.start_track_egress(request)

    async def all(self) -> list[api.EgressInfo]:
        """All of the room's that LiveKit still knows, those that are over included."""
        async with self._egress() as egress:
            found = await egress.list_egress(api.ListEgressRequest(room_name=self._room_name))
            return list(found.items)

    async def stop(self, egress_id: str) -> api.EgressInfo:
        """Stop one; it takes a while until it is over."""
        async with self._egress() as egress:
            return await egress.stop_egress(api.StopEgressRequest(egress_id=egress_id))

    def _path(self, name: str) -> str:
        folder = self._settings.recording_path.strip("/")
        return f"{folder}/{name}" if folder else name

    def _s3(self) -> api.S3Upload | None:
        settings = self._settings
        if not settings.recording_s3_bucket:
            return None
        return api.S3Upload(
            bucket=settings.recording_s3_bucket,
            region=settings.recording_s3_region,
            endpoint=settings.recording_s3_endpoint,
            access_key=settings.recording_s3_access_key.get_secret_value(),
            secret=settings.recording_s3_secret.get_secret_value(),
        )

    @contextlib.asynccontextmanager
    async def _egress(self) -> AsyncIterator[api.egress_service.EgressService]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._open_api() as livekit:
                try:
                    yield livekit.egress
                except api.TwirpError as error:
                    raise RecordingError(_advice(error)) from None
        except DispatchError as error:
            raise RecordingError(str(error)) from None
        except TimeoutError:
            raise RecordingError(
                f"LiveKit has not answered about a recording for {ANSWER_SECONDS:g} s"
            ) from None


def _advice(error: api.TwirpError) -> str:
    if any(sign in error.message for sign in _NO_EGRESS):
        return (
            "this LiveKit server has no Egress, which makes the recordings: deploy LiveKit Egress"
            " beside it (it needs Redis), or use LiveKit Cloud"
        )
    return f"LiveKit Egress refuses: {error.code}: {error.message}"
