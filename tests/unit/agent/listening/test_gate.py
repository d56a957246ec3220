"""The gate on human speech from whisper to clipping, and on sounds that are none."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit import rtc

from agent.listening.gate import (
    PREROLL_SECONDS,
    REACH_BACK_SECONDS,
    TAIL_SECONDS,
    Captured,
    Gate,
)
from agent.listening.speech_detector import SileroModel
from tests.sound import RATE, Samples, spoken

CLIPS = ("austen_0870", "austen_0890", "austen_0920", "two_cities")
FRAME = RATE // 20
LONGEST_FRAME_SECONDS = 0.1
SYLLABLE_SECONDS = 0.08


@cache
def model() -> SileroModel:
    return SileroModel.load()


@cache
def clip(name: str) -> Samples:
    return spoken(name)


def at_level(samples: Samples, dbfs: float) -> np.ndarray:
    """A clip at a mean level; above -10 dBFS its peaks are cut off."""
    power = float(np.mean((samples / 32768.0) ** 2))
    return np.asarray(samples * 10 ** ((dbfs - 10 * np.log10(power)) / 20))


def recorded(samples: np.ndarray, noise_dbfs: float | None, seed: int = 0) -> Samples:
    """As a microphone with a noise of its own gives it."""
    if noise_dbfs is not None:
        noise = np.random.default_rng(seed).normal(0, 10 ** (noise_dbfs / 20) * 32768, len(samples))
        samples = samples + noise
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


class Sent:
    """What a gate has let through, as spans in seconds; it checks their order."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self.ends = 0

    def add(self, captured: Captured) -> None:
        begin = captured.at - captured.frame.duration
        if self.spans and abs(self.spans[-1][1] - begin) < 1e-6:
            self.spans[-1] = (self.spans[-1][0], captured.at)
        else:
            assert not self.spans or begin > self.spans[-1][1], "twice, or out of order"
            self.spans.append((begin, captured.at))

    @property
    def seconds(self) -> float:
        return sum(end - begin for begin, end in self.spans)

    def covers(self, begin: float, end: float) -> bool:
        return any(first <= begin and end <= last for first, last in self.spans)


def through(samples: Samples, *, frame: int = FRAME, active: bool = False) -> Sent:
    gate, sent = Gate(model().detector()), Sent()
    gate.is_active_speaker(active)
    for start in range(0, len(samples) - frame + 1, frame):
        part = samples[start : start + frame]
        audio = rtc.AudioFrame(part.tobytes(), RATE, 1, frame)
        passed = gate.push(Captured(audio, (start + frame) / RATE))
        sent.ends += passed.ended
        for captured in passed.captured:
            sent.add(captured)
    return sent


@cache
def syllables(name: str) -> tuple[float, float]:
    """Where a clip's first syllable begins and its last ends, in seconds, by its own loudness.

    A click of the tongue, or of a microphone, is shorter than one.
    """
    samples = clip(name).astype(np.float64)
    step = RATE // 100
    levels = np.sqrt(np.square(samples[: len(samples) // step * step]).reshape(-1, step).mean(1))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], levels > levels.max() * 0.05, [0]))))
    runs = edges.reshape(-1, 2)
    sounds = runs[runs[:, 1] - runs[:, 0] >= SYLLABLE_SECONDS * 100]
    return float(sounds[0][0]) / 100, float(sounds[-1][1]) / 100


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("dbfs", [-65.0, -55.0, -40.0, -24.0, -12.0, 0.0, 6.0])
@pytest.mark.parametrize("noise_below_db", [None, 30.0, 15.0])
def test_from_whisper_to_clipping_no_syllable_is_cut(
    name: str, dbfs: float, noise_below_db: float | None
) -> None:
    lead = 3.0
    samples = np.concatenate((quiet(lead), at_level(clip(name), dbfs), quiet(3.0)))
    noise = None if noise_below_db is None else max(-85.0, dbfs - noise_below_db)
    sent = through(recorded(samples, noise))
    first, last = syllables(name)
    assert sent.spans[0][0] <= lead + first
    assert sent.spans[-1][1] >= lead + last
    assert sent.spans[0][0] >= lead - 1.0
    assert sent.spans[-1][1] <= lead + len(clip(name)) / RATE + 2 * TAIL_SECONDS


def test_a_sentence_is_let_through_whole() -> None:
    first, last = syllables("austen_0870")
    samples = np.concatenate((quiet(2.0), clip("austen_0870"), quiet(2.0)))
    sent = through(recorded(samples, -70.0))
    assert sent.covers(2.0 + first, 2.0 + last)
    assert sent.ends == 1


def whispered(samples: Samples) -> np.ndarray:
    """Speech without a voice: the vocal tract of every 20 ms, with breath in place of pitch."""
    order, step = 16, RATE // 50
    signal = np.append(samples[0], samples[1:] - 0.95 * samples[:-1]).astype(np.float64)
    breath = np.random.default_rng(3).normal(0, 1, len(signal))
    out = np.zeros_like(signal)
    memory = np.zeros(order)
    for start in range(0, len(signal) - step, step):
        part = signal[start : start + step] * np.hanning(step)
        correlation = np.correlate(part, part, "full")[step - 1 : step + order]
        matrix = correlation[np.abs(np.subtract.outer(range(order), range(order)))]
        tract = np.linalg.solve(
            matrix + np.eye(order) * (correlation[0] * 1e-3 + 1), correlation[1:]
        )
        error = max(0.0, correlation[0] - tract @ correlation[1:])
        gain = np.sqrt(error / (step * 0.375))
        for index in range(start, start + step):
            value = gain * breath[index] + tract @ memory
            out[index] = value
            memory = np.concatenate(([value], memory[:-1]))
    return out


@pytest.mark.parametrize("active", [False, True])
def test_a_whisper_without_a_voice_is_heard_from_its_first_syllable(active: bool) -> None:
    samples = np.concatenate(
        (quiet(2.0), at_level(whispered(clip("austen_0870")).astype(np.int16), -42.0), quiet(2.0))
    )
    sent = through(recorded(samples, -75.0), active=active)
    first, last = syllables("austen_0870")
    assert sent.spans[0][0] <= 2.0 + first
    assert sent.seconds >= 0.9 * (last - first)


def noises() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    time = np.arange(12 * RATE) / RATE
    keys = np.zeros(12 * RATE)
    for start in random.integers(0, 11 * RATE, 90):
        keys[start : start + 800] += random.normal(0, 6000, 800) * np.exp(-np.arange(800) / 150)
    chord = sum(
        2000 * np.sin(2 * np.pi * tone * time) * (1 + np.sin(2 * np.pi * 2 * time + tone))
        for tone in (220, 277, 330, 440, 554)
    )
    return {
        "silence": quiet(12.0),
        "a fan": random.normal(0, 300, 12 * RATE),
        "a loud fan": random.normal(0, 6000, 12 * RATE),
        "mains hum": 3000 * np.sin(2 * np.pi * 50 * time) + 1000 * np.sin(2 * np.pi * 150 * time),
        "a beep": 6000 * np.sin(2 * np.pi * 880 * time) * (np.floor(time * 2) % 2),
        "a keyboard": keys,
        "music": np.asarray(chord),
    }


@pytest.mark.parametrize("name", list(noises()))
def test_what_is_no_speech_costs_nothing(name: str) -> None:
    assert through(recorded(noises()[name], -75.0)).spans == []


@pytest.mark.parametrize("name", ["a loud fan", "a keyboard", "music"])
def test_speech_is_found_in_noise(name: str) -> None:
    noise = noises()[name]
    voice = at_level(clip("austen_0890"), -20.0)
    samples = noise * 0.3
    samples[4 * RATE : 4 * RATE + len(voice)] += voice
    sent = through(recorded(samples, None))
    first, last = syllables("austen_0890")
    assert sent.spans[0][0] <= 4.0 + first
    assert sent.spans[-1][1] >= 4.0 + last - 0.1
    assert (
        sent.seconds <= len(voice) / RATE + REACH_BACK_SECONDS + PREROLL_SECONDS + 3 * TAIL_SECONDS
    )


@settings(max_examples=40, deadline=None)
@given(
    lead=st.floats(0.0, 4.0),
    dbfs=st.floats(-62.0, 3.0),
    noise_below_db=st.floats(18.0, 60.0),
    frame=st.integers(160, round(LONGEST_FRAME_SECONDS * RATE)),
    seed=st.integers(0, 2**31),
)
def test_whatever_the_level_the_noise_and_the_frames(
    lead: float, dbfs: float, noise_below_db: float, frame: int, seed: int
) -> None:
    samples = np.concatenate((quiet(lead), at_level(clip("austen_0920"), dbfs), quiet(2.5)))
    sent = through(recorded(samples, max(-85.0, dbfs - noise_below_db), seed), frame=frame)
    first, last = syllables("austen_0920")
    begun = round(lead * RATE) / RATE
    assert sent.spans[0][0] <= begun + first
    assert sent.spans[-1][1] >= begun + last
    assert sent.ends == len(sent.spans)


def test_what_stops_in_the_middle_is_over_and_nothing_is_sent_twice() -> None:
    gate = Gate(model().detector())
    samples = clip("austen_0870")
    passed = []
    for start in range(0, 3 * RATE, FRAME):
        audio = rtc.AudioFrame(samples[start : start + FRAME].tobytes(), RATE, 1, FRAME)
        passed += gate.push(Captured(audio, (start + FRAME) / RATE)).captured
    assert gate.is_open
    cut = gate.cut()
    assert (cut.ended, gate.is_open) == (True, False)
    passed += cut.captured
    # As much silence as would have been sent after it, had it been heard.
    (tail,) = [one for one in cut.captured if not any(one.frame.data)]
    assert 0 < tail.frame.duration <= TAIL_SECONDS
    assert tail.at == pytest.approx(3.0 + tail.frame.duration)
    assert not gate.cut().ended
    assert len({captured.at for captured in passed}) == len(passed)
