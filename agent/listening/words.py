"""From an STT's events to what people read.

An event has a position in one stream, and no name. Readers want to know who said it and when, and
which interims a final replaces.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from livekit.agents import stt

from ..segments import Segment, spoken_language
from ..voices import Voices
from .answers import has_times
from .timeline import Timeline


@dataclass(frozen=True, slots=True)
class Interim:
    """What is being said and may still change; replaced by a segment with the same id.

    Without a text it was nothing after all, and what was shown of it goes.
    """

    segment_id: str
    speaker: str
    track_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whose track it is. `name` is asked for at each segment, because people change theirs.

    `voices` counts the voices on it, where they are told apart: one count for all of their tracks.
    """

    identity: str
    name: Callable[[], str]
    track_id: str
    voices: Voices = field(default_factory=Voices)


class Words:
    """What one take's STT answers, as interims and segments."""

    def __init__(
        self,
        speaker: Speaker,
        now: Callable[[], float],
        on_segment: Callable[[Segment], Awaitable[None]],
        on_interim: Callable[[Interim], Awaitable[None]],
        on_speech: Callable[[], None],
    ) -> None:
        self._speaker = speaker
        self._now = now
        self._on_segment = on_segment
        self._on_interim = on_interim
        self._on_speech = on_speech
        self._segment_id = _new_segment_id()
        self._is_shown = False
        self._speaking_since: float | None = None
        self._timeline: Timeline | None = None
        self._voice = speaker.voices.of_connection()

    async def take(self, event: stt.SpeechEvent, timeline: Timeline) -> None:
        """An answer; positions in it are on `timeline`, one for each stream."""
        if timeline is not self._timeline:
            self._timeline = timeline
            self._voice = self._speaker.voices.of_connection()
        if event.type is stt.SpeechEventType.START_OF_SPEECH:
            self._on_speech()
            self._speaking_since = self._speaking_since or self._now()
        said = event.alternatives[0] if event.alternatives else None
        if said is None or not said.text.strip():
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                await self.withdraw()
            return
        if event.type is stt.SpeechEventType.INTERIM_TRANSCRIPT:
            self._on_speech()
            self._speaking_since = self._speaking_since or self._now()
            self._is_shown = True
            await self._show(said.text, self._segment_id)
        elif event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            segment = self._segment(said, timeline)
            self._begin_anew()
            await self._on_segment(segment)

    async def withdraw(self) -> None:
        """Nothing comes of what is shown: a sound that was taken for words, or words not heard."""
        if self._is_shown:
            shown = self._segment_id
            self._begin_anew()
            await self._show("", shown)

    def _begin_anew(self) -> None:
        self._segment_id = _new_segment_id()
        self._is_shown = False
        self._speaking_since = None

    async def _show(self, text: str, segment_id: str) -> None:
        speaker = self._speaker
        await self._on_interim(Interim(segment_id, speaker.identity, speaker.track_id, text))

    def _segment(self, said: stt.SpeechData, timeline: Timeline) -> Segment:
        now = self._now()
        if has_times(said):
            start, end = timeline.at(said.start_time), timeline.end_at(said.end_time)
        else:
            start, end = now if self._speaking_since is None else self._speaking_since, now
        return Segment(
            segment_id=self._segment_id,
            speaker=self._speaker.identity,
            name=self._speaker.name(),
            text=said.text.strip(),
            start=round(min(start, end), 3),
            end=round(max(start, end), 3),
            language=spoken_language(said.language),
            confidence=round(said.confidence, 3) if said.confidence else None,
            track_id=self._speaker.track_id,
            voice=self._voice(said.speaker_id),
        )


def _new_segment_id() -> str:
    return f"SG_{uuid.uuid4().hex[:12]}"
