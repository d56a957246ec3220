"""What six people say in a meeting, and what else their microphones hear, the same at every run.

Somebody speaks all the time, and one at a time but for overlaps. One voice is near clipping, one is
a quiet recording, one speaks beside a fan; a microphone has music in it while others speak, and one
that is silent otherwise a keyboard. Every microphone is open all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from demo.clips import SAMPLE_RATE, Samples, load_clip

OVERLAP_SECONDS = 1.0
_OVERLAPS_EVERY = 3
_SEED = 1859
_DISTURBANCE_SECONDS = 10.0
_LOUDEST = 32_767.0

Sound = NDArray[np.float64]


@dataclass(frozen=True)
class Utterance:
    """Part of a clip, from and to seconds, and the words in it."""

    clip: str
    begins: float
    ends: float
    said: str

    @property
    def seconds(self) -> float:
        """How long it takes to say."""
        return self.ends - self.begins


_DASHWOOD = Utterance(
    "austen_0870",
    0.0,
    7.1,
    "And Mr. John Dashwood had then leisure to consider how much there might be prudently in his"
    " power to do for them",
)
_AMIABLE = Utterance(
    "austen_0920",
    0.0,
    5.9,
    "Had he married a more amiable woman he might have been made still more respectable than he"
    " was",
)
_TIMES = Utterance(
    "two_cities",
    1.15,
    8.35,
    "It was the best of times, it was the worst of times. It was the age of wisdom, it was the age"
    " of foolishness.",
)
_HOPE = Utterance(
    "two_cities",
    17.52,
    28.38,
    "It was the spring of hope, it was the winter of despair. We had everything before us, we had"
    " nothing before us. We were all going direct to heaven, we were all going direct the other"
    " way.",
)


@dataclass(frozen=True)
class Person:
    """Who speaks: `gain` is how much louder than recorded; `repertoire` what, turn after turn.

    The recordings' other sentences are not said: of the complete recording, too, the model makes
    something else now and then (benchmarks/understood.py), which says nothing of what was lost.
    """

    identity: str
    gain: float
    repertoire: tuple[tuple[Utterance, ...], ...]


PEOPLE = (
    Person("ada-loud", 1.9, ((_AMIABLE, _DASHWOOD), (_DASHWOOD, _AMIABLE))),
    Person("ben-plain", 1.0, ((_DASHWOOD, _AMIABLE), (_AMIABLE, _DASHWOOD))),
    Person("cleo-quiet", 1.0, ((_HOPE,), (_TIMES,))),
    Person("dan-fan", 1.0, ((_DASHWOOD, _AMIABLE),)),
    Person("eve-music", 3.0, ((_HOPE,), (_TIMES,))),
    Person("fay-keyboard", 3.0, ((_TIMES,), (_HOPE,))),
)


@dataclass(frozen=True)
class Turn:
    """Somebody speaks; seconds from the meeting's beginning."""

    speaker: str
    begins: float
    utterances: tuple[Utterance, ...]

    @property
    def ends(self) -> float:
        """When the last sample is spoken."""
        return self.begins + sum(utterance.seconds for utterance in self.utterances)

    @property
    def said(self) -> str:
        """The words."""
        return " ".join(utterance.said for utterance in self.utterances)


def turns(seconds: float) -> list[Turn]:
    """Who speaks when in a meeting of about so long: everybody once a round, nobody twice running.

    Every third turn begins a second before the one before it is over.
    """
    found: list[Turn] = []
    for person in _order():
        at = found[-1].ends if found else 0.0
        if at >= seconds - OVERLAP_SECONDS:
            return found
        if len(found) % _OVERLAPS_EVERY == _OVERLAPS_EVERY - 1:
            at -= OVERLAP_SECONDS
        before = sum(turn.speaker == person.identity for turn in found)
        utterances = person.repertoire[before % len(person.repertoire)]
        found.append(Turn(person.identity, at, utterances))
    raise AssertionError("there is always a next round")


def _order() -> Iterator[Person]:
    chance = np.random.Generator(np.random.PCG64(_SEED))
    last = -1
    while True:
        order = [int(number) for number in chance.permutation(len(PEOPLE))]
        if order[0] == last:
            order.append(order.pop(0))
        yield from (PEOPLE[number] for number in order)
        last = order[-1]


def microphone(person: Person, spoken: list[Turn], seconds: float) -> Samples:
    """All that one person's microphone hears in so many seconds, at 48 kHz."""
    own = [turn for turn in spoken if turn.speaker == person.identity]
    heard = np.zeros(round(seconds * SAMPLE_RATE))
    for turn in own:
        voice = np.concatenate([_voice(utterance) for utterance in turn.utterances]) * person.gain
        start = round(turn.begins * SAMPLE_RATE)
        heard[start : start + len(voice)] += voice[: len(heard) - start]
    if person.identity == "dan-fan":
        heard += _fan(len(heard))
    elif person.identity == "eve-music":
        _disturb(heard, own, seconds, _music)
    elif person.identity == "fay-keyboard":
        _disturb(heard, own, seconds, _keyboard)
    return np.clip(heard, -_LOUDEST, _LOUDEST).astype(np.int16)


def _disturb(heard: Sound, own: list[Turn], seconds: float, sound: Callable[[int], Sound]) -> None:
    """Ten seconds of a sound in each silence of the microphone's that is long enough."""
    edges = [0.0, *(edge for turn in own for edge in (turn.begins, turn.ends)), seconds]
    for begins, ends in list(pairwise(edges))[::2]:
        middle = (begins + ends) / 2
        start = round((middle - _DISTURBANCE_SECONDS / 2) * SAMPLE_RATE)
        length = round(_DISTURBANCE_SECONDS * SAMPLE_RATE)
        if ends - begins > _DISTURBANCE_SECONDS + 2 and start + length <= len(heard):
            heard[start : start + length] += sound(length)


@cache
def _voice(utterance: Utterance) -> Sound:
    samples = load_clip(utterance.clip).samples
    begins, ends = (round(at * SAMPLE_RATE) for at in (utterance.begins, utterance.ends))
    return samples[begins:ends].astype(np.float64)


def _fan(length: int) -> Sound:
    """Broad noise, stronger towards the bass, at -50 dB of full scale."""
    chance = np.random.Generator(np.random.PCG64(_SEED))
    block = chance.standard_normal(10 * SAMPLE_RATE)
    spectrum = np.fft.rfft(block)
    frequency = np.fft.rfftfreq(len(block), 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.maximum(frequency, 80.0) ** 0.7)
    noise *= 100.0 / float(np.sqrt(np.mean(noise**2)))
    return np.resize(noise, length)


def _music(length: int) -> Sound:
    """Broken chords of plucked tones, with some overtones each."""
    played = np.zeros(length)
    note = SAMPLE_RATE // 4
    for number, start in enumerate(range(0, length, note)):
        chord = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6))[
            number // 8 % 3
        ]
        at = np.arange(min(4 * note, length - start)) / SAMPLE_RATE
        tone = sum(
            np.sin(2 * np.pi * chord[number % 3] * overtone * at) / overtone**1.5
            for overtone in (1, 2, 3, 4, 5)
        )
        played[start : start + len(at)] += 700.0 * tone * np.exp(-3.0 * at)
    return played


def _keyboard(length: int) -> Sound:
    """Keys, five a second and not evenly: each a short burst of noise as it goes down and up."""
    chance = np.random.Generator(np.random.PCG64(_SEED))
    struck = np.zeros(length)
    click = round(0.012 * SAMPLE_RATE)
    fading = np.exp(-np.arange(click) / (0.003 * SAMPLE_RATE))
    at = 0.0
    while (start := round(at * SAMPLE_RATE)) < length - 6 * click:
        for offset, loudness in ((0, 4000.0), (5 * click, 1500.0)):
            burst = chance.standard_normal(click) * fading * loudness
            struck[start + offset : start + offset + click] += burst
        at += float(chance.uniform(0.12, 0.28))
    return struck
