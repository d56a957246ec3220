"""Which of a meeting's segments a question is answered from.

All of them, where they fit. Else those that share the question's rarer words, with what was said
around them, and the latest: found by counting, which costs nothing. Whoever answers is told how
much it was, and so is whoever asked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..rendering import speaker_label
from ..segments import Segment

EVIDENCE_BYTES = 48_000
"""Of the meeting, in one question: some 12,000 tokens, which any model of today takes."""
_FOR_MATCHES = 0.75
"""Of these bytes; what is left is for the latest."""
_ENVELOPE_BYTES = 80
"""Of a segment, besides its words: number, time, and the form."""

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+")
_STEM_CHARACTERS = 6
"""Decide, decided and decision are to meet, in many languages, without a stemmer for each."""


class Evidence(NamedTuple):
    """What is looked at: segments with their numbers, from 1, in order; `of` so many."""

    segments: list[tuple[int, Segment]]
    of: int

    @property
    def is_all(self) -> bool:
        """Whether it is the whole meeting so far."""
        return len(self.segments) == self.of


def evidence(
    said: Sequence[Segment], about: Iterable[str], most_bytes: int = EVIDENCE_BYTES
) -> Evidence:
    """What to look at for a question; `about` is its text, and what it may follow upon."""
    sizes = [_size(segment) for segment in said]
    if sum(sizes) <= most_bytes:
        return Evidence(list(enumerate(said, start=1)), len(said))
    chosen: set[int] = set()
    used = 0

    def take(index: int, limit: float) -> None:
        nonlocal used
        if 0 <= index < len(said) and index not in chosen and used + sizes[index] <= limit:
            chosen.add(index)
            used += sizes[index]

    for index in _by_likeness(said, " ".join(about)):
        for near in (index, index - 1, index + 1):
            take(near, most_bytes * _FOR_MATCHES)
    for index in reversed(range(len(said))):
        take(index, most_bytes)
    return Evidence([(index + 1, said[index]) for index in sorted(chosen)], len(said))


def _by_likeness(said: Sequence[Segment], about: str) -> list[int]:
    """The segments that share words with it, the rarest words first; later before earlier."""
    terms = [_terms(f"{speaker_label(segment)} {segment.text}") for segment in said]
    frequency = Counter(term for found in terms for term in found)
    wanted = _terms(about)
    weight = {term: math.log(1 + len(said) / frequency[term]) for term in wanted if frequency[term]}
    scores = [sum(weight.get(term, 0.0) for term in found & wanted) for found in terms]
    found = [index for index, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda index: (scores[index], index), reverse=True)


def _terms(text: str) -> frozenset[str]:
    lowered = text.casefold()
    words = (word[:_STEM_CHARACTERS] for word in _WORD.findall(lowered) if len(word) > 2)
    pairs = (run[i : i + 2] for run in _UNSPACED.findall(lowered) for i in range(len(run) - 1))
    numbers = (word for word in _WORD.findall(lowered) if word.isdigit())
    return frozenset((*words, *pairs, *numbers))


def _size(segment: Segment) -> int:
    words = f"{speaker_label(segment)}{segment.text}"
    return len(words.encode(errors="replace")) + _ENVELOPE_BYTES
