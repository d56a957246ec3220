from __future__ import annotations

import pytest
from livekit.agents import stt
from livekit.agents.language import LanguageCode

from agent.listening.answers import Answers

Kind = stt.SpeechEventType


def answer(kind: Kind, text: str | None = None) -> stt.SpeechEvent:
    said = [] if text is None else [stt.SpeechData(LanguageCode("en"), text)]
    return stt.SpeechEvent(type=kind, alternatives=said)


def taken(*events: stt.SpeechEvent, ends: bool = True) -> Answers:
    answers = Answers()
    for number, event in enumerate(events, 1):
        answers.take(event, ends=ends, at=float(number))
    return answers


def test_words_are_shown_until_they_are_final() -> None:
    answers = taken(answer(Kind.INTERIM_TRANSCRIPT, "and so"))
    assert (answers.has_words, answers.is_begun, answers.is_shown) == (True, True, True)
    answers.take(answer(Kind.FINAL_TRANSCRIPT, "and so on"), ends=True, at=2.0)
    assert (answers.has_words, answers.is_begun, answers.is_shown) == (True, False, False)
    assert (answers.finals, answers.last_at) == (1, 2.0)


@pytest.mark.parametrize("text", [None, "", " "])
def test_what_has_no_words_counts_for_none(text: str | None) -> None:
    answers = taken(answer(Kind.FINAL_TRANSCRIPT, text))
    assert (answers.finals, answers.has_words, answers.is_begun) == (0, False, False)
    assert answers.last_at == 1.0


@pytest.mark.parametrize(("ends", "is_begun"), [(True, False), (False, True)])
def test_speech_may_be_over_before_it_is_in_words(ends: bool, is_begun: bool) -> None:
    over = [answer(Kind.START_OF_SPEECH), answer(Kind.END_OF_SPEECH)]
    assert taken(*over, ends=ends).is_begun is is_begun
    assert not taken(*over, answer(Kind.RECOGNITION_USAGE), ends=False).is_begun


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_shown_when_speech_is_over_is_over_where_its_words_come_first(ends: bool) -> None:
    over = [answer(Kind.INTERIM_TRANSCRIPT, "uh"), answer(Kind.END_OF_SPEECH)]
    assert taken(*over, ends=ends).is_shown is not ends


def test_another_stream_has_answered_nothing_yet() -> None:
    answers = taken(
        answer(Kind.FINAL_TRANSCRIPT, "and so"), answer(Kind.INTERIM_TRANSCRIPT, "on we")
    )
    answers.begin_stream()
    assert (answers.finals, answers.has_words, answers.is_shown) == (1, False, False)
    # Whoever had begun to speak is still to be put into words.
    assert answers.is_begun
