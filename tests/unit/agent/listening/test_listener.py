from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest

from agent.listening import take as take_module
from agent.listening.backlog import AudioAllowance
from agent.listening.recognisers import StreamTraits
from agent.listening.words import Interim
from agent.segments import Gap, Segment
from metering.meters.attribution import attribution
from tests.open_gate import OpenGate
from tests.unit.agent.listening.hearing import Hear
from tests.unit.agent.scripted import PATIENCE_SECONDS
from tests.waiting import until


async def test_a_segment_says_who_what_and_when(hear: Hear) -> None:
    hearing = hear()
    hearing.time = 100.0
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2, 3)
    hearing.name = "Alice B."
    stream.say(" Good morning. ", 0.5, 2.25, confidence=0.91234)
    segment = await hearing.segment()
    assert segment == Segment(
        segment_id=segment.segment_id,
        speaker="alice",
        name="Alice B.",
        text="Good morning.",
        start=100.5,
        end=102.25,
        language="en",
        confidence=0.912,
        track_id="TR_alice",
    )
    assert segment.segment_id.startswith("SG_")


async def test_voices_are_numbered_and_never_confused_over_a_reconnect(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2, 3)
    for label in ("S1", "S0", "S1", None):
        stream.say("so", 0.0, 1.0, speaker_id=label)
    assert [(await hearing.segment()).voice for _ in range(4)] == [1, 2, 1, None]
    stream.fail()
    stream = await hearing.engine.next_stream()
    # Its first speaker may be anybody.
    stream.say("so", 0.0, 1.0, speaker_id="S1")
    assert (await hearing.segment()).voice == 3


@pytest.mark.parametrize(
    ("said", "language"), [("de", "de"), ("de-CH", "de-CH"), ("", "und"), ("multi", "und")]
)
async def test_the_language_is_the_one_that_was_spoken(
    hear: Hear, said: str, language: str
) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    hearing.speak(1)
    stream.say("so", 0.0, 1.0, language=said)
    assert (await hearing.segment()).language == language


async def test_a_mute_does_not_shift_what_is_said_after_it(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    hearing.time += 60.0
    hearing.speak(3, 4)
    stream.say("after", 2.5, 3.5)
    segment = await hearing.segment()
    assert (segment.start, segment.end) == (62.5, 63.5)


@pytest.mark.parametrize("sign", ["speech", "interim", "none"])
async def test_a_provider_without_times_gets_ours(hear: Hear, sign: str) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2, 3)
    if sign == "interim":
        stream.say("so", final=False)
        await hearing.interim()
    elif sign == "speech":
        stream.hear_speech_begin()
        stream.say("so", final=False)
        await hearing.interim()
    hearing.speak(4, 5)
    stream.say("so be it")
    first = await hearing.segment()
    hearing.speak(6)
    stream.say("amen")
    second = await hearing.segment()
    assert (first.start, first.end) == ((5.0, 5.0) if sign == "none" else (3.0, 5.0))
    assert (second.start, second.end) == (6.0, 6.0)
    assert first.confidence is None


async def test_an_interim_and_its_final_are_one_segment(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    stream.say("good", final=False)
    stream.say("good mor", final=False)
    stream.say("Good morning.", 0.0, 1.0)
    stream.say("all", final=False)
    one, two = await hearing.interim(), await hearing.interim()
    final, three = await hearing.segment(), await hearing.interim()
    assert one == Interim(final.segment_id, "alice", "TR_alice", "good")
    assert two.segment_id == final.segment_id
    assert three.segment_id != final.segment_id


async def test_with_a_gate_each_stretch_begins_once_and_before_any_words(hear: Hear) -> None:
    begun: list[str] = []
    hearing = hear(gate=OpenGate(speaking=True), on_speech=lambda: begun.append("speech"))
    hearing.speak(1)
    assert begun == ["speech"]
    hearing.speak(2, 3)
    stream = await hearing.engine.next_stream()
    stream.say("good", final=False)
    await hearing.interim()
    assert begun == ["speech"]
    hearing.listener.mute()
    hearing.speak(4)
    assert begun == ["speech"] * 2


async def test_without_a_gate_speech_begins_when_the_stt_says_so(hear: Hear) -> None:
    begun: list[str] = []
    hearing = hear(on_speech=lambda: begun.append("speech"))
    stream = await hearing.engine.next_stream()
    stream.say("good", final=False)
    await hearing.interim()
    assert begun == ["speech"]
    stream.say("Good morning.", 0.0, 1.0)
    await hearing.segment()
    assert begun == ["speech"]


@pytest.mark.parametrize("sign", ["an empty final", "the end of speech", "the end"])
async def test_an_interim_that_nothing_comes_of_is_withdrawn(hear: Hear, sign: str) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    stream.say("thank", final=False)
    shown = await hearing.interim()
    if sign == "the end":
        hearing.listener.end()
    elif sign == "the end of speech":
        stream.hear_speech_end()
    else:
        stream.say("", 0.0, 1.0)
    assert await hearing.interim() == Interim(shown.segment_id, "alice", "TR_alice", "")
    if sign != "the end":
        stream.say("Good morning.", 1.0, 2.0)
        assert (await hearing.segment()).segment_id != shown.segment_id
        stream.hear_speech_end()
        stream.say("Nice", final=False)
        assert (await hearing.interim()).text == "Nice"
    assert hearing.interims.empty()


async def test_where_words_come_after_the_end_of_speech_they_are_waited_for(hear: Hear) -> None:
    hearing = hear(traits=StreamTraits(ends=False))
    stream = await hearing.engine.next_stream()
    stream.say("good", final=False)
    shown = await hearing.interim()
    stream.hear_speech_end()
    stream.say("Good morning.", 0.0, 1.0)
    assert (await hearing.segment()).segment_id == shown.segment_id
    assert hearing.interims.empty()


async def test_a_segment_that_was_begun_goes_on_after_an_error(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    stream.say("good", final=False)
    interim = await hearing.interim()
    stream.fail()
    (await hearing.engine.next_stream()).say("Good morning.", 0.0, 1.0)
    assert (await hearing.segment()).segment_id == interim.segment_id


async def test_silence_is_no_segment(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    stream.say("", final=False)
    stream.say("  ", 0.0, 1.0)
    stream.say("word", 1.0, 2.0)
    assert (await hearing.segment()).text == "word"
    assert hearing.interims.empty()


async def test_an_error_reopens_the_stream_after_a_growing_pause(
    hear: Hear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_module, "LONGEST_PAUSE_SECONDS", 0.08)
    hearing = hear(first_pause_seconds=0.02)
    for _ in range(3):
        (await hearing.engine.next_stream()).fail()
    hearing.engine.refusals.extend([ValueError("no"), ConnectionError("no")])
    stream = await hearing.engine.next_stream()
    stream.say("back again", 0.0, 1.0)
    assert (await hearing.segment()).text == "back again"
    pauses = [later - earlier for earlier, later in pairwise(hearing.engine.opened_at)]
    assert len(pauses) == 5
    for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.08, 0.08), strict=True):
        assert least - 0.005 <= pause


async def test_after_words_the_pause_is_short_again(hear: Hear) -> None:
    hearing = hear(first_pause_seconds=0.02)
    for _ in range(3):
        (await hearing.engine.next_stream()).fail()
    for _ in range(6):
        stream = await hearing.engine.next_stream()
        stream.say("word", 0.0, 1.0)
        await hearing.segment()
        stream.fail()
    await hearing.engine.next_stream()
    grown = hearing.engine.opened_at[3] - hearing.engine.opened_at[2]
    after_words = [later - before for before, later in pairwise(hearing.engine.opened_at[3:])]
    assert grown >= 0.075
    # Were it still growing, the last would be past two seconds.
    assert max(after_words) < 1.0


async def test_a_provider_that_hangs_up_is_called_again(hear: Hear) -> None:
    hearing = hear()
    (await hearing.engine.next_stream()).finish()
    (await hearing.engine.next_stream()).say("still here", 0.0, 1.0)
    assert (await hearing.segment()).text == "still here"


async def test_the_framework_does_not_retry_on_its_own(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    assert stream._conn_options.max_retry == 0


async def test_what_is_said_while_there_is_no_stream_is_heard_later(hear: Hear) -> None:
    hearing = hear()
    hearing.engine.refusals.append(ConnectionError("not yet"))
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    hearing.speak(3)
    await stream.heard(1, 2, 3)
    stream.say("from the beginning", 0.25, 2.5)
    segment = await hearing.segment()
    assert (segment.start, segment.end) == (0.25, 2.5)


async def test_what_a_failed_stream_was_sent_is_said_again_but_for_what_it_understood(
    hear: Hear,
) -> None:
    hearing = hear()
    first = await hearing.engine.next_stream()
    hearing.speak(1, 2, 3, 4)
    first.say("one and two", 0.0, 2.0)
    await hearing.segment()
    hearing.speak(5)
    await first.heard(1, 2, 3, 4, 5)
    first.fail()
    second = await hearing.engine.next_stream()
    await second.heard(3, 4, 5)
    second.say("three", 0.1, 0.9)
    segment = await hearing.segment()
    assert (segment.start, segment.end) == (2.1, 2.9)
    second.fail()
    third = await hearing.engine.next_stream()
    await third.heard(3, 4, 5)


async def test_without_times_all_that_was_sent_counts_as_heard(hear: Hear) -> None:
    hearing = hear()
    first = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    first.say("one and two")
    await hearing.segment()
    hearing.speak(3)
    first.fail()
    await (await hearing.engine.next_stream()).heard(3)


async def test_of_what_cannot_be_heard_yet_the_newest_is_kept_and_the_rest_is_a_gap(
    hear: Hear,
) -> None:
    gaps: list[Gap] = []
    hearing = hear(kept_seconds=60.0, on_gap=gaps.append)
    hearing.speak(*range(1, 71))
    stream = await hearing.engine.next_stream()
    await stream.heard(*range(11, 71))
    assert [(gap.speaker, gap.start, gap.end) for gap in gaps] == [
        ("alice", float(second), second + 1.0) for second in range(10)
    ]
    stream.say("eleven", 0.0, 1.0)
    assert (await hearing.segment()).start == 10.0


async def test_the_end_brings_out_the_last_words(hear: Hear) -> None:
    hearing = hear()
    hearing.engine.last_words = "goodbye"
    stream = await hearing.engine.next_stream()
    hearing.speak(1)
    hearing.listener.end()
    hearing.speak(2)
    await hearing.over()
    assert hearing.segments.get_nowait().text == "goodbye"
    assert stream.numbers == [1]
    assert stream.closed


async def test_the_end_before_the_stream_is_open(hear: Hear) -> None:
    hearing = hear()
    hearing.engine.last_words = "short and sweet"
    hearing.speak(1)
    hearing.listener.end()
    await hearing.over()
    assert hearing.segments.get_nowait().text == "short and sweet"


async def test_the_end_while_backing_off_is_one_more_try_at_once(hear: Hear) -> None:
    hearing = hear(first_pause_seconds=1000.0)
    hearing.engine.last_words = "goodbye"
    hearing.speak(1)
    (await hearing.engine.next_stream()).fail()
    hearing.listener.end()
    await hearing.over()
    assert hearing.segments.get_nowait().text == "goodbye"


async def test_what_was_said_last_is_tried_until_it_is_heard(hear: Hear) -> None:
    hearing = hear()
    hearing.engine.last_words = "goodbye"
    hearing.speak(1)
    (await hearing.engine.next_stream()).fail()
    hearing.engine.refusals.extend(ConnectionError("no") for _ in range(5))
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 7
    assert hearing.segments.get_nowait().text == "goodbye"


async def test_what_was_not_heard_until_the_end_of_the_job_is_a_gap(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(on_gap=gaps.append)
    hearing.engine.refusals.extend(ConnectionError("no") for _ in range(100))
    hearing.speak(1, 2)
    hearing.listener.end()
    await until(lambda: len(hearing.engine.opened_at) >= 3)
    hearing.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hearing.task
    assert [(gap.name, gap.start, gap.end) for gap in gaps] == [
        ("Alice", 0.0, 1.0),
        ("Alice", 1.0, 2.0),
    ]


async def test_an_error_at_the_end_with_nothing_left_to_hear_is_the_end(hear: Hear) -> None:
    hearing = hear(first_pause_seconds=1000.0)
    stream = await hearing.engine.next_stream()
    hearing.speak(1)
    stream.say("one", 0.0, 1.0)
    await hearing.segment()
    stream.fail()
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 1


async def test_a_stream_that_ends_while_nobody_speaks_is_opened_again_when_somebody_does(
    hear: Hear,
) -> None:
    hearing = hear(gate=OpenGate(), tail_seconds=1.0)
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    await stream.heard(1, 2)
    stream.say("good morning", 0.0, 1.0)
    await hearing.segment()
    hearing.listener.mute()
    stream.fail()
    await until(lambda: stream.closed, timeout=PATIENCE_SECONDS)
    await asyncio.sleep(0.05)
    assert len(hearing.engine.opened_at) == 1
    hearing.speak(3)
    again = await hearing.engine.next_stream()
    await again.heard(2, 3)


async def test_what_was_said_before_a_stream_failed_in_a_pause_is_heard_at_once(hear: Hear) -> None:
    hearing = hear(gate=OpenGate(), tail_seconds=0.5)
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    await stream.heard(1, 2)
    hearing.listener.mute()
    stream.fail()
    await (await hearing.engine.next_stream()).heard(1, 2)


async def test_who_leaves_while_no_stream_is_open_opens_none(hear: Hear) -> None:
    hearing = hear(gate=OpenGate(), tail_seconds=1.0)
    hearing.speak(1, 2)
    stream = await hearing.engine.next_stream()
    await stream.heard(1, 2)
    stream.say("good morning", 0.0, 1.0)
    await hearing.segment()
    hearing.listener.mute()
    stream.fail()
    await until(lambda: stream.closed, timeout=PATIENCE_SECONDS)
    hearing.listener.end()
    await hearing.over()
    assert len(hearing.engine.opened_at) == 1


async def test_without_a_gate_a_mute_is_silence_to_the_stt(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    await stream.heard(1, 2)
    hearing.listener.mute()
    await stream.heard(1, 2, 0)


async def test_what_was_being_said_by_who_opts_out_is_neither_words_nor_a_gap(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(on_gap=gaps.append)
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    hearing.listener.discard()
    hearing.speak(3)
    stream.say("not for you", 0.0, 2.0)
    await hearing.over()
    assert (hearing.segments.empty(), gaps) == (True, [])
    assert stream.closed


async def test_audio_that_no_words_came_of_is_given_back_and_no_gap(hear: Hear) -> None:
    """Hours of meetings are thousands of stretches, each with a tail of silence."""
    allowance = AudioAllowance(3.0)
    gaps: list[Gap] = []
    for _ in range(5):
        hearing = hear(allowance=allowance, on_gap=gaps.append)
        stream = await hearing.engine.next_stream()
        hearing.speak(1, 2)
        stream.say("word", 0.0, 1.0)
        await hearing.segment()
        hearing.listener.end()
        await hearing.over()
    for _ in range(5):
        hearing = hear(allowance=allowance, on_gap=gaps.append)
        await hearing.engine.next_stream()
        hearing.speak(1, 2)
        hearing.listener.discard()
        await hearing.over()
    assert gaps == []


async def test_silence_that_is_sent_is_not_kept_for_ever_nor_called_lost(hear: Hear) -> None:
    gaps: list[Gap] = []
    hearing = hear(on_gap=gaps.append, kept_seconds=100.0, allowance=AudioAllowance(100.0))
    stream = await hearing.engine.next_stream()
    hearing.speak(0)
    await stream.heard(0)
    hearing.speak(*range(1, 250))
    assert gaps == []
    stream.fail()
    again = await hearing.engine.next_stream()
    await until(lambda: again.numbers[-1:] == [249], timeout=PATIENCE_SECONDS)
    assert 184 <= again.numbers[0] <= 190
    assert again.numbers == list(range(again.numbers[0], 250))


async def test_being_cancelled_closes_the_stream(hear: Hear) -> None:
    hearing = hear()
    stream = await hearing.engine.next_stream()
    hearing.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hearing.task
    assert stream.closed


async def test_each_stream_is_made_in_the_speakers_name(hear: Hear) -> None:
    hearing = hear(attribute=lambda: attribution(participant="alice", purpose="captions"))
    for _ in range(2):
        stream = await hearing.engine.next_stream()
        assert (stream.attribution.participant, stream.attribution.purpose) == (
            "alice",
            "captions",
        )
        stream.fail()


async def test_a_reader_who_fails_does_not_end_the_hearing(hear: Hear) -> None:
    handed_on: asyncio.Queue[str] = asyncio.Queue()

    async def fails_once(segment: Segment) -> None:
        handed_on.put_nowait(segment.text)
        if segment.text == "one":
            raise LookupError(segment.text)

    hearing = hear(on_segment=fails_once)
    stream = await hearing.engine.next_stream()
    hearing.speak(1, 2)
    stream.say("one", 0.0, 1.0)
    again = await hearing.engine.next_stream()
    await again.heard(2)
    again.say("two", 0.0, 1.0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert [await handed_on.get(), await handed_on.get()] == ["one", "two"]


async def test_the_log_has_neither_names_nor_words(
    hear: Hear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tallyroom.agent")
    hearing = hear()
    stream = await hearing.engine.next_stream()
    stream.say("secret words", final=False)
    stream.fail(RuntimeError("alice said secret words"))
    await hearing.engine.next_stream()
    ours = [record.getMessage() for record in caplog.records if record.name == "tallyroom.agent"]
    assert ours == ["speech recognition failed: RuntimeError"]
