"""Sounds without words: what a room, a desk, a radio and a closed mouth put into a microphone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tests.sound import RATE, Samples

Sound = npt.NDArray[np.float64]


def at_peak(sound: Sound, peak: float) -> Samples:
    """As 16-bit samples whose loudest is at `peak`."""
    loudest = float(np.abs(sound).max()) or 1.0
    return np.clip(sound / loudest * peak, -32768, 32767).astype(np.int16)


def room(seconds: float, seed: int = 1) -> Sound:
    """Air and machines: pink noise, and the hum of the mains."""
    return _noise(seconds, 0.5, seed) / 4 + 0.3 * _tone(50.0, seconds, harmonics=8, slope=1.0)


def hiss(seconds: float, seed: int = 1) -> Sound:
    """A microphone's own white noise."""
    return _noise(seconds, 0.0, seed)


def keyboard(seconds: float, seed: int = 1) -> Sound:
    """Typing, in bursts, each key going down and up."""
    random = np.random.default_rng(seed)
    sound = 0.002 * _noise(seconds, 0.0, seed)
    at = 0.1
    while at < seconds - 0.2:
        length = int(random.uniform(0.008, 0.03) * RATE)
        times = np.arange(length) / RATE
        click = random.standard_normal(length) * np.exp(-times * 4 * RATE / length)
        click += 0.7 * np.sin(2 * np.pi * random.uniform(900, 3500) * times) * np.exp(-times * 250)
        _add(sound, click * random.uniform(0.4, 1.0), at)
        _add(sound, 0.3 * click, at + random.uniform(0.05, 0.09))
        at += random.uniform(0.07, 0.2) if random.random() < 0.7 else random.uniform(0.3, 0.9)
    return sound


def music(seconds: float, seed: int = 1) -> Sound:
    """A tune over chords and a beat."""
    random = np.random.default_rng(seed)
    scale = 261.63 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    sound = np.zeros(int(seconds * RATE))
    at = 0.0
    while at < seconds:
        _add(sound, _struck(float(random.choice(scale)), 1.5, 3.0), at)
        root = float(random.choice(scale[:4])) / 2
        for interval in (1.0, 1.25, 1.5):
            _add(sound, 0.4 * _struck(root * interval, 2.0, 1.5), at)
        at += float(random.choice([0.25, 0.5, 1.0]))
    for beat in np.arange(0.0, seconds, 0.5):
        drum = _noise(0.08, 0.0, seed)
        _add(sound, drum * np.exp(-np.arange(len(drum)) / (0.015 * RATE)), float(beat))
    return sound


def humming(seconds: float, seed: int = 1) -> Sound:
    """A voice without words: a tune with the mouth closed."""
    random = np.random.default_rng(seed)
    notes: list[Sound] = []
    while sum(map(len, notes)) < seconds * RATE:
        length = random.uniform(0.5, 1.2)
        pitch = float(random.choice([130.8, 146.8, 164.8, 174.6, 196.0, 220.0]))
        note = _tone(pitch, length, harmonics=14, slope=1.8, vibrato=0.015)
        times = np.arange(len(note)) / RATE
        notes.append(note * np.minimum(1, np.minimum(times, length - times) / 0.08))
    tune = np.concatenate(notes)[: int(seconds * RATE)]
    return _resonant(tune, ((300, 80), (900, 120), (2500, 200)))


def breathing(seconds: float, seed: int = 1) -> Sound:
    """In and out, close to the microphone."""
    air = _resonant(_noise(seconds, 0.3, seed), ((600, 300), (1500, 400)))
    breaths: Sound = np.maximum(0, np.sin(2 * np.pi * np.arange(len(air)) / RATE / 3.5)) ** 2
    return air * breaths


NOISES: dict[str, Callable[[float, int], Sound]] = {
    "room": room,
    "hiss": hiss,
    "keyboard": keyboard,
    "music": music,
    "humming": humming,
    "breathing": breathing,
}


def _noise(seconds: float, slope: float, seed: int) -> Sound:
    """Noise whose amplitude falls with frequency: 0 is white, 0.5 pink."""
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    frequencies[0] = frequencies[1]
    noise: Sound = np.fft.irfft(spectrum / frequencies**slope, count)
    return noise / float(np.abs(noise).max())


def _tone(
    pitch: float, seconds: float, *, harmonics: int, slope: float, vibrato: float = 0.0
) -> Sound:
    times = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * pitch * times + vibrato * pitch / 5 * np.sin(2 * np.pi * 5 * times)
    tone = np.zeros(len(times))
    for number in range(1, harmonics + 1):
        tone += np.sin(number * phase) / number**slope
    return tone


def _struck(pitch: float, seconds: float, decay: float) -> Sound:
    tone = _tone(pitch, seconds, harmonics=8, slope=1.2)
    times = np.arange(len(tone)) / RATE
    return tone * np.minimum(1, times / 0.02) * np.exp(-decay * times)


def _resonant(sound: Sound, formants: tuple[tuple[float, float], ...]) -> Sound:
    frequencies = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = np.full(len(frequencies), 0.02)
    for centre, width in formants:
        gain += 1 / (1 + ((frequencies - centre) / width) ** 2)
    return np.fft.irfft(np.fft.rfft(sound) * gain, len(sound))


def _add(sound: Sound, other: Sound, at: float) -> None:
    start = int(at * RATE)
    room_left = max(0, len(sound) - start)
    sound[start : start + len(other)] += other[:room_left]
