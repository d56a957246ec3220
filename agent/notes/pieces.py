"""The meeting's words in pieces: numbered for the LLM, and none longer than a fold takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..rendering import clock, one_line, speaker_label
from ..segments import Segment

_LEAST_TEXT_BYTES = 200
"""Of a piece: its envelope can be larger than a small fold, and it must come to an end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment, or a part of one that is longer than a fold; all its parts have its number.

    `size` is in bytes, as it is in a prompt.
    """

    number: int
    segment: Segment
    text: str
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        text = json.dumps(self.to_json(), ensure_ascii=False)
        object.__setattr__(self, "size", len(text.encode(errors="replace")))

    def to_json(self) -> dict[str, object]:
        """As the LLM reads it."""
        return {
            "number": self.number,
            "at": clock(self.segment.start),
            "speaker": speaker_label(self.segment),
            "text": self.text,
        }


def pieces_of(number: int, segment: Segment, most_bytes: int) -> Iterator[Piece]:
    """A segment as pieces, of together all its words; none where nothing was said."""
    text = one_line(segment.text)
    if not text:
        return
    envelope = Piece(number, segment, "").size
    for part in _split(text, max(_LEAST_TEXT_BYTES, most_bytes - envelope)):
        yield Piece(number, segment, part)


def _split(text: str, most_bytes: int) -> Iterator[str]:
    """By words, and within a word only where it is longer than a whole part."""
    part: list[str] = []
    size = 0
    for word in _words(text, most_bytes):
        length = _json_size(word) + 1
        if part and size + length > most_bytes:
            yield " ".join(part)
            part, size = [], 0
        part.append(word)
        size += length
    if part:
        yield " ".join(part)


def _words(text: str, most_bytes: int) -> Iterator[str]:
    for word in text.split(" "):
        # A character is at most six bytes in JSON.
        step = max(1, most_bytes // 6) if _json_size(word) + 1 > most_bytes else len(word) or 1
        for start in range(0, len(word), step):
            yield word[start : start + step]


def _json_size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode(errors="replace")) - 2
