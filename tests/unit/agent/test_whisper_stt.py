"""The embedded STT as LiveKit sees it: streams of audio in, events out."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import stt, vad

from agent.errors import SpeechModelError
from agent.speech_model import SpeechModel
from agent.whisper_stt import LONGEST_UTTERANCE_SECONDS, PREROLL_SECONDS, WhisperSTT, quietest
from demo.clips import load_clip
from tests.sound import RATE, Samples, frames, silence, spoken
from tests.words import recognised, words

Kind = stt.SpeechEventType

NEAR_SECONDS = 0.6


@pytest.fixture
def engine(speech_model: SpeechModel, voice_finder: vad.VAD) -> WhisperSTT:
    return WhisperSTT(speech_model, voice_finder, language="en-GB")


async def transcribe(engine: WhisperSTT, *audio: Iterator[rtc.AudioFrame]) -> list[stt.SpeechEvent]:
    """Everything that comes of audio which is pushed as fast as it goes."""
    stream = engine.stream()
    for part in audio:
        for frame in part:
            stream.push_frame(frame)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    return events


def finals(events: list[stt.SpeechEvent]) -> list[stt.SpeechData]:
    return [event.alternatives[0] for event in events if event.type is Kind.FINAL_TRANSCRIPT]


def loud_part(samples: Samples) -> tuple[float, float]:
    """Where the speech in a clean recording begins and ends, in seconds."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 500)
    return loud[0] / RATE, loud[-1] / RATE


async def test_utterances_with_words_and_times(engine: WhisperSTT) -> None:
    one, two = spoken("austen_0890"), spoken("austen_0920")
    events = await transcribe(engine, silence(2.0), frames(one), silence(2.0), frames(two))
    said = finals(events)
    assert (
        recognised(
            load_clip("austen_0890").said + " " + load_clip("austen_0920").said,
            " ".join(data.text for data in said),
        )
        >= 0.85
    )

    first, last = loud_part(one), loud_part(two)
    second_begins = 2.0 + len(one) / RATE + 2.0
    assert said[0].start_time == pytest.approx(2.0 + first[0], abs=NEAR_SECONDS)
    assert said[-1].end_time == pytest.approx(second_begins + last[1], abs=NEAR_SECONDS)
    of_first = [data for data in said if data.start_time < second_begins - 1.0]
    assert of_first[-1].end_time == pytest.approx(2.0 + first[1], abs=NEAR_SECONDS)
    assert said[len(of_first)].start_time == pytest.approx(
        second_begins + last[0], abs=NEAR_SECONDS
    )
    for data in said:
        assert data.language == "en"
        assert 0.0 < data.confidence <= 1.0
        assert data.start_time < data.end_time


async def test_each_final_states_the_audio_that_it_took(engine: WhisperSTT) -> None:
    clip = spoken("austen_0870")
    events = await transcribe(engine, frames(clip), silence(1.5))
    usages = [event for event in events if event.type is Kind.RECOGNITION_USAGE]
    made = [event for event in events if event.type is Kind.FINAL_TRANSCRIPT]
    assert made
    assert [event.request_id for event in usages] == [event.request_id for event in made]
    assert len({event.request_id for event in usages}) == len(usages)
    audio = sum(
        event.recognition_usage.audio_duration for event in usages if event.recognition_usage
    )
    assert 0.8 * len(clip) / RATE < audio <= len(clip) / RATE + 1.5
    kinds = [event.type for event in events]
    assert kinds[0] is Kind.START_OF_SPEECH
    assert kinds[-1] is Kind.END_OF_SPEECH


async def test_the_end_of_input_brings_out_what_was_begun(engine: WhisperSTT) -> None:
    clip = spoken("austen_0870")[: int(3.0 * RATE)]
    events = await transcribe(engine, frames(clip))
    heard = " ".join(data.text for data in finals(events))
    assert recognised("And Mr. John Dashwood had then leisure", heard) >= 0.85
    assert finals(events)[-1].end_time == pytest.approx(3.0, abs=0.1)


async def test_silence_is_nothing(engine: WhisperSTT) -> None:
    assert await transcribe(engine, silence(5.0)) == []


async def test_long_speech_is_cut_and_no_word_is_lost_or_doubled(engine: WhisperSTT) -> None:
    said = load_clip("two_cities").said
    events = await transcribe(engine, frames(spoken("two_cities")))
    parts = finals(events)
    heard = " ".join(data.text for data in parts)
    assert recognised(said, heard) >= 0.95
    assert len(words(heard)) == pytest.approx(len(words(said)), abs=4)
    for data in parts:
        assert data.end_time - data.start_time <= LONGEST_UTTERANCE_SECONDS + PREROLL_SECONDS
    for before, after in pairwise(parts):
        assert before.end_time <= after.start_time + PREROLL_SECONDS


def without_pauses(seconds: float) -> Samples:
    """Speech that never stops for half a second, as the voice finder needs to end an utterance."""
    whole = spoken("two_cities")
    step = RATE // 100
    loud = [
        whole[start : start + step]
        for start in range(0, len(whole) - step, step)
        if np.abs(whole[start : start + step].astype(np.int32)).mean() > 60
    ]
    return np.concatenate(loud)[: int(seconds * RATE)]


async def test_somebody_who_does_not_pause_is_cut_where_it_is_quiet(engine: WhisperSTT) -> None:
    audio = without_pauses(30.0)
    events = await transcribe(engine, frames(audio))
    parts = finals(events)
    assert len(parts) >= 2
    assert max(data.end_time - data.start_time for data in parts) <= (
        LONGEST_UTTERANCE_SECONDS + 0.05
    )
    for before, after in pairwise(parts):
        assert before.end_time == pytest.approx(after.start_time, abs=0.001)
    taken = sum(
        event.recognition_usage.audio_duration for event in events if event.recognition_usage
    )
    assert taken == pytest.approx(len(audio) / RATE, abs=0.5)


def test_the_quietest_moment() -> None:
    loud = np.full(RATE, 1000, np.int16)
    loud[int(0.55 * RATE) : int(0.75 * RATE)] = 1
    assert 0.6 <= quietest(loud) / RATE <= 0.7
    assert quietest(np.zeros(10, np.int16)) == 10


class Held:
    """The model's one thread, held until it is let go."""

    def __init__(self, model: SpeechModel) -> None:
        self._gate = threading.Event()
        model._executor.submit(self._gate.wait, 30)

    def let_go(self) -> None:
        self._gate.set()


async def test_words_that_count_go_before_interims(
    engine: WhisperSTT, speech_model: SpeechModel
) -> None:
    """While the model is busy with somebody's words, no interim is asked for."""
    asked: list[int] = []
    transcribe_ = speech_model.transcribe

    async def watched(samples: Samples, language: str, *, beam_size: int) -> object:
        asked.append(beam_size)
        return await transcribe_(samples, language, beam_size=beam_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech_model, "transcribe", watched)
        held = Held(speech_model)
        busy = asyncio.create_task(transcribe_(np.zeros(RATE, np.int16), "en", beam_size=1))
        await asyncio.sleep(0)
        try:
            stream = engine.stream()
            for part in (frames(spoken("austen_0870")), silence(1.5)):
                for frame in part:
                    stream.push_frame(frame)
            stream.end_input()
            await _until_asked(asked)
        finally:
            held.let_go()
        events = [event async for event in stream]
        await stream.aclose()
        await busy
    assert set(asked) == {5}
    assert finals(events)
    assert not [event for event in events if event.type is Kind.INTERIM_TRANSCRIPT]


async def _until_asked(asked: list[int]) -> None:
    async with asyncio.timeout(30):
        while not asked:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_with_time_to_spare_there_are_interims_of_the_same_words(engine: WhisperSTT) -> None:
    stream = engine.stream()
    for frame in frames(spoken("austen_0870")[: int(4.0 * RATE)]):
        stream.push_frame(frame)
    interim = None
    async with asyncio.timeout(30):
        async for event in stream:
            if event.type is Kind.INTERIM_TRANSCRIPT:
                interim = event.alternatives[0]
                break
    stream.end_input()
    rest = [event async for event in stream]
    await stream.aclose()
    assert interim is not None
    assert interim.text
    assert interim.start_time == finals(rest)[0].start_time
    assert not [event for event in rest if event.type is Kind.INTERIM_TRANSCRIPT]


async def test_two_people_share_the_model(engine: WhisperSTT) -> None:
    names = ("austen_0890", "austen_0920")
    heard = await asyncio.gather(
        *(transcribe(engine, frames(spoken(name)), silence(1.0)) for name in names)
    )
    for name, events in zip(names, heard, strict=True):
        text = " ".join(data.text for data in finals(events))
        assert recognised(load_clip(name).said, text) >= 0.85


async def test_a_stream_that_is_closed_while_somebody_speaks_leaves_nothing_behind(
    engine: WhisperSTT, speech_model: SpeechModel
) -> None:
    before = asyncio.all_tasks()
    stream = engine.stream()
    for frame in frames(spoken("austen_0870")):
        stream.push_frame(frame)
    async with asyncio.timeout(30):
        async for event in stream:
            if event.type is Kind.START_OF_SPEECH:
                break
    await stream.aclose()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while asyncio.all_tasks() != before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


async def test_a_recording_at_once(engine: WhisperSTT) -> None:
    clip = load_clip("austen_0890")
    stereo = np.repeat(clip.samples, 2)
    frame = rtc.AudioFrame(stereo.tobytes(), 48_000, 2, len(clip.samples))
    event = await engine.recognize(frame)
    assert event.type is Kind.FINAL_TRANSCRIPT
    assert recognised(clip.said, event.alternatives[0].text) >= 0.85
    assert event.alternatives[0].end_time == pytest.approx(clip.seconds, abs=0.01)


def test_a_language_that_the_model_lacks(speech_model: SpeechModel, voice_finder: vad.VAD) -> None:
    with pytest.raises(SpeechModelError, match="does not know language 'fr'"):
        WhisperSTT(speech_model, voice_finder, language="fr")
