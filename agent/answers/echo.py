"""Whether somebody's words are the transcriber's own, heard by their microphone.

Agents are not listened to, but a loudspeaker beside a microphone without echo cancellation brings
an answer back as its owner's speech.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORD = re.compile(r"\w+")
_LEAST_WORDS = 3
"""A "yes" or a "Monday" of somebody's is their own."""
_SHARE = 0.8
_EARLY_SECONDS, _LATE_SECONDS = 0.5, 3.0
_KEPT_SECONDS = 120.0


@dataclass
class _Utterance:
    words: list[str]
    began_at: float
    ended_at: float | None = None


class Echo:
    """Remembers what was said aloud, and when, on the meeting's clock in seconds."""

    def __init__(self) -> None:
        self._utterances: list[_Utterance] = []

    def began(self, text: str, at: float) -> None:
        """We begin to say something."""
        self._utterances = [
            one
            for one in self._utterances
            if one.ended_at is None or one.ended_at > at - _KEPT_SECONDS
        ]
        self._utterances.append(_Utterance(_words(text), at))

    def ended(self, at: float) -> None:
        """We have stopped."""
        for one in self._utterances:
            if one.ended_at is None:
                one.ended_at = at

    def is_echo(self, text: str, start: float, end: float) -> bool:
        """Whether words from then to then are nearly all ours, in our order, while we said them."""
        words = _words(text)
        if len(words) < _LEAST_WORDS:
            return False
        return any(
            _likeness(words, one.words) >= _SHARE
            for one in self._utterances
            if start >= one.began_at - _EARLY_SECONDS
            and (one.ended_at is None or end <= one.ended_at + _LATE_SECONDS)
        )


def _likeness(heard: list[str], said: list[str]) -> float:
    matcher = SequenceMatcher(a=heard, b=said, autojunk=False)
    # What is heard in one go was said in one go: words from all over are no echo.
    found = max((block.size for block in matcher.get_matching_blocks()), default=0)
    together = sum(block.size for block in matcher.get_matching_blocks())
    return together / len(heard) if found >= min(_LEAST_WORDS, len(heard)) else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
