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
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from agent.speech_model import BUNDLED_MODEL, SpeechModel
from demo.clips import SAMPLE_RATE, Samples
from tests.words import words

from .mixed_meeting import PEOPLE, Person, Turn, microphone
from .report import print_machine, print_table
from .word_errors import AFTER_SECONDS, RATE, distance

READINGS = 20
_LEAD_SECONDS = 0.45
_LATER_SECONDS = 0.011
_BIT_RATE = 32_000
_PACKET = SAMPLE_RATE // 50


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


def spoken(person: Person) -> Iterator[Iterable[Turn]]:
    """Each turn of somebody's, as it begins in each reading."""
    for utterances in person.repertoire:
        yield [
            Turn(person.identity, _LEAD_SECONDS + number * _LATER_SECONDS, utterances)
            for number in range(READINGS)
        ]


async def errors(person: Person, turn: Turn, model: SpeechModel) -> int:
    """How many words of a turn are misunderstood."""
    sound = microphone(person, [turn], turn.ends + AFTER_SECONDS)
    heard = await model.transcribe(through_opus(sound), "en", beam_size=5)
    return distance(words(turn.said), words(heard.text))


async def _read(people: Iterable[Person]) -> int:
    model = SpeechModel.load(BUNDLED_MODEL)
    rows, most = [], 0
    for person in people:
        for readings in spoken(person):
            found = [(await errors(person, turn, model), turn) for turn in readings]
            worst = max(count for count, _ in found)
            said = found[0][1].said
            rows.append([person.identity, f"{said[:40]}...", str(len(words(said))), str(worst)])
            most = max(most, worst)
    print_table(
        f"errors in the worst of {READINGS} readings", ("", "said", "words", "errors"), rows
    )
    return most


def main() -> int:
    """Print the table; exits with 1 where a word is misunderstood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    print_machine()
    return 1 if asyncio.run(_read(PEOPLE)) else 0


if __name__ == "__main__":
    sys.exit(main())
