"""What was said: one person's final stretch of speech, and the meeting that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One final stretch of one person's speech.

    `start` and `end` are seconds on the meeting's clock, which begins when the transcriber joined.
    `speaker` is the participant's identity, `name` what they go by. `language` is a BCP 47 tag,
    `und` where it is not known. `confidence` is from 0 to 1, None where the provider gives none.
    `voice` is which of several on a shared microphone, from 1 on, None where they are not told
    apart.
    """

    segment_id: str
    speaker: str
    name: str
    text: str
    start: float
    end: float
    language: str
    confidence: float | None
    track_id: str
    voice: int | None = None


UNDETERMINED = "und"
"""BCP 47's tag for a language that is not known."""


def spoken_language(said: object) -> str:
    """The tag of the language that a provider says was spoken.

    Some answer with `multi`, which was the question, or with nothing.
    """
    tag = str(said)
    return UNDETERMINED if tag in ("", "multi", "auto", "None") else tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Audio that was there and has not become words, on the meeting's clock, in seconds.

    Without a `speaker` and a `track_id` nobody could be heard: the transcriber itself was away.
    """

    speaker: str
    name: str
    start: float
    end: float
    track_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What a transcript is of; `started_at` is the meeting clock's zero, in UTC.

    `tenant` is whom the job is charged to, empty where nobody was named.
    """

    job_id: str
    title: str
    room_name: str
    started_at: datetime
    tenant: str = ""

    def stamp(self, seconds: float) -> datetime:
        """A moment on the meeting's clock, in UTC."""
        return self.started_at + timedelta(seconds=seconds)


class Corrected(NamedTuple):
    """What was put right by hand: what had been heard, who corrected it, and when, in UTC."""

    original: str
    by: str
    at: datetime


class Transcript(NamedTuple):
    """A meeting's words, in order, and where there are none though somebody may have spoken.

    `segments` read as they were corrected; `corrected` has the originals, by segment id.
    """

    meeting: Meeting
    segments: list[Segment]
    gaps: list[Gap]
    corrected: Mapping[str, Corrected] = MappingProxyType({})


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Segments by when they begin; of those that begin together the shorter first."""
    return sorted(segments, key=lambda item: (item.start, item.end, item.speaker, item.segment_id))
