"""A person in a meeting: joins over real WebRTC, speaks recordings in real time, reads captions.

What a transcriber meets in practice is a microphone that is open all the time, not one that sends
audio only while somebody speaks: so a `Microphone` sends frames from the moment it is published to
the moment it is taken down, silence included, and a recording is laid into that stream.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from livekit import rtc

from .changes import Changes
from .clips import SAMPLE_RATE, Clip, Samples, load_clip
from .server import LocalServer, ParticipantKind, RemoteServer, participant_token
from .text_streams import TextStream, TextStreams

CAPTIONS = "lk.transcription"
CHAT = "lk.chat"
SAMPLES_PER_FRAME = SAMPLE_RATE // 50
QUEUE_MS = 100


@dataclass(frozen=True)
class Caption:
    """One text stream of captions, as it came: a later one of a segment replaces the earlier.

    `received_at` is on the monotonic clock, in seconds, when its last character was here.
    """

    segment_id: str
    track_id: str
    sender_identity: str
    text: str
    final: bool
    received_at: float


@dataclass(frozen=True)
class ChatMessage:
    """A message in the room's chat; `received_at` is on the monotonic clock, in seconds."""

    sender_identity: str
    text: str
    received_at: float


@dataclass(frozen=True)
class Spoken:
    """When something was said, on the monotonic clock, in seconds, as it left the microphone."""

    started_at: float
    ended_at: float


@dataclass
class _Line:
    """Samples on their way out, and who waits for them to be out."""

    samples: Samples
    done: asyncio.Future[Spoken]
    position: int = 0
    started_at: float = 0.0


class Microphone:
    """An audio track that sends all the time, silence when nothing is said.

    Args:
        participant: whose it is; connected.
        name: the track's name.
    """

    def __init__(self, participant: rtc.LocalParticipant, name: str) -> None:
        self._participant = participant
        self._source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=QUEUE_MS)
        self._track = rtc.LocalAudioTrack.create_audio_track(name, self._source)
        self._lines: deque[_Line] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._sid = ""

    @property
    def sid(self) -> str:
        """The track's SID, by which captions name it."""
        return self._sid

    async def open(self) -> None:
        """Publish it and begin to send."""
        # Without DTX silence is sent as any other sound: the harder case for whoever listens.
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        publication = await self._participant.publish_track(self._track, options)
        self._sid = publication.sid
        self._pump = asyncio.create_task(self._send())
        self._pump.add_done_callback(self._pump_ended)

    async def close(self, *, unpublish: bool = True) -> None:
        """Stop sending; what has not been said is not said any more."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if unpublish:
            await self._participant.unpublish_track(self._sid)
        await self._source.aclose()

    def mute(self) -> None:
        """Mute it, as the button does: nothing is heard, the track stays."""
        self._track.mute()

    def unmute(self) -> None:
        """Unmute it."""
        self._track.unmute()

    async def play(self, samples: Samples) -> Spoken:
        """Lay samples into the stream after what is already in line; returns when they are out.

        Cancelling it ends them at once. It is cancelled itself when the microphone closes.
        """
        line = _Line(samples, asyncio.get_running_loop().create_future())
        self._lines.append(line)
        return await line.done

    async def _send(self) -> None:
        while True:
            frame = np.zeros(SAMPLES_PER_FRAME, np.int16)
            ended = self._fill(frame)
            await self._source.capture_frame(
                rtc.AudioFrame(frame.tobytes(), SAMPLE_RATE, 1, SAMPLES_PER_FRAME)
            )
            for line in ended:
                self._when_out(line)

    def _fill(self, frame: Samples) -> list[_Line]:
        """Move what is in line into a frame; returns the lines that end in it."""
        ended: list[_Line] = []
        filled = 0
        while self._lines and filled < len(frame):
            line = self._lines[0]
            if line.done.cancelled():
                self._lines.popleft()
                continue
            if line.position == 0:
                line.started_at = time.monotonic() + self._source.queued_duration
            part = line.samples[line.position : line.position + len(frame) - filled]
            frame[filled : filled + len(part)] = part
            filled += len(part)
            line.position += len(part)
            if line.position >= len(line.samples):
                ended.append(self._lines.popleft())
        return ended

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        """Let nobody wait for what will not be said any more."""
        error = None if pump.cancelled() else pump.exception()
        for line in self._lines:
            if error is None or line.done.done():
                line.done.cancel()
            else:
                line.done.set_exception(error)
        self._lines.clear()

    def _when_out(self, line: _Line) -> None:
        """Tell whoever waits once the last sample has left the queue, not when it entered it."""

        def tell() -> None:
            if not line.done.done():
                line.done.set_result(Spoken(line.started_at, time.monotonic()))

        asyncio.get_running_loop().call_later(self._source.queued_duration, tell)


class Speaker:
    """Somebody in a room; as an async context manager, from joining to leaving.

    Args:
        server: where the room is.
        room: the room's name.
        identity: who it is, to the server.
        name: who it is, to people; the identity when empty.
        kind: what the others take them for: `standard`, `sip`, `ingress`, `egress` or `agent`.
        attributes: the participant's attributes.
        hears: whether they receive the others' audio; captions come in any case.

    Attributes:
        captions: every caption received, in the order they were begun, across all joins.
        messages: every message of the chat, likewise.
    """

    def __init__(
        self,
        server: LocalServer | RemoteServer,
        room: str,
        identity: str,
        *,
        name: str = "",
        kind: ParticipantKind = "standard",
        attributes: Mapping[str, str] | None = None,
        hears: bool = True,
    ) -> None:
        self.identity = identity
        self._hears = hears
        self.captions: list[Caption] = []
        self.messages: list[ChatMessage] = []
        self._server = server
        self._room_name = room
        self._name = name or identity
        self._kind = kind
        self._attributes = dict(attributes or {})
        self._room: rtc.Room | None = None
        self._microphones: list[Microphone] = []
        self._caption_streams = TextStreams(self._on_caption)
        self._chat_streams = TextStreams(self._on_message)
        self._changes = Changes()

    @property
    def room(self) -> rtc.Room:
        """The room as this person's client has it.

        Raises:
            RuntimeError: they are not in it.
        """
        if self._room is None:
            raise RuntimeError("this speaker is not in the room: join() first")
        return self._room

    @property
    def sid(self) -> str:
        """The participant SID of the present join."""
        return self.room.local_participant.sid

    @property
    def microphone(self) -> Microphone:
        """The first microphone.

        Raises:
            RuntimeError: there is none open.
        """
        if not self._microphones:
            raise RuntimeError("this speaker has no microphone open: join() or publish() first")
        return self._microphones[0]

    async def join(self, *, microphone: bool = True) -> None:
        """Join the room and open a microphone.

        Raises:
            rtc.ConnectError: the server did not let them in.
            RuntimeError: they are in it already.
        """
        if self._room is not None:
            raise RuntimeError("this speaker is in the room already")
        room = rtc.Room()
        room.register_text_stream_handler(CAPTIONS, self._caption_streams.begin)
        room.register_text_stream_handler(CHAT, self._chat_streams.begin)
        for event in ("participant_connected", "participant_disconnected", "disconnected"):
            room.on(event, lambda *_: self._changes.notify())
        token = participant_token(
            self._server,
            self._room_name,
            self.identity,
            name=self._name,
            kind=self._kind,
            attributes=self._attributes,
        )
        await room.connect(self._server.url, token, rtc.RoomOptions(auto_subscribe=self._hears))
        self._room = room
        if microphone:
            await self.publish()

    async def leave(self) -> None:
        """Leave the room, in the middle of a word if need be; nothing when not in it."""
        room, self._room = self._room, None
        microphones, self._microphones = self._microphones, []
        if room is None:
            return
        # The room first: the moment of leaving is the moment this was called.
        await room.disconnect()
        for microphone in microphones:
            await microphone.close(unpublish=False)
        await asyncio.gather(self._caption_streams.wait(), self._chat_streams.wait())

    async def rejoin(self) -> None:
        """Leave and join again with the same identity: another join, with another SID."""
        await self.leave()
        await self.join()

    async def publish(self, name: str = "microphone") -> Microphone:
        """Open a microphone: the first one, or a further track beside it."""
        microphone = Microphone(self.room.local_participant, name)
        await microphone.open()
        self._microphones.append(microphone)
        return microphone

    async def unpublish(self, microphone: Microphone) -> None:
        """Take a microphone's track down."""
        self._microphones.remove(microphone)
        await microphone.close()

    async def say(self, clip: Clip | str, *, on: Microphone | None = None) -> Spoken:
        """Speak a recording in real time; returns when its last sample is out.

        Args:
            clip: what to say, or its name.
            on: which microphone; the first one when not given.
        """
        spoken = await asyncio.to_thread(load_clip, clip) if isinstance(clip, str) else clip
        return await (on or self.microphone).play(spoken.samples)

    async def silence(self, seconds: float) -> Spoken:
        """Say nothing for a while, with the microphone open."""
        return await self.microphone.play(np.zeros(round(seconds * SAMPLE_RATE), np.int16))

    def mute(self) -> None:
        """Mute every microphone."""
        for microphone in self._microphones:
            microphone.mute()

    def unmute(self) -> None:
        """Unmute every microphone."""
        for microphone in self._microphones:
            microphone.unmute()

    def finals(self) -> list[Caption]:
        """The final captions received, in the order they came."""
        return [caption for caption in self.captions if caption.final]

    async def wait_for_final(
        self,
        count: int = 1,
        *,
        matching: Callable[[Caption], bool] = lambda _: True,
        timeout: float = 20.0,
    ) -> list[Caption]:
        """Wait until so many final captions that match have come; returns them.

        Raises:
            TimeoutError: they did not come within `timeout` seconds.
        """

        def enough() -> list[Caption] | None:
            found = [caption for caption in self.finals() if matching(caption)]
            return found if len(found) >= count else None

        return await self._changes.until(enough, timeout)

    async def write(self, text: str) -> None:
        """Write in the chat, to everybody."""
        await self.room.local_participant.send_text(text, topic=CHAT)

    async def wait_for_message(
        self, matching: Callable[[ChatMessage], bool] = lambda _: True, *, timeout: float = 20.0
    ) -> ChatMessage:
        """Wait until a message that matches is in the chat; returns the first.

        Raises:
            TimeoutError: there was none within `timeout` seconds.
        """
        return await self._changes.until(
            lambda: next(filter(matching, self.messages), None), timeout
        )

    async def wait_for_participant(
        self,
        matching: Callable[[rtc.RemoteParticipant], bool],
        *,
        timeout: float = 20.0,
    ) -> rtc.RemoteParticipant:
        """Wait until somebody who matches is in the room; returns them.

        Raises:
            TimeoutError: nobody came within `timeout` seconds.
        """

        def there() -> rtc.RemoteParticipant | None:
            return next(filter(matching, self.room.remote_participants.values()), None)

        return await self._changes.until(there, timeout)

    async def wait_until_gone(self, identity: str, *, timeout: float = 20.0) -> None:
        """Wait until nobody with this identity is in the room.

        Raises:
            TimeoutError: they stayed for `timeout` seconds.
        """

        def gone() -> bool | None:
            return None if identity in self.room.remote_participants else True

        await self._changes.until(gone, timeout)

    async def __aenter__(self) -> Self:
        """Join, with a microphone."""
        await self.join()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave."""
        await self.leave()

    def _on_caption(self, stream: TextStream) -> None:
        self.captions.append(
            Caption(
                segment_id=stream.attributes.get("lk.segment_id", ""),
                track_id=stream.attributes.get("lk.transcribed_track_id", ""),
                sender_identity=stream.sender_identity,
                text=stream.text,
                final=stream.attributes.get("lk.transcription_final") == "true",
                received_at=stream.received_at,
            )
        )
        self._changes.notify()

    def _on_message(self, stream: TextStream) -> None:
        self.messages.append(ChatMessage(stream.sender_identity, stream.text, stream.received_at))
        self._changes.notify()
