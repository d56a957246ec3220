from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DispatchError
from agent.request import (
    MAX_METADATA_BYTES,
    TranscriptFormat,
    TranscriptionRequest,
    normal_language,
)

CONTRACT = {
    "title",
    "tenant",
    "tags",
    "language",
    "keyterms",
    "captions",
    "transcript_formats",
    "leave_after_minutes",
    "leave_when_alone_seconds",
    "send_audio",
    "languages",
    "diarize",
    "profanity_filter",
    "numerals",
    "opt_out",
    "notice",
    "record",
    "notes",
    "notes_language",
    "answers",
    "voice",
}


def refusal(metadata: str) -> str:
    with pytest.raises(DispatchError) as caught:
        TranscriptionRequest.parse(metadata)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_names_are_those_of_the_contract() -> None:
    assert set(TranscriptionRequest.model_fields) == CONTRACT


@pytest.mark.parametrize("metadata", ["", "  \n", "{}"])
def test_nothing_asks_for_the_defaults(metadata: str) -> None:
    assert TranscriptionRequest.parse(metadata).model_dump() == {
        "title": "",
        "tenant": "",
        "tags": (),
        "language": "en",
        "languages": {},
        "keyterms": (),
        "diarize": False,
        "profanity_filter": False,
        "numerals": None,
        "captions": True,
        "opt_out": (),
        "notice": True,
        "record": None,
        "transcript_formats": ("md", "vtt", "srt", "txt", "json"),
        "leave_after_minutes": None,
        "leave_when_alone_seconds": 20.0,
        "send_audio": None,
        "notes": None,
        "notes_language": None,
        "answers": None,
        "voice": False,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "x" * 513),
        ("title", 5),
        ("tenant", "x" * 129),
        ("tags", "planning"),
        ("tags", ["x"] * 51),
        ("tags", [" "]),
        ("tags", ["x" * 129]),
        ("language", ""),
        ("language", "english language"),
        ("language", "en\n"),
        ("keyterms", ["x"] * 101),
        ("keyterms", [1]),
        ("captions", "perhaps"),
        ("transcript_formats", ["pdf"]),
        ("leave_after_minutes", 0),
        ("leave_after_minutes", -1),
        ("leave_after_minutes", "soon"),
        ("leave_when_alone_seconds", -0.1),
        ("leave_when_alone_seconds", None),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(name: str, value: Any) -> None:
    assert refusal(json.dumps({name: value})).startswith((f"{name}: ", f"{name}.0: "))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e12"])
def test_no_endless_waits(number: str) -> None:
    for name in ("leave_after_minutes", "leave_when_alone_seconds"):
        assert refusal(f'{{"{name}": {number}}}').startswith(f"{name}: ")


def test_every_problem_is_said_and_what_is_known() -> None:
    message = refusal('{"titel": "x", "captions": "perhaps", "line\\nbreak": 1}')
    assert "captions: " in message
    assert "'titel' is not known; " in message
    assert r"'line\nbreak' is not known; known are title, tenant, " in message
    assert message.count("known are") == 1


def test_a_message_stays_short_whatever_is_sent() -> None:
    many = json.dumps({f"{number:03}{'x' * 100}": 1 for number in range(300)})
    assert len(refusal(many)) < 700


@pytest.mark.parametrize(
    "metadata", ["{", "[]", "null", '"title"', "title=x", "[" * 10_000, '{"title": "\\ud800"}']
)
def test_what_is_no_json_object_is_refused(metadata: str) -> None:
    assert refusal(metadata).startswith("metadata is not a JSON object: ")


def test_what_is_no_text_is_refused() -> None:
    assert refusal('{"title": "\udcff"}') == "metadata is not UTF-8"


def test_huge_metadata_is_refused_before_it_is_read() -> None:
    around = len('{"title":""}')
    fits = '{"title":"' + " " * (MAX_METADATA_BYTES - around) + '"}'
    assert TranscriptionRequest.parse(fits).title == ""
    assert refusal(fits + " ") == "metadata has 65537 bytes, 65536 are allowed"


def test_surrounding_space_is_no_part_of_a_value() -> None:
    request = TranscriptionRequest.parse(
        '{"title": " Weekly ", "tenant": " acme\\n", "tags": [" a"]}'
    )
    assert (request.title, request.tenant, request.tags) == ("Weekly", "acme", ("a",))


def test_metadata_leaves_out_what_is_at_its_default() -> None:
    assert TranscriptionRequest().to_metadata() == "{}"
    assert TranscriptionRequest(title="Weekly", captions=True).to_metadata() == '{"title":"Weekly"}'


languages = st.sampled_from(["en", "de-CH", "zh-Hant-TW", "auto", "multi"])
labels = st.text(min_size=1, max_size=20).map(str.strip).filter(bool)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "title": st.text(max_size=40).map(str.strip),
            "tenant": st.text(max_size=20).map(str.strip),
            "tags": st.lists(labels, max_size=3).map(tuple),
            "language": languages,
            "keyterms": st.lists(labels, max_size=3).map(tuple),
            "languages": st.dictionaries(st.text(min_size=1, max_size=256), languages, max_size=3),
            "diarize": st.booleans() | st.lists(st.text(min_size=1), max_size=3).map(tuple),
            "profanity_filter": st.booleans(),
            "numerals": st.none() | st.booleans(),
            "captions": st.booleans(),
            "transcript_formats": st.lists(st.sampled_from(TranscriptFormat)).map(tuple),
            "leave_after_minutes": st.none() | st.floats(0.1, 5e5),
            "leave_when_alone_seconds": st.floats(0, 1e6),
        },
    )
)
def test_metadata_comes_back_as_it_went(values: dict[str, Any]) -> None:
    request = TranscriptionRequest(**values)
    assert TranscriptionRequest.parse(request.to_metadata()) == request


def test_a_language_that_is_no_tag_is_said_to_be_none() -> None:
    with pytest.raises(DispatchError) as caught:
        TranscriptionRequest.parse('{"language": "xx yy"}')
    assert str(caught.value) == (
        "language: 'xx yy' is not a BCP 47 tag, such as en or de-CH, nor auto or multi"
    )


@pytest.mark.parametrize("value", ["anna", 1, "true", [""], [5], ["x" * 257], {}, ["x"] * 201])
def test_what_to_diarize_is_everybody_nobody_or_a_list(value: object) -> None:
    assert refusal(json.dumps({"diarize": value})) == (
        "diarize: must be true, false or a list of up to 200 identities"
    )


def test_a_participants_language_is_held_to_the_same() -> None:
    assert refusal('{"languages": {"anna": "x y"}}') == (
        "languages: 'x y' is not a BCP 47 tag, such as en or de-CH, nor auto or multi"
    )
    assert refusal('{"languages": {"": "en"}}').startswith("languages: ")
    assert refusal('{"languages": {"anna": 5}}').startswith("languages: ")
    assert refusal('{"languages": ["en"]}').startswith("languages: ")


@pytest.mark.parametrize("name", ["profanity_filter", "numerals"])
def test_a_switch_is_on_or_off(name: str) -> None:
    assert refusal(json.dumps({name: "yes"})).startswith(f"{name}: ")
    assert refusal(json.dumps({name: 1})).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("given", "normal"), [("auto", "multi"), ("AUTO", "multi"), ("multi", "multi"), ("de", "de")]
)
def test_auto_and_multi_ask_for_the_same(given: str, normal: str) -> None:
    assert normal_language(given) == normal
