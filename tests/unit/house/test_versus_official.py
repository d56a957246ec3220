"""What the comparison with the official transcriber works out by itself, without a meeting."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from agent.speech_model import SpeechModel
from benchmarks.hearing_provider import Final, HeardConnection, Message, marks_in
from benchmarks.mixed_meeting import OVERLAP_SECONDS, PEOPLE, microphone, turns
from benchmarks.people import SaidTurn
from benchmarks.runs import Runs
from benchmarks.understood import READINGS, read
from benchmarks.verdict import FIGURES, Figures, judge
from benchmarks.versus_official import wait_for_caption
from benchmarks.word_errors import captured, distance, first_captured, received, word_errors
from demo.clips import SAMPLE_RATE, Samples, load_clip
from demo.speaker import Caption

FRAME = 800


def _steady(first_at: float, count: int) -> list[Message]:
    return [Message(first_at + number * 0.05, FRAME) for number in range(count)]


def _connection(*messages: Message, finals: tuple[Final, ...] = ()) -> HeardConnection:
    audio = np.concatenate(
        [np.full(message.samples, number, np.int16) for number, message in enumerate(messages)]
    )
    return HeardConnection(0.0, 100.0, messages, finals, audio)


@pytest.mark.parametrize(("seconds", "count"), [(60.0, 6), (600.0, 56)])
def test_somebody_speaks_all_the_time_and_nobody_twice_running(seconds: float, count: int) -> None:
    spoken = turns(seconds)
    assert len(spoken) == count
    assert {turn.speaker for turn in spoken} == {person.identity for person in PEOPLE}
    assert all(one.speaker != other.speaker for one, other in pairwise(spoken))
    gaps = [round(after.begins - before.ends, 6) for before, after in pairwise(spoken)]
    assert gaps == [
        -OVERLAP_SECONDS if number % 3 == 2 else 0.0 for number in range(1, len(spoken))
    ]
    assert spoken[-1].ends >= seconds - OVERLAP_SECONDS


def test_microphones_hear_the_same_at_every_run() -> None:
    spoken = turns(60.0)
    for person in PEOPLE:
        heard = microphone(person, spoken, 63.0)
        assert len(heard) == 63 * SAMPLE_RATE
        assert np.array_equal(heard, microphone(person, spoken, 63.0))


def test_a_fan_is_always_heard_and_a_keyboard_in_silence() -> None:
    spoken = turns(60.0)
    seconds = spoken[-1].ends + 3.0
    heard = {person.identity: microphone(person, spoken, seconds) for person in PEOPLE}
    silent = slice(-SAMPLE_RATE, None)
    assert [identity for identity, sound in heard.items() if sound[silent].any()] == ["dan-fan"]
    typed = next(turn for turn in spoken if turn.speaker == "fay-keyboard")
    middle = round(typed.begins / 2) * SAMPLE_RATE
    assert heard["fay-keyboard"][middle : middle + SAMPLE_RATE].any()


def test_audio_was_captured_when_it_came_but_for_a_burst_of_what_was_kept() -> None:
    burst = [Message(10.0, FRAME)] * 10
    places = captured([*burst, *_steady(10.05, 60)])
    assert [place for _, place in places] == [FRAME * number for number in range(70)]
    assert places[0][0] == pytest.approx(9.5)
    assert places[-1][0] == pytest.approx(10.05 + 59 * 0.05 - 0.05)


def test_a_frame_in_two_messages_was_captured_before_the_last_of_them() -> None:
    frames = [
        Message(one.at + late, FRAME) for one in _steady(10.1, 60)[::2] for late in (0, 0.001)
    ]
    places = captured(frames)
    assert places[0][0] == pytest.approx(10.001)
    assert places[59][0] == pytest.approx(10.001 + 59 * 0.05)


def test_silence_that_a_client_adds_at_the_end_does_not_move_what_came_before() -> None:
    places = captured([*_steady(10.0, 100), *[Message(14.95, FRAME)] * 10])
    assert places[0][0] == pytest.approx(9.95)


def test_audio_after_a_pause_is_placed_after_it() -> None:
    places = captured([*_steady(10.0, 60), *_steady(20.0, 60)])
    assert places[59][0] == pytest.approx(12.9)
    assert places[60][0] == pytest.approx(19.95)


def test_a_turn_gets_what_was_sent_of_its_time() -> None:
    connection = _connection(*_steady(10.05, 100))
    audio = received([connection], 11.0, 12.0)
    assert len(audio) == 20 * FRAME
    assert (audio[0], audio[-1]) == (20, 39)
    assert len(received([], 11.0, 12.0)) == 0


def test_the_first_sound_heard_is_that_of_any_connection() -> None:
    later, sooner = _connection(*_steady(12.0, 9)), _connection(*_steady(11.0, 9))
    assert first_captured([later, sooner]) == pytest.approx(10.95)
    assert first_captured([]) is None


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("it was the best", "it was the best", 0),
        ("it was the best", "it was best", 1),
        ("it was the best", "it was the very best", 1),
        ("it was the best", "it is the worst", 2),
        ("it was the best", "", 4),
        ("", "hallucinated words", 2),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    assert distance(said.split(), heard.split()) == errors


class Understands:
    """A model that understands the same each time, and keeps what it was given."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.given: list[Samples] = []

    async def transcribe(self, samples: Samples, language: str, *, beam_size: int) -> Any:
        self.given.append(samples)
        return SimpleNamespace(text=self._text)


async def test_each_turn_is_transcribed_once_as_it_was_received() -> None:
    model = Understands("It was best")
    turns = [
        SaidTurn("ada", "it was the best", 11.0, 12.0),
        SaidTurn("ada", "it was best", 14.0, 15.0),
    ]
    connection = _connection(*_steady(10.05, 200))
    errors = await word_errors(turns, {"ada": [connection]}, cast(SpeechModel, model))
    assert (errors.count, errors.words) == (1, 7)
    assert errors.misheard == (("it was the best", "It was best"),)
    for turn, audio in zip(turns, model.given, strict=True):
        sent = received([connection], turn.started_at - 0.5, turn.ended_at + 0.8)
        assert np.array_equal(audio, sent)


async def test_of_nothing_no_word_has_arrived() -> None:
    model = Understands("words that nobody has said")
    turn = SaidTurn("ada", "it was the best", 10.5, 19.0)
    errors = await word_errors([turn], {}, cast(SpeechModel, model))
    assert (errors.count, errors.rate) == (4, 1.0)
    assert model.given == []


async def test_a_turn_is_read_at_every_millisecond_of_a_step() -> None:
    ada = dataclasses.replace(PEOPLE[0], repertoire=PEOPLE[0].repertoire[:1])
    said = " ".join(utterance.said for utterance in ada.repertoire[0])
    model = Understands(said.replace("made", "left", 1))
    (understood,) = await read(ada, cast(SpeechModel, model))
    assert understood.turn.said == said
    assert understood.errors == (1,) * READINGS
    # A step of Whisper's is 20 ms: 320 samples. Opus gives whole packets, which are as long.
    whole = load_clip("austen_0920").samples
    begins = [_begins(audio, whole) % 320 // 16 for audio in model.given]
    assert sorted(begins) == list(range(20))


def _begins(heard: Samples, said: Samples) -> int:
    """Where in a sound at 16 kHz another one, at 48 kHz, is most like it."""
    length = len(heard) + len(said) // 3
    spectra = (
        np.fft.rfft(heard.astype(np.float64), length),
        np.fft.rfft(said[::3].astype(np.float64), length),
    )
    return int(np.argmax(np.fft.irfft(spectra[0] * spectra[1].conj(), length)[: len(heard)]))


def _caption(text: str, at: float, *, final: bool = True) -> Caption:
    return Caption("SG", "TR", "ada", text, final, at)


def test_a_turn_waits_for_the_first_final_after_its_end() -> None:
    turn = SaidTurn("ada", "words", 10.0, 20.0)
    finals = (Final("utterance1", 15.0), Final("utterance2", 20.4), Final("utterance3", 25.0))
    captions = [
        _caption("utterance1 and", 15.1),
        _caption("utterance2 and", 20.2, final=False),
        _caption("utterance3 and", 25.1),
        _caption("utterance2 and", 20.5),
    ]
    connection = _connection(*_steady(10.0, 9), finals=finals)
    assert wait_for_caption(turn, captions, [connection]) == pytest.approx(0.5)
    assert wait_for_caption(turn, captions[:1], [connection]) is None
    assert marks_in("utterance2 and 3 seconds") == ["utterance2"]


OFFICIAL = Figures(
    connection_seconds=400.0,
    audio_seconds=400.0,
    cpu_seconds=20.0,
    memory_bytes=500e6,
    final_to_caption=(0.04, 0.06),
    speech_to_caption=(0.4, 0.5),
    finals_without_caption=0,
    turns_without_caption=0,
    word_error_rate=0.1,
    dispatch_to_seen=(0.3, 0.4),
    dispatch_to_heard=(0.3, 0.4),
    never_heard=0,
)


def test_what_is_just_within_its_bound_passes() -> None:
    ours = dataclasses.replace(
        OFFICIAL,
        connection_seconds=80.0,
        audio_seconds=80.0,
        cpu_seconds=10.0,
        final_to_caption=(0.02, 0.03),
    )
    verdicts = judge([OFFICIAL], [ours])
    assert [verdict.figure for verdict in verdicts] == list(FIGURES)
    written = {verdict.figure.name: verdict.row()[-1] for verdict in verdicts}
    assert set(written.values()) == {"PASS"}
    assert verdicts[0].row() == [
        "STT billed by connection",
        "400.0 s",
        "80.0 s",
        "0.200",
        "0.2",
        "PASS",
    ]


def test_what_is_just_over_its_bound_fails_by_name() -> None:
    worse = dataclasses.replace(
        OFFICIAL, connection_seconds=80.1, audio_seconds=80.0, finals_without_caption=1
    )
    missed = [
        verdict.figure.name for verdict in judge([OFFICIAL], [worse]) if verdict.holds is False
    ]
    assert missed == [
        "STT billed by connection",
        "CPU",
        "final to caption, p50",
        "final to caption, p95",
        "finals without caption",
    ]


def test_runs_are_kept_until_there_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    Runs(600.0, path).add("official", OFFICIAL)
    Runs(60.0, path).add("official", dataclasses.replace(OFFICIAL, cpu_seconds=1.0))
    later = Runs(600.0, path)
    later.add("Tallyroom", OFFICIAL)
    assert later.of("official") == Runs(600.0, path).of("Tallyroom") == [OFFICIAL]
    assert Runs(600.0).of("official") == []


def test_one_slow_run_is_no_verdict() -> None:
    slow = dataclasses.replace(OFFICIAL, cpu_seconds=90.0)
    cpu = judge([OFFICIAL], [OFFICIAL, slow, OFFICIAL])[2]
    assert (cpu.figure.name, cpu.ours, cpu.ratio) == ("CPU", 20.0, 1.0)
