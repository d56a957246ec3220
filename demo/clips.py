"""The speech that the meetings are held with: recorded people, and the words they say.

The words are what makes a transcript checkable, so they travel with the audio, and so does where
it comes from.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).resolve().parent / "speech"
SAMPLE_RATE = 48_000

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording, ready to be spoken: 48 kHz, mono, 16 bit, as a browser's microphone has it.

    `said` is word for word what is heard; `source` and `licence` are its provenance.
    """

    name: str
    samples: Samples
    said: str
    source: str
    licence: str

    @property
    def seconds(self) -> float:
        """How long it takes to say."""
        return len(self.samples) / SAMPLE_RATE


def clip_names() -> list[str]:
    """The names of the clips that come with the demo."""
    return list(_catalogue())


def load_clip(name: str) -> Clip:
    """The clip with this name in speech/clips.toml, decoded.

    Raises:
        KeyError: there is none; the message names those there are.
    """
    entries = _catalogue()
    if name not in entries:
        raise KeyError(f"no clip {name!r}: there are {', '.join(entries)}")
    entry = entries[name]
    samples = decode(FOLDER / entry["file"])
    return Clip(name, samples, entry["said"], entry["source"], entry["licence"])


def decode(path: Path) -> Samples:
    """The audio of a file, FLAC or WAV or what else FFmpeg reads, at 48 kHz, mono.

    Raises:
        av.FFmpegError: it cannot be read as audio.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    parts: list[Samples] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            parts += [_samples(part) for part in resampler.resample(frame)]
        parts += [_samples(part) for part in resampler.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _samples(frame: av.AudioFrame) -> Samples:
    return frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)


def _catalogue() -> dict[str, dict[str, str]]:
    text = (FOLDER / "clips.toml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, str]] = tomllib.loads(text)
    return entries
