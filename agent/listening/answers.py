"""What STT has answered of one take so far, by which it is known whether more is to come.

Providers differ in what they say of speech that has begun: one announces it, another shows words,
and one says that it is over before it has put it into words.
"""

from __future__ import annotations

from livekit.agents import stt

_NOTHING_BEGUN = (stt.SpeechEventType.FINAL_TRANSCRIPT, stt.SpeechEventType.END_OF_SPEECH)

_TRANSCRIBED = (stt.SpeechEventType.FINAL_TRANSCRIPT, stt.SpeechEventType.RECOGNITION_USAGE)
"""Where a provider says that speech is over before it has put it into words."""


class Answers:
    """Those of a take's streams, one after the other.

    Attributes:
        finals: how many finals with words in them have come, of all streams.
        has_words: whether the present stream has answered any, final or not.
        is_begun: whether speech has begun of which no final has come.
        is_shown: whether the present stream's last words are not final.
        last_at: when the last answer came, in seconds on the meeting's clock.
    """

    def __init__(self) -> None:
        self.finals = 0
        self.has_words = False
        self.is_begun = False
        self.is_shown = False
        self.last_at = 0.0

    def begin_stream(self) -> None:
        """From now on another stream answers."""
        self.has_words = self.is_shown = False

    def take(self, event: stt.SpeechEvent, *, ends: bool, at: float) -> None:
        """An answer that has come now; `ends` says whether streams end after their audio."""
        is_final = event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        has_words = bool(event.alternatives) and bool(event.alternatives[0].text.strip())
        if event.type is stt.SpeechEventType.START_OF_SPEECH or (has_words and not is_final):
            self.is_begun = True
        elif event.type in (_NOTHING_BEGUN if ends else _TRANSCRIBED):
            self.is_begun = False
        if ends and event.type is stt.SpeechEventType.END_OF_SPEECH:
            self.is_shown = False
        if has_words:
            self.has_words = True
            self.is_shown = True
        if is_final and event.alternatives:
            self.is_shown = False
            self.finals += has_words
        self.last_at = at


def has_times(said: stt.SpeechData) -> bool:
    """Some providers do not say when something was said, and leave both times at 0."""
    return said.end_time > said.start_time
