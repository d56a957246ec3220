"""Whether the transcriber is spoken to, and what it is asked: by its name, and never otherwise.

In the chat that is a mention. Aloud it is the name where a call begins: at the start of a sentence,
and then a pause, a greeting before it, or a word that questions begin with. To speak of the
transcriber is not to speak to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..segments import Segment

PENDING_SECONDS = 8.0
"""After the bare name, how long the question may take to begin."""

_GREETING = r"(?:hey|hi|hello|ok|okay|excuse me|hallo|bonjour|hola|ciao)"
_FILLER = r"(?:so|and|well|um|uh|er|now|then|please|thanks)"
_ASKING = re.compile(
    r"(?:what|who|whom|whose|when|where|why|which|how|did|do|does|have|has|had|was there|were there"
    r"|is there|are there|is it|was it|can|could|would|will|should|please|tell|give|list|show"
    r"|summari[sz]e|remind|read|say|explain|repeat|find|check)\b",
    re.IGNORECASE,
)
_NO_QUESTION = re.compile(
    r"(?:please\s+)?(?:stop|be quiet|quiet|shut up|never ?mind|cancel|enough|thanks|thank you"
    r"|that'?s (?:all|enough|fine))(?:\s+(?:it|that|talking|speaking|now|please|very much))*[.!]*",
    re.IGNORECASE,
)
"""To stop it, it is enough to speak."""
_LEADING_MARKS = " \t\n,:;.!?…\u2013\u2014-"


class Names:
    """What the transcriber is called; upper and lower case are the same."""

    def __init__(self, names: Iterable[str]) -> None:
        known = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
        written = "|".join(re.escape(name) for name in known)
        # An STT knows no hyphens in a name.
        spoken = "|".join(r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", n))) for n in known)
        self._mention = re.compile(rf"(?<![\w@.])@(?:{written})(?![\w-])", re.IGNORECASE)
        self._call = re.compile(
            rf"(?:^|[.!?…]\s+)(?:{_FILLER}\b[,\s]*)*(?P<greeting>{_GREETING}\b[,\s]*)?"
            rf"(?:{spoken})\b(?P<mark>\s*[,:;.!?…\u2013\u2014]+|\s+-)?\s*(?P<rest>.*)$",
            re.IGNORECASE | re.DOTALL,
        )

    def typed(self, text: str) -> str | None:
        """What a chat message asks, empty where it only calls; None where it does not."""
        if not self._mention.search(text):
            return None
        return " ".join(self._mention.sub(" ", text).split()).lstrip(_LEADING_MARKS)

    def before_call(self, text: str) -> str:
        """What somebody said of other things before they called, in one go."""
        match = self._call.search(text.strip())
        return text.strip()[: match.start() + 1].strip() if match and match.start() else ""

    def spoken(self, text: str) -> str | None:
        """What is asked aloud, empty where there is only the name; None where nobody calls."""
        match = self._call.search(text.strip())
        if match is None:
            return None
        rest = match["rest"].strip().lstrip(_LEADING_MARKS)
        is_called = match["greeting"] or match["mark"] or not rest or _ASKING.match(rest)
        return rest if is_called else None


class SpokenCalls:
    """Questions among final segments, also where a pause parts the name from the question."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._called_at: dict[str, float] = {}

    def question(self, segment: Segment) -> str | None:
        """What the segment asks of the transcriber; None where it asks nothing of it."""
        asked = self._names.spoken(segment.text)
        called_at = self._called_at.pop(segment.speaker, None)
        if asked and _NO_QUESTION.fullmatch(asked):
            return None
        if asked == "":
            self._called_at[segment.speaker] = segment.end
            return None
        if asked is None and called_at is not None:
            waited = segment.start - called_at
            return segment.text.strip() if waited <= PENDING_SECONDS else None
        return asked
