"""What a participant really hears of another's audio, by the sound of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np
from livekit import rtc

from demo.changes import Changes

RATE = 16_000
_LOUD = 500.0


@dataclass
class Hearing:
    """Everything that agents say in a room, as one of its participants receives it.

    `sounds` are frames that were not silent: when each came, on the monotonic clock in seconds, and
    its samples.
    """

    room: rtc.Room
    sounds: list[tuple[float, np.ndarray[tuple[int], np.dtype[np.int16]]]] = field(
        default_factory=list
    )
    _changes: Changes = field(default_factory=Changes)
    _listening: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.room.on("track_subscribed", self._on_track)
        for participant in self.room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track:
                    self._on_track(publication.track, publication, participant)

    def _on_track(
        self, track: rtc.Track, _: rtc.TrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT:
            task = asyncio.create_task(self._listen(track))
            self._listening.add(task)
            task.add_done_callback(self._listening.discard)

    async def _listen(self, track: rtc.Track) -> None:
        audio = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=20)
        try:
            async for event in audio:
                samples = np.frombuffer(event.frame.data, np.int16).copy()
                if float(np.sqrt(np.mean(samples.astype(float) ** 2))) > _LOUD:
                    self.sounds.append((time.monotonic(), samples))
                    self._changes.notify()
        finally:
            await audio.aclose()

    async def until_heard(self, seconds: float, *, timeout: float = 20.0) -> None:
        """Wait until so much sound has come, since the last `clear`."""
        await self._changes.until(lambda: self.seconds >= seconds or None, timeout)

    @property
    def seconds(self) -> float:
        """How much sound there was."""
        return sum(len(samples) for _, samples in self.sounds) / RATE

    @property
    def pitch(self) -> float:
        """The loudest frequency of it, in hertz."""
        samples = np.concatenate([one for _, one in self.sounds])
        spectrum = np.abs(np.fft.rfft(samples))
        return float(np.argmax(spectrum) * RATE / len(samples))

    @property
    def last_at(self) -> float:
        """When the last of it came, on the monotonic clock."""
        return self.sounds[-1][0]

    def clear(self) -> None:
        """Forget what was heard until now."""
        self.sounds.clear()
