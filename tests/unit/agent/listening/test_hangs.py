"""A provider that takes audio and answers no more: noticed, asked again, and given up at last."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from agent.listening.recognisers import StreamTraits
from agent.segments import Gap, Segment
from tests.open_gate import OpenGate
from tests.unit.agent.listening.hearing import Hear
from tests.unit.agent.scripted import PATIENCE_SECONDS, numbered
from tests.waiting import until

SOON = StreamTraits(patience=0.05)


async def test_last_words_that_do_not_come_are_given_up(
    hear: Hear, caplog: pytest.LogCaptureFixture
) -> None:

    async def never(_: Segment) -> None:
        await asyncio.Event().wait()

    hearing = hear(traits=SOON, on_segment=never)
    stream = await hearing.engine.next_stream()
    stream.say("and so on", 0.0, 1.0)
    hearing.listener.end()
    await hearing.over()
    assert stream.closed
    assert "a stream's last words did not come within 0.05 s" in caplog.messages


async def test_a_provider_that_hangs_in_the_middle_of_a_sentence_is_asked_again(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=SOON, on_gap=gaps.append)
    hearing.engine.hanging = 1
    hearing.engine.last_words = "and so we met"
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    await stream.heard(1, 2)
    stream.say("and so", 0.0, 1.0, final=False)
    assert (await hearing.interim()).text == "and so"
    hearing.listener.end()
    await (await hearing.engine.next_stream()).heard(1, 2)
    assert (await hearing.segment()).text == "and so we met"
    await hearing.over()
    assert gaps == []


async def test_one_that_hangs_again_and_again_is_given_up_and_leaves_a_gap(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=SOON, on_gap=gaps.append)
    hearing.engine.hanging = 9
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    await stream.heard(1, 2)
    stream.say("and so", 0.0, 1.0, final=False)
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 3
    assert [(gap.start, gap.end) for gap in gaps] == [(0.0, 1.0), (1.0, 2.0)]


async def test_one_that_hangs_over_the_silence_at_the_end_is_not_asked_again(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=SOON, tail_seconds=1.0, on_gap=gaps.append)
    hearing.engine.hanging = 9
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    await stream.heard(1, 2)
    stream.say("and so we met", 0.0, 1.0)
    await hearing.segment()
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 1
    assert gaps == []


@pytest.mark.parametrize("is_begun", [False, True])
async def test_of_a_provider_whose_streams_do_not_end_what_has_begun_is_asked_for_again(
    hear: Hear, is_begun: bool
) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=replace(SOON, ends=False), on_gap=gaps.append)
    hearing.engine.hanging = 9
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2, 3)
    await stream.heard(1, 2, 3)
    stream.say("and so we met", 0.0, 1.0)
    await hearing.segment()
    if is_begun:
        stream.hear_speech_begin()
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == (3 if is_begun else 1)
    assert len(gaps) == (2 if is_begun else 0)


async def test_a_word_after_the_last_final_is_not_taken_for_silence(hear: Hear) -> None:
    hearing = hear(traits=SOON, tail_seconds=0.5)
    hearing.engine.hanging = 1
    hearing.engine.last_words = "Yes."
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    await stream.heard(1, 2)
    stream.say("and so we met", 0.0, 1.0)
    await hearing.segment()
    hearing.listener.end()
    await (await hearing.engine.next_stream()).heard(2)
    assert (await hearing.segment()).text == "Yes."
    await hearing.over()


async def test_a_stream_that_is_kept_open_and_hangs_is_noticed_while_nobody_speaks(
    hear: Hear,
) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=SOON, gate=OpenGate(), on_gap=gaps.append)
    hearing.engine.hanging = 1
    hearing.engine.last_words = "good morning"
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    await stream.heard(1, 2)
    hearing.listener.mute()
    hearing.time += 1.0
    await (await hearing.engine.next_stream()).heard(1, 2)
    assert (await hearing.segment()).text == "good morning"
    hearing.speak(3)
    await (await hearing.engine.next_stream()).heard(3)
    hearing.listener.end()
    await hearing.over()
    assert gaps == []


async def test_nobody_who_is_speaking_is_cut_for_a_stream_that_hangs(hear: Hear) -> None:
    hearing = hear(traits=SOON, gate=OpenGate())
    hearing.engine.hanging = 1
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    hearing.listener.mute()
    for frame in numbered(2):
        hearing.listener.push(frame)
    hearing.time += 60.0
    await asyncio.sleep(0.1)
    hearing.speak(3)
    await stream.heard(1, 2, 3)
    hearing.listener.mute()
    # What is said next goes to another at once; the first has to answer for the rest.
    hearing.speak(4)
    following = [await hearing.engine.next_stream(), await hearing.engine.next_stream()]
    await following[0].heard(4)
    await following[1].heard(1, 2, 3)


async def test_sound_without_words_is_asked_about_once(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=SOON, gate=OpenGate(), on_gap=gaps.append)
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    hearing.listener.mute()
    hearing.time += 1.0
    await until(lambda: stream.closed, timeout=PATIENCE_SECONDS)
    hearing.speak(2)
    await (await hearing.engine.next_stream()).heard(2)
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 2
    assert gaps == []


@pytest.mark.parametrize("answer", ["final", "empty final", "interim and final"])
async def test_a_stream_that_answers_is_kept(hear: Hear, answer: str) -> None:
    hearing = hear(traits=SOON, gate=OpenGate())
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    await stream.heard(1)
    hearing.listener.mute()
    if answer.startswith("interim"):
        stream.say("good", 0.0, 1.0, final=False)
        await hearing.interim()
    stream.say("" if answer.startswith("empty") else "good morning", 0.0, 1.0)
    stream.say("mark", 0.0, 1.0)
    while (await hearing.segment()).text != "mark":
        pass
    hearing.time += 60.0
    await asyncio.sleep(0.1)
    hearing.speak(2)
    await stream.heard(1, 2)
    assert not stream.closed


async def test_where_everything_is_sent_the_server_says_who_is_to_be_answered(hear: Hear) -> None:
    hearing = hear(traits=SOON)
    hearing.engine.hanging = 1
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2, 3)
    hearing.listener.is_active_speaker(True)
    hearing.speak(4)
    hearing.listener.is_active_speaker(False)
    hearing.time += 1.0
    await until(lambda: stream.closed, timeout=PATIENCE_SECONDS)
    await (await hearing.engine.next_stream()).heard(1, 2, 3, 4)
    hearing.speak(5)
    await (await hearing.engine.next_stream()).heard(5)


async def test_where_everything_is_sent_an_answer_during_speech_is_one(hear: Hear) -> None:
    hearing = hear(traits=SOON)
    stream = await hearing.engine.next_stream()
    hearing.speak(1)
    hearing.listener.is_active_speaker(True)
    hearing.speak(2)
    stream.say("good morning", 0.0, 2.0)
    await hearing.segment()
    hearing.listener.is_active_speaker(False)
    hearing.time += 60.0
    await asyncio.sleep(0.1)
    hearing.listener.is_active_speaker(True)
    hearing.speak(3)
    await stream.heard(1, 2, 3)


async def test_a_model_in_this_process_is_waited_for(hear: Hear) -> None:
    hearing = hear(traits=StreamTraits(patience=math.inf), gate=OpenGate())
    hearing.engine.hanging = 1
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    hearing.listener.mute()
    hearing.time += 600.0
    await asyncio.sleep(0.1)
    hearing.listener.end()
    await asyncio.sleep(0.1)
    assert not stream.closed
    stream.say("good morning", 0.0, 1.0)
    stream.finish()
    await hearing.over()
    assert (await hearing.segment()).text == "good morning"
