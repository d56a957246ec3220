from __future__ import annotations

from typing import Any

import pytest

from agent.errors import DispatchError
from agent.request import TranscriptionRequest
from agent.speech_options import LANGUAGE_ATTRIBUTE, SpeechOptions, all_options


def of(identity: str = "", own: str | None = None, **asked: Any) -> SpeechOptions:
    attributes = None if own is None else {LANGUAGE_ATTRIBUTE: own}
    return SpeechOptions.of(TranscriptionRequest(**asked), identity, attributes)


def test_the_meetings() -> None:
    assert of() == SpeechOptions()
    assert of(
        language="de-CH", keyterms=["a"], diarize=True, profanity_filter=True, numerals=False
    ) == SpeechOptions(
        language="de-CH", keyterms=("a",), diarize=True, profanity_filter=True, numerals=False
    )


def test_whose_word_holds_for_a_language() -> None:
    languages = {"anna": "fr"}
    assert of("anna", "de", language="en", languages=languages).language == "fr"
    assert of("ben", "de", language="en", languages=languages).language == "de"
    assert of("ben", "", language="en", languages=languages).language == "en"
    assert of("ben", language="en", languages=languages).language == "en"
    assert of("ben", "AUTO", language="en").language == "multi"


def test_an_attribute_that_is_no_language_is_refused() -> None:
    with pytest.raises(DispatchError, match="'klingon!' is not a BCP 47 tag"):
        of("anna", "klingon!")


def test_only_the_shared_microphones_are_diarized() -> None:
    assert of("anna", diarize=["anna"]).diarize
    assert not of("ben", diarize=["anna"]).diarize
    assert not of("", diarize=["anna"]).diarize
    assert of("ben", diarize=True).diarize


def test_everything_that_a_dispatch_asks_for_once() -> None:
    request = TranscriptionRequest(
        language="en", languages={"anna": "de", "ben": "de", "carl": "en"}, diarize=("ben",)
    )
    assert all_options(request) == [
        SpeechOptions(language="en"),
        SpeechOptions(language="de"),
        SpeechOptions(language="de", diarize=True),
    ]
    assert all_options(TranscriptionRequest()) == [SpeechOptions()]


def test_what_a_tag_begins_with() -> None:
    assert SpeechOptions(language="zh-Hant-TW").base_language == "zh"
    assert SpeechOptions(language="EN").base_language == "en"
    assert SpeechOptions(language="multi").is_detecting
