"""What a question is answered from: everything where it fits, and else what is like it."""

from __future__ import annotations

from agent.answers.evidence import Evidence, evidence
from agent.segments import Segment
from tests.unit.agent.builders import segment


def said(*texts: str) -> list[Segment]:
    return [
        segment(segment_id=f"SG_{n}", text=text, start=float(n)) for n, text in enumerate(texts)
    ]


def numbers(found: Evidence) -> list[int]:
    return [number for number, _ in found.segments]


def test_a_short_meeting_is_looked_at_whole() -> None:
    segments = said("one", "two", "three")
    found = evidence(segments, ["anything"])
    assert found.segments == list(enumerate(segments, start=1))
    assert (found.of, found.is_all) == (3, True)


def test_of_a_long_meeting_the_rare_words_are_found_with_what_is_around_them() -> None:
    texts = [f"we talk about bread and rolls number {n}" for n in range(400)]
    texts[120] = "the budget for the oven is decided"
    found = evidence(said(*texts), ["What was the decision on the budget?"], 4_000)
    assert {120, 121, 122} <= set(numbers(found))
    assert numbers(found)[-1] == 400
    assert numbers(found) == sorted(numbers(found))
    assert (found.of, found.is_all) == (400, False)
    size = sum(len(f"Alice{one.text}") + 80 for _, one in found.segments)
    assert 3_500 < size <= 4_000


def test_without_a_word_in_common_it_is_the_latest() -> None:
    found = evidence(said(*[f"bread {'x' * 80}"] * 100), ["Wer zahlt?"], 2_000)
    assert numbers(found) == list(range(101 - len(found.segments), 101))
    assert len(found.segments) == 11


def test_words_without_spaces_between_them_are_found() -> None:
    texts = ["今日は天気がいいですね"] * 200
    texts[50] = "予算は四万円に決まりました"
    found = evidence(said(*texts), ["予算はいくらですか"], 2_000)
    assert 51 in numbers(found)


def test_a_speaker_is_found_by_name() -> None:
    segments = said(*["bread and rolls"] * 200)
    segments[30] = segment(segment_id="SG_bob", name="Bob", text="I do not agree", start=30.0)
    assert 31 in numbers(evidence(segments, ["what did Bob say?"], 2_000))


def test_one_that_is_larger_than_all_there_is_room_for_counts_as_not_looked_at() -> None:
    found = evidence(said("short", "x" * 3_000), ["anything"], 1_000)
    assert (numbers(found), found.of) == ([1], 2)
