"""How much one person may ask: so that nobody can spend a meeting's answers, or flood its chat."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from enum import Enum, auto

QUESTIONS_PER_MINUTE = 6
_WINDOW_SECONDS = 60.0


class Allowed(Enum):
    """What becomes of a question, for how many there have been."""

    YES = auto()
    NO = auto()
    """The first one too many: they are told so."""
    SILENTLY_NO = auto()
    """They have been told already."""


class Allowance:
    """Counts each person's questions over the last minute; `now` is in seconds."""

    def __init__(
        self, most: int = QUESTIONS_PER_MINUTE, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._now = now
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)
        self._told_at: dict[str, float] = {}

    def take(self, participant: str) -> Allowed:
        """Count a question; one that is refused is not counted."""
        now = self._now()
        asked = self._asked[participant]
        while asked and asked[0] <= now - _WINDOW_SECONDS:
            asked.popleft()
        if len(asked) < self._most:
            asked.append(now)
            return Allowed.YES
        return self.told(participant)

    def told(self, participant: str) -> Allowed:
        """Refuse a question, whatever for: somebody is told of it once a minute at most."""
        now = self._now()
        if self._told_at.get(participant, float("-inf")) > now - _WINDOW_SECONDS:
            return Allowed.SILENTLY_NO
        self._told_at[participant] = now
        return Allowed.NO
