"""What takes part in a meeting besides captions and transcript: notes, answers, moderation.

The session hears and writes down; whatever makes something of the words is told of them here, so
that it can neither hold a caption back nor cost the meeting its transcript when it fails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from .segments import Meeting, Segment

logger = logging.getLogger("tallyroom.agent")


class MeetingObserver:
    """Told of one meeting as it goes; override what is wanted.

    Whatever is raised is logged by its kind, and changes nothing for the meeting or for others.
    """

    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        """The room is joined, and nobody is heard yet: keep it short.

        `said` is what an earlier run of the same job has written down.
        """

    def on_segment(self, segment: Segment) -> None:
        """Somebody's final words, on the meeting's clock; on the event loop, so never wait here.

        It comes before the words are on disk, and once for each time that they become final.
        """

    def on_speech(self, speaker: str) -> None:
        """Somebody begins to speak, or goes on: before there are any words. Never wait here."""

    def is_own_voice(self, segment: Segment) -> bool:
        """Whether these words are what the transcriber says aloud, heard by somebody's microphone.

        Asked before anybody is told of them. They are nobody's, and in no transcript then.
        """
        return False

    async def on_end(self) -> None:
        """All has been heard and the transcript's files are written; the room is still there.

        Observers are asked one after the other, so that a later one finds what an earlier one has
        made. LiveKit gives all of them together what is left of five minutes.
        """


class Observers:
    """A meeting's observers, as one that never raises."""

    def __init__(self, observers: Iterable[MeetingObserver] = ()) -> None:
        self._observers = tuple(observers)

    async def on_start(self, meeting: Meeting, said: Sequence[Segment]) -> None:
        """Tell each, in their order."""
        for observer in self._observers:
            try:
                await observer.on_start(meeting, said)
            except Exception as error:
                _log(observer, error)

    def on_segment(self, segment: Segment) -> None:
        """Tell each, in their order."""
        for observer in self._observers:
            try:
                observer.on_segment(segment)
            except Exception as error:
                _log(observer, error)

    def on_speech(self, speaker: str) -> None:
        """Tell each, in their order."""
        for observer in self._observers:
            try:
                observer.on_speech(speaker)
            except Exception as error:
                _log(observer, error)

    def is_own_voice(self, segment: Segment) -> bool:
        """Whether one of them knows the words as the transcriber's own."""
        for observer in self._observers:
            try:
                if observer.is_own_voice(segment):
                    return True
            except Exception as error:
                _log(observer, error)
        return False

    async def on_end(self) -> None:
        """Tell each, in their order."""
        for observer in self._observers:
            try:
                await observer.on_end()
            except Exception as error:
                _log(observer, error)


def _log(observer: MeetingObserver, error: Exception) -> None:
    # By its kind only: a message can have people's words in it.
    logger.error("%s failed: %s", type(observer).__name__, type(error).__name__)
