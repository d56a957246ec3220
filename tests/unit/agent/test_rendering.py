from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.rendering import one_line, render, speaker_label
from agent.request import TranscriptFormat
from agent.segments import Gap, Segment, in_order
from tests.unit.agent.builders import segment, transcript

SAID = in_order(
    [
        segment(segment_id="SG_1", text="Good morning, all.", start=0.5, end=3.25),
        segment(
            segment_id="SG_2",
            speaker="bob",
            name="",
            text="Morning!",
            start=2.0,
            end=2.75,
            confidence=None,
            track_id="TR_bob",
        ),
        segment(segment_id="SG_3", text="R&D first: 2 < 3.", start=3661.0, end=3662.0004),
    ]
)

MARKDOWN = """\
# Weekly

2026-11-20 09:30 UTC

**Alice** [00:00:00] Good morning, all.

**bob** [00:00:02] Morning!

**Alice** [01:01:01] R&D first: 2 \\< 3.
"""

WEBVTT = """\
WEBVTT

00:00:00.500 --> 00:00:03.250
<v Alice>Good morning, all.</v>

00:00:02.000 --> 00:00:02.750
<v bob>Morning!</v>

01:01:01.000 --> 01:01:02.000
<v Alice>R&amp;D first: 2 &lt; 3.</v>
"""

SUBRIP = """\
1
00:00:00,500 --> 00:00:03,250
Alice: Good morning, all.

2
00:00:02,000 --> 00:00:02,750
bob: Morning!

3
01:01:01,000 --> 01:01:02,000
Alice: R&D first: 2 < 3.
"""

TEXT = """\
[00:00:00] Alice: Good morning, all.
[00:00:02] bob: Morning!
[01:01:01] Alice: R&D first: 2 < 3.
"""


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        (TranscriptFormat.MARKDOWN, MARKDOWN),
        (TranscriptFormat.WEBVTT, WEBVTT),
        (TranscriptFormat.SUBRIP, SUBRIP),
        (TranscriptFormat.TEXT, TEXT),
    ],
)
def test_a_small_transcript_with_an_overlap(format_: TranscriptFormat, expected: str) -> None:
    assert render(transcript(SAID), format_) == expected


def test_json_has_the_meeting_clock_and_utc() -> None:
    data = json.loads(render(transcript(SAID), TranscriptFormat.JSON))
    assert {key: value for key, value in data.items() if key != "segments"} == {
        "job_id": "AJ_test",
        "title": "Weekly",
        "room_name": "weekly-room",
        "started_at": "2026-11-20T09:30:15.250Z",
        "gaps": [],
    }
    assert [item["segment_id"] for item in data["segments"]] == ["SG_1", "SG_2", "SG_3"]
    assert data["segments"][1] == {
        "segment_id": "SG_2",
        "speaker": "bob",
        "name": "",
        "voice": None,
        "text": "Morning!",
        "start": 2.0,
        "end": 2.75,
        "started_at": "2026-11-20T09:30:17.250Z",
        "ended_at": "2026-11-20T09:30:18.000Z",
        "language": "en",
        "confidence": None,
        "track_id": "TR_bob",
    }


def test_who_of_several_on_a_microphone_said_it() -> None:
    said = [segment(voice=2, name="Anna", start=1.0, end=2.5)]
    assert "**Anna (voice 2)** [00:00:01] " in render(transcript(said), TranscriptFormat.MARKDOWN)
    assert "<v Anna (voice 2)>Good" in render(transcript(said), TranscriptFormat.WEBVTT)
    assert "\nAnna (voice 2): Good" in render(transcript(said), TranscriptFormat.SUBRIP)
    assert "] Anna (voice 2): Good" in render(transcript(said), TranscriptFormat.TEXT)
    (shown,) = json.loads(render(transcript(said), TranscriptFormat.JSON))["segments"]
    assert (shown["name"], shown["voice"]) == ("Anna", 2)


def test_nothing_said_is_still_a_file() -> None:
    assert render(transcript([], title=""), TranscriptFormat.MARKDOWN).startswith("# weekly-room\n")
    assert render(transcript([]), TranscriptFormat.WEBVTT) == "WEBVTT\n\n"
    assert render(transcript([]), TranscriptFormat.SUBRIP) == ""
    assert render(transcript([]), TranscriptFormat.TEXT) == ""
    assert json.loads(render(transcript([]), TranscriptFormat.JSON))["segments"] == []


def test_no_cue_is_empty() -> None:
    instant = [segment(start=2.0, end=2.0)]
    assert "00:00:02.000 --> 00:00:02.001" in render(transcript(instant), TranscriptFormat.WEBVTT)
    assert "00:00:02,000 --> 00:00:02,001" in render(transcript(instant), TranscriptFormat.SUBRIP)


@pytest.mark.parametrize(
    ("name", "identity", "label"),
    [
        ("Alice", "alice", "Alice"),
        ("", "alice", "alice"),
        (" \n\t", "alice", "alice"),
        ("\x1b\u202e", "", "unknown"),
        ("Ali\r\nce", "alice", "Ali ce"),
        ("\x1b[31mAlice\x1b[0m", "alice", "[31mAlice[0m"),
        ("Alice \U0001f469\u200d\U0001f680", "alice", "Alice \U0001f469\u200d\U0001f680"),
        ("\u202eecila", "alice", "ecila"),
    ],
)
def test_what_a_speaker_is_called(name: str, identity: str, label: str) -> None:
    assert speaker_label(segment(name=name, speaker=identity)) == label


HOSTILE = [
    "Mallory\n\n00:00:00.000 --> 00:09:00.000\n<v Bob>I resign",
    "Mallory\r\n\r\n2\r\n00:00:00,000 --> 00:09:00,000\r\nBob: I resign",
    "Mallory</v><v Bob>I resign",
    "Mallory ---> Bob ----> x --> y",
    "Mallory**\n\n**Bob** [00:00:00] I resign",
    "Mallory\u2028[00:00:00] Bob: I resign\u2029[00:00:01] Bob\x85[00:00:02] Bob",
    "Mallory` `` ```\n# Heading\n| a | b |\n<script>alert(1)</script>",
    "Mallory\x1b]0;title\x07\x1b[2J\x9b2J\x00\x7f",
    "Mallory &lt;v Bob&gt; &amp; [Bob](javascript:x) ![](x) ~~_{*}_~~ \\",
    "NOTE a comment\n\nSTYLE\n::cue {}\n\nWEBVTT",
]


@pytest.mark.parametrize("field", ["name", "text", "speaker"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_stay_in_their_place(hostile: str, field: str) -> None:
    changes = {"name": ""} if field == "speaker" else {}
    said = [segment(**changes | {field: hostile}), segment(segment_id="SG_2", start=5.0, end=6.0)]

    vtt = render(transcript(said, title=hostile), TranscriptFormat.WEBVTT)
    assert vtt.count("\n\n") == 2
    assert [line.count("-->") for line in vtt.split("\n")] == [0, 0, 1, 0, 0, 1, 0, 0]
    assert vtt.count("<v ") == vtt.count("</v>") == 2
    assert vtt.count("<") == 4

    srt = render(transcript(said, title=hostile), TranscriptFormat.SUBRIP)
    assert srt.count("\n\n") == 1
    assert [line.count("-->") for line in srt.split("\n")] == [0, 1, 0, 0, 0, 1, 0, 0]

    plain = render(transcript(said, title=hostile), TranscriptFormat.TEXT)
    assert [line[:11] for line in plain.splitlines()] == ["[00:00:01] ", "[00:00:05] "]

    markdown = render(transcript(said, title=hostile), TranscriptFormat.MARKDOWN)
    lines = markdown.split("\n")
    assert len(lines) == 8
    bare = [re.sub(r"\\.", "", line) for line in lines]
    assert [line.count("**") for line in bare] == [0, 0, 0, 0, 2, 0, 2, 0]
    assert not any(mark in line[2:] for line in bare for mark in "`#<>|~_{")

    for text in (vtt, srt, plain, markdown):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)

    data = json.loads(render(transcript(said, title=hostile), TranscriptFormat.JSON))
    assert data["title"] == hostile
    assert data["segments"][0][field] == hostile


anything = st.text(max_size=30)
segments = st.lists(
    st.builds(
        segment,
        name=anything,
        text=anything,
        start=st.floats(0, 1e5),
        end=st.floats(0, 1e5),
    ),
    max_size=5,
)


@given(segments)
@example([segment(name="--", text="")])
def test_there_are_as_many_cues_as_segments(said: list[Segment]) -> None:
    vtt = render(transcript(said), TranscriptFormat.WEBVTT)
    assert len(re.findall(r"^[\d:]{8,9}\.\d{3} --> [\d:]{8,9}\.\d{3}$", vtt, re.M)) == len(said)
    assert vtt.count("-->") == len(said)
    srt = render(transcript(said), TranscriptFormat.SUBRIP)
    assert len(re.findall(r"^\d+\n[\d:]{8,9},\d{3} --> [\d:]{8,9},\d{3}$", srt, re.M)) == len(said)
    assert srt.count("-->") == len(said)
    assert len(render(transcript(said), TranscriptFormat.TEXT).splitlines()) == len(said)


@given(anything)
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert one_line(one_line(text)) == one_line(text)


def test_what_could_not_be_heard_is_said_where_it_was() -> None:
    gaps = [
        Gap(speaker="bob", name="Bob", start=1.0, end=1.9, track_id="TR_bob"),
        Gap(speaker="", name="", start=60.0, end=90.0, track_id=""),
    ]
    whole = transcript(SAID, gaps)
    text = render(whole, TranscriptFormat.TEXT).splitlines()
    assert "[00:00:01] Bob: [not heard for 1 s]" in text
    assert text[-2] == "[00:01:00] Transcriber: [not heard for 30 s]"
    assert [line[:10] for line in text] == sorted(line[:10] for line in text)
    assert "\\[not heard for 30 s\\]" in render(whole, TranscriptFormat.MARKDOWN)
    assert "00:01:00.000 --> 00:01:30.000" in render(whole, TranscriptFormat.WEBVTT)
    assert json.loads(render(whole, TranscriptFormat.JSON))["gaps"][1] == {
        "speaker": "",
        "name": "",
        "start": 60.0,
        "end": 90.0,
        "started_at": "2026-11-20T09:31:15.250Z",
        "ended_at": "2026-11-20T09:31:45.250Z",
        "track_id": "",
    }
