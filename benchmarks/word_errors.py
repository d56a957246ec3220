"""How many words were lost on the way to the provider: what it was sent, put into words.

The embedded model transcribes what the provider received of each turn, once, and the words are held
against those that the clips are known to have.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.speech_model import SpeechModel
from tests.words import words

from .hearing_provider import HeardConnection, Message
from .people import SaidTurn

RATE = 16_000
BEFORE_SECONDS = 0.5
AFTER_SECONDS = 0.8
"""A turn's audio is looked for from so long before it to so long after it."""
_PAUSE_SECONDS = 0.25
_TOGETHER_SECONDS = 0.01
"""Half of the shortest audio that is sent in one message."""
_AROUND = 40
"""Messages before and after one: two seconds each."""


@dataclass(frozen=True)
class Errors:
    """Word errors of a meeting: substitutions, insertions and deletions, of so many words.

    `misheard` are the turns with any: what was said, and what was made of what had been sent.
    """

    count: int
    words: int
    misheard: tuple[tuple[str, str], ...] = ()

    @property
    def rate(self) -> float:
        """The word error rate."""
        return self.count / self.words


def captured(messages: Sequence[Message]) -> list[tuple[float, int]]:
    """When the beginning of each message was captured, and with which sample it begins.

    Audio mostly arrives as fast as it is captured. What arrives in a burst does not: what a gate
    had kept comes before the rest, and silence that a client makes up comes after it. So how late
    audio is, is the median of what arrives around it; anew after each pause. A frame that comes in
    several messages has waited for its last one: it is as late as that.
    """
    found: list[tuple[float, int]] = []
    first = 0
    for stretch in _stretches(messages):
        late: list[float] = []
        position = 0.0
        for frame in _frames(stretch):
            position += sum(message.samples for message in frame) / RATE
            late += [frame[-1].at - position] * len(frame)
        position = 0.0
        for number, message in enumerate(stretch):
            around = late[max(0, number - _AROUND) : number + _AROUND + 1]
            found.append((position + statistics.median(around), first))
            position += message.samples / RATE
            first += message.samples
    return found


def _stretches(messages: Sequence[Message]) -> list[list[Message]]:
    return _split(messages, _PAUSE_SECONDS)


def _frames(messages: Sequence[Message]) -> list[list[Message]]:
    return _split(messages, _TOGETHER_SECONDS)


def _split(messages: Sequence[Message], pause_seconds: float) -> list[list[Message]]:
    """What came together: a new part begins after each longer pause."""
    parts: list[list[Message]] = []
    for number, message in enumerate(messages):
        if number == 0 or message.at - messages[number - 1].at > pause_seconds:
            parts.append([])
        parts[-1].append(message)
    return parts


def first_captured(connections: Iterable[HeardConnection]) -> float | None:
    """When the first sound that any of them was sent was captured."""
    return min((captured(one.messages)[0][0] for one in connections if one.messages), default=None)


def received(
    connections: Iterable[HeardConnection], began: float, ended: float
) -> NDArray[np.int16]:
    """What was sent of a stretch of time, in the order of the connections."""
    parts = [np.empty(0, np.int16)]
    for one in connections:
        for (at, first), message in zip(captured(one.messages), one.messages, strict=True):
            if began <= at < ended:
                parts.append(one.audio[first : first + message.samples])
    return np.concatenate(parts)


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """The least substitutions, insertions and deletions from one to the other."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row[0] = row[0], number
        for index, other in enumerate(heard, 1):
            before, row[index] = (
                row[index],
                min(row[index] + 1, row[index - 1] + 1, before + (word != other)),
            )
    return row[-1]


async def misunderstood(said: str, audio: NDArray[np.int16], model: SpeechModel) -> tuple[int, str]:
    """How many words of what was said the model gets wrong, and what it makes of the audio."""
    text = (await model.transcribe(audio, "en", beam_size=5)).text if len(audio) else ""
    return distance(words(said), words(text)), text


async def word_errors(
    turns: Iterable[SaidTurn],
    connections_of: dict[str, list[HeardConnection]],
    model: SpeechModel,
) -> Errors:
    """Of all turns; `connections_of` has each speaker's."""
    count = total = 0
    misheard = []
    for turn in turns:
        audio = received(
            connections_of.get(turn.speaker, []),
            turn.started_at - BEFORE_SECONDS,
            turn.ended_at + AFTER_SECONDS,
        )
        errors, text = await misunderstood(turn.said, audio, model)
        if errors:
            misheard.append((turn.said, text))
        count += errors
        total += len(words(turn.said))
    return Errors(count, total, tuple(misheard))
