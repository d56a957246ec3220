"""Telling what Whisper made up from what somebody said.

Given a sound without words, Whisper still writes down what was most often written under such ones:
"Thank you.", "you", "Mm." It knows better, though: it says how likely there was no speech, and how
sure it is of its words. Neither is enough by itself. Clipped or whispered speech is as unsure, and
a hum has little less of a voice in it than speech; so a text that is like those inventions is held
to a stricter measure than any other.

The measures were taken with tiny.en: 170 sounds of noise, music, typing, breathing and humming
between 0.8 and 8 s; and the demo's readers, in pieces from 0.8 s on, from a hundredth of their
level to clipping, and with noise 5 dB below them. Both sides are held by
tests/unit/agent/test_hallucinations.py.
"""

from __future__ import annotations

import re
import unicodedata

_SILENCE = (0.6, -1.0)
"""No-speech and log probability from which on OpenAI's own decoder takes a text for silence.
https://github.com/openai/whisper/blob/main/whisper/transcribe.py"""
_LIKELY_SILENCE = (0.5, -1.2)
"""Worse than all that was said aloud: speech that is understood that badly sounds like speech."""
_FORMULA = (0.6, -0.7)
_POOR = -1.0
_HUM_NO_SPEECH = 0.4
_LOOP = 2.4
"""More compressible than this is a loop, says OpenAI's decoder; of poor text only we believe it,
because people do repeat themselves."""

_FORMULAS = frozenset(
    {
        *("thank you", "thank you very much", "thank you so much", "thanks", "you"),
        *("thank you for watching", "thank you so much for watching", "thanks for watching"),
        *("thank you for listening", "thanks for listening", "please subscribe", "subscribe"),
        *("bye", "bye bye", "goodbye", "the end", "okay", "ok", "all right", "alright"),
        *("i'm sorry", "music", "music playing", "silence"),
    }
)
"""What subtitles say where nobody does."""
_CREDITS = ("amara.org", "sous-titr", "subtitles by", "untertitel", "字幕")
"""Who made the subtitles: what larger models invent most, in several languages."""
_HUMS = re.compile(r"(a+h+|h+u+h|h*m+|m*h+m+|u+h+|u+m+)( (a+h+|h+u+h|h*m+|m*h+m+|u+h+|u+m+))*")
"""Sounds of a closed mouth: what humming is heard as."""


def is_hallucinated(
    text: str, *, no_speech: float, log_probability: float, compression_ratio: float
) -> bool:
    """Whether nobody said this, by what Whisper says of it.

    Args:
        text: as Whisper has put it.
        no_speech: its probability, from 0 to 1, that there is no speech.
        log_probability: the mean of its tokens' log probabilities, 0 or less.
        compression_ratio: the text's length to that of its compressed form.
    """
    words = _words(text)
    if not words or _is_annotation(text):
        return True

    def worse_than(limit: tuple[float, float]) -> bool:
        return no_speech >= limit[0] and log_probability <= limit[1]

    if worse_than(_SILENCE) or worse_than(_LIKELY_SILENCE):
        return True
    poor = log_probability <= _POOR
    if _HUMS.fullmatch(words):
        return poor or no_speech >= _HUM_NO_SPEECH
    if words in _FORMULAS or any(credit in text.lower() for credit in _CREDITS):
        return poor or worse_than(_FORMULA)
    return poor and compression_ratio > _LOOP


def _words(text: str) -> str:
    """Letters, digits and apostrophes, lowercase, with one space between words."""
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    return " ".join(re.sub(r"[^\w']|_", " ", plain).split())


def _is_annotation(text: str) -> bool:
    """Whether it describes a sound instead of words, as `[Music]` or a note does."""
    return re.fullmatch(r"\s*(\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|[♪♫\s])+\s*", text) is not None
