"""A provider that takes audio and answers no more: noticed, asked again, and given up at last."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from agent.listening.recognisers import Circuit, Recogniser, StreamTraits
from agent.segments import Gap, Segment
from tests.open_gate import OpenGate
from tests.unit.agent.listening.hearing import SOON, Hear
from tests.unit.agent.scripted import PATIENCE_SECONDS, ScriptedStream, ScriptedSTT, numbered
from tests.waiting import until


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
    assert "a stream's last words did not come" in caplog.messages


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


async def test_a_plugin_that_ends_a_hung_stream_as_if_all_were_well_is_not_believed(
    hear: Hear,
) -> None:
    gaps: list[Gap] = []
    hearing = hear(traits=StreamTraits(quiet=2.5), on_gap=gaps.append)
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    await stream.heard(1, 2)
    hearing.engine.hanging = 9
    stream._hangs = True
    hearing.listener.end()
    hearing.time += 5.0
    stream.finish()
    again = await hearing.engine.next_stream()
    await again.heard(1, 2)
    again.say("good morning", 0.0, 2.0)
    again.finish()
    await hearing.over()
    assert (await hearing.segment()).text == "good morning"
    assert gaps == []


@pytest.mark.parametrize("words", [True, False])
async def test_words_that_were_shown_and_came_to_nothing_are_asked_about_once_more(
    hear: Hear, words: bool
) -> None:
    gaps: list[Gap] = []
    hearing = hear(on_gap=gaps.append)
    hearing.engine.hanging = 2
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    stream.say("good", 0.0, 1.0, final=False)
    await hearing.interim()
    hearing.listener.end()
    stream.finish()
    again = await hearing.engine.next_stream()
    await again.heard(1, 2)
    if words:
        again.say("good morning", 0.0, 2.0)
        assert (await hearing.segment()).text == "good morning"
    else:
        again.say("good", 0.0, 1.0, final=False)
        await hearing.interim()
    again.finish()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 2
    assert gaps == []


@pytest.mark.parametrize("ends", [True, False])
async def test_a_plugins_own_account_of_what_it_has_sent_is_no_answer(
    hear: Hear, ends: bool
) -> None:
    hearing = hear(traits=StreamTraits(ends=ends, patience=0.2), gate=OpenGate())
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    await stream.heard(1)
    hearing.listener.mute()
    stream.account()
    await asyncio.sleep(0.05)
    hearing.time += 60.0
    # Where streams do not end it is the provider's, of what it has put into words.
    await asyncio.sleep(0.4)
    assert stream.closed is ends


async def test_who_has_nothing_to_say_to_a_sound_is_asked_less_often(hear: Hear) -> None:
    hearing = hear(traits=SOON, gate=OpenGate())
    for number in range(3):
        hearing.speak(number)
        stream = await hearing.engine.next_stream()
        hearing.listener.mute()
        hearing.time += 0.05 * 2**number - 0.01
        await asyncio.sleep(0.02)
        assert not stream.closed
        hearing.time += 0.02
        await until(lambda one=stream: one.closed, timeout=PATIENCE_SECONDS)  # type: ignore[misc]
        await until(lambda: not hearing.listener._running, timeout=PATIENCE_SECONDS)


async def test_a_stream_is_kept_while_openings_are_short(hear: Hear) -> None:
    hearing = hear(traits=SOON, gate=OpenGate())
    is_short = True
    hearing.recogniser.is_short = lambda: is_short
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    hearing.listener.mute()
    hearing.time += 60.0
    await asyncio.sleep(0.1)
    assert not stream.closed
    is_short = False
    await until(lambda: stream.closed, timeout=PATIENCE_SECONDS)


async def test_where_everything_is_sent_a_mute_is_no_question(hear: Hear) -> None:
    hearing = hear(traits=SOON)
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    stream.say("good morning", 0.0, 1.0)
    await hearing.segment()
    hearing.speak(3, 4)
    hearing.listener.mute()
    hearing.time += 60.0
    hearing.speak(5)
    hearing.listener.is_active_speaker(True)
    hearing.speak(6)
    await asyncio.sleep(0.1)
    assert not stream.closed


async def test_a_stream_that_opens_in_a_pause_is_watched_too(hear: Hear) -> None:
    hearing = hear(traits=SOON, gate=OpenGate())
    hearing.engine.refusals.append(RuntimeError("not yet"))
    hearing.engine.hanging = 1
    hearing.engine.last_words = "good morning"
    hearing.speak(1)
    hearing.listener.mute()
    stream = await hearing.engine.next_stream()
    await stream.heard(1)
    while not stream.closed:
        hearing.time += 1.0
        await asyncio.sleep(0.02)
    assert (await hearing.segment()).text == "good morning"


async def test_a_take_that_ends_after_its_last_words_is_over_and_no_gap(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(gate=OpenGate(), on_gap=gaps.append)
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    await stream.heard(1, 2)
    hearing.listener.mute()
    take = hearing.listener._take
    assert take is not None
    take.end()
    # What is left is the silence at the end.
    stream.say("good morning", 0.0, 1.7)
    await hearing.segment()
    hearing.listener.end()
    await hearing.over()
    assert gaps == []


async def test_who_speaks_while_a_stream_is_being_closed_has_another(
    hear: Hear, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, is_closed = asyncio.Event(), asyncio.Event()
    close = ScriptedStream.aclose

    async def slowly(stream: ScriptedStream) -> None:
        closing.set()
        await is_closed.wait()
        await close(stream)

    monkeypatch.setattr(ScriptedStream, "aclose", slowly)
    hearing = hear(gate=OpenGate())
    hearing.engine.last_words = "good morning"
    hearing.speak(1)
    stream = await hearing.engine.next_stream()
    await stream.heard(1)
    hearing.listener.mute()
    take = hearing.listener._take
    assert take is not None
    take.end()
    await asyncio.wait_for(closing.wait(), PATIENCE_SECONDS)
    hearing.speak(2)
    await (await hearing.engine.next_stream()).heard(2)
    is_closed.set()
    hearing.listener.end()
    await hearing.over()


async def test_two_that_are_both_away_are_not_asked_in_turns_without_a_rest(hear: Hear) -> None:
    other = ScriptedSTT()
    other.refusals.extend(RuntimeError("away, too") for _ in range(1000))
    hearing = hear(after=[Recogniser(other)])
    hearing.engine.refusals.extend(RuntimeError("away") for _ in range(1000))
    hearing.speak(1)
    await asyncio.sleep(0.2)
    assert 2 <= len(hearing.engine.opened_at) + len(other.opened_at) < 20


async def test_where_everything_is_sent_to_a_model_in_this_process_silence_is_forgotten(
    hear: Hear,
) -> None:
    gaps: list[Gap] = []
    traits = StreamTraits(patience=math.inf)
    hearing = hear(traits=traits, on_gap=gaps.append, kept_seconds=100.0)
    stream = await hearing.engine.next_stream()
    hearing.listener.is_active_speaker(True)
    hearing.speak(1)
    hearing.listener.is_active_speaker(False)
    await stream.heard(1)
    hearing.speak(*range(2, 200))
    assert gaps == []


async def test_who_stands_in_is_left_where_it_is_known_what_it_has_heard(hear: Hear) -> None:
    wanted = ScriptedSTT()
    away = Circuit()
    away.failed(now=0.0)
    hearing = hear(before=[Recogniser(wanted, circuit=away)])
    stream = await hearing.engine.next_stream()
    hearing.speak(*range(1, 21))
    await stream.heard(*range(1, 21))
    hearing.time -= 15.0
    # Without a position, of audio that was sent faster than time passes.
    stream.say("one")
    assert (await hearing.segment()).text == "one"
    hearing.speak(21)
    await stream.heard(*range(1, 22))
    stream.say("two", 1.0, 20.0)
    assert (await hearing.segment()).text == "two"
    await (await wanted.next_stream()).heard(21)
