"""Whether the embedded model understands every turn of the meeting, at the microphone.

Whisper cuts sound into steps of 20 ms: what it is not sure of, it understands or not by where the
steps fall. A comparison of what two transcribers sent would show that chance. So each turn is read
twenty times, through Opus and nothing else, each time a millisecond further into the step: what is
always understood here, and not of what a provider was sent, was lost on the way.

    python -m benchmarks.understood
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from agent.speech_model import BUNDLED_MODEL, SpeechModel
from demo.clips import SAMPLE_RATE, Samples
from tests.words import words

from .mixed_meeting import PEOPLE, Person, Turn, Utterance, microphone
from .report import print_machine, print_table
from .word_errors import AFTER_SECONDS, RATE, misunderstood

READINGS = 20
_LEAD_SECONDS = 0.45
_LATER_SECONDS = 0.011
_BIT_RATE = 32_000
_PACKET = SAMPLE_RATE // 50

_LEFT_OUT = Person(
    "not said",
    1.0,
    (
        (
            Utterance(
                "austen_0890",
                0.2,
                5.2,
                "unless to be rather cold hearted and rather selfish is to be ill disposed",
            ),
        ),
        (
            Utterance(
                "two_cities",
                8.78,
                16.78,
                "It was the epoch of belief, it was the epoch of incredulity. It was the season of"
                " light, it was the season of darkness.",
            ),
        ),
        (
            Utterance(
                "two_cities",
                29.06,
                41.74,
                "In short, the period was so far like the present period that some of its noisiest"
                " authorities insisted on its being received, for good or for evil, in the"
                " superlative degree of comparison only.",
            ),
        ),
    ),
)
"""What else there is of the recordings."""


def through_opus(samples: Samples) -> NDArray[np.int16]:
    """What comes out at the other end, at 16 kHz; some milliseconds later."""
    encoder = av.AudioCodecContext.create("libopus", "w")
    decoder = av.AudioCodecContext.create("libopus", "r")
    for codec in (encoder, decoder):
        codec.sample_rate, codec.layout, codec.format = SAMPLE_RATE, "mono", "s16"
    encoder.bit_rate = _BIT_RATE
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    decoded = (
        frame for packet in _packets(encoder, samples) for frame in [*decoder.decode(packet)]
    )
    heard = [out for frame in [*decoded, None] for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in heard])


def _packets(encoder: av.AudioCodecContext, samples: Samples) -> Iterator[av.Packet[Any]]:
    padded = np.pad(samples, (0, -len(samples) % _PACKET))
    for at in range(0, len(padded), _PACKET):
        frame = av.AudioFrame.from_ndarray(
            padded[np.newaxis, at : at + _PACKET], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, Fraction(1, SAMPLE_RATE)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


@dataclass(frozen=True)
class Understood:
    """A turn, and how many of its words were misunderstood in each reading."""

    turn: Turn
    errors: tuple[int, ...]

    def row(self) -> list[str]:
        """As the table has it."""
        return [
            f"{self.turn.speaker}: {self.turn.said[:32]}...",
            str(len(words(self.turn.said))),
            str(sum(map(bool, self.errors))),
            str(max(self.errors)),
        ]


async def read(person: Person, model: SpeechModel) -> list[Understood]:
    """Each turn of somebody's, so many times."""
    return [
        Understood(
            Turn(person.identity, 0.0, utterances),
            tuple([await _errors(person, utterances, number, model) for number in range(READINGS)]),
        )
        for utterances in person.repertoire
    ]


async def _errors(
    person: Person, utterances: tuple[Utterance, ...], number: int, model: SpeechModel
) -> int:
    turn = Turn(person.identity, _LEAD_SECONDS + number * _LATER_SECONDS, utterances)
    sound = microphone(person, [turn], turn.ends + AFTER_SECONDS)
    errors, _ = await misunderstood(turn.said, through_opus(sound), model)
    return errors


async def _main() -> int:
    model = SpeechModel.load(BUNDLED_MODEL)
    said = [one for person in PEOPLE for one in await read(person, model)]
    left_out = await read(_LEFT_OUT, model)
    print_table(
        f"in {READINGS} readings",
        ("", "words", "readings with errors", "errors in the worst"),
        [one.row() for one in [*said, *left_out]],
    )
    return 1 if any(max(one.errors) for one in said) else 0


def main() -> int:
    """Print the table; exits with 1 where a word of the meeting's is misunderstood."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print_machine()
    return asyncio.run(_main())


if __name__ == "__main__":
    sys.exit(main())
