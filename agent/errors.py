"""Every error the transcriber raises, in one tree.

    TranscriberError
    |-- SettingsError         a setting that cannot be used
    |-- DispatchError         a dispatch that asks for what cannot be done, or that got no agent
    |-- SpeechModelError      the embedded speech model is missing, broken, or lacks a language
    |-- TranscriptError       a transcript that cannot be written or read back
    |-- SearchError           the index of transcripts cannot be read or written
    |-- RecordingError        LiveKit Egress is not there, or does not record
    |-- ModerationError       the hook that is to moderate cannot be found
    |-- LanguageModelError    an LLM that did not answer
    |-- NotesError            notes that are not there, or that cannot be made or read
    `-- AnswersError          the questions and answers of a meeting cannot be written or read

A job request is declined on `DispatchError`, the command line exits with 1 on any of them.
Messages name the offending value and what to do about it.
"""

from __future__ import annotations


class TranscriberError(Exception):
    """Base of everything that `agent` raises on purpose."""


class SettingsError(TranscriberError, ValueError):
    """A setting that cannot be used."""


class DispatchError(TranscriberError, ValueError):
    """A dispatch that asks for what cannot be done, or for which no agent came."""


class SpeechModelError(TranscriberError):
    """The embedded speech model cannot be loaded, or does not speak the language."""


class TranscriptError(TranscriberError):
    """A transcript cannot be written or read back."""


class SearchError(TranscriberError):
    """The index of transcripts cannot be read or written."""


class RecordingError(TranscriberError):
    """LiveKit Egress is not there, or does not record."""


class ModerationError(TranscriberError):
    """The hook that is to moderate cannot be found, or is none."""


class LanguageModelError(TranscriberError):
    """An LLM did not answer; the message says how, never what it was asked.

    `status` is the HTTP status that it refused with, 0 where it never came to that. What is refused
    is not billed.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same question can be worth asking again."""
        return self.status in (0, 408, 409, 429) or self.status >= 500


class NotesError(TranscriberError):
    """Notes are not there, or cannot be made, written or read."""


class AnswersError(TranscriberError):
    """The questions and answers of a meeting cannot be written or read."""
