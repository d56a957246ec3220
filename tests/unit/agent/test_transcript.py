from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.errors import TranscriptError
from agent.request import TranscriptFormat
from agent.segments import Gap, Segment, Transcript
from agent.transcript import TranscriptWriter, read_transcript
from tests.unit.agent.builders import meeting, segment

# A run that is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

ALL = tuple(TranscriptFormat)
FIRST = segment()
SECOND = segment(segment_id="SG_2", speaker="bob", name="Bob", text="Hi.", start=0.5, end=0.9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "transcripts" / "AJ_test"


def test_a_meeting_in_which_nothing_is_said_yet_can_be_read(folder: Path) -> None:
    TranscriptWriter(folder, meeting())
    assert read_transcript(folder) == Transcript(meeting(), [], [])


async def test_each_segment_is_on_disk_when_it_was_added(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    assert read_transcript(folder)[1] == [FIRST]
    await writer.add(SECOND)
    assert read_transcript(folder) == Transcript(meeting(), [SECOND, FIRST], [])


async def test_each_segment_is_flushed_to_the_disk_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append((folder / "segments.jsonl").read_text())
        fsync(descriptor)

    writer = TranscriptWriter(folder, meeting())
    monkeypatch.setattr(os, "fsync", watched)
    await writer.add(FIRST)
    (on_disk,) = synced
    assert json.loads(on_disk)["text"] == "Good morning."


def test_segments_from_before_there_were_voices_still_read(folder: Path) -> None:
    TranscriptWriter(folder, meeting())
    old = asdict(segment())
    del old["voice"]
    (folder / "segments.jsonl").write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert read_transcript(folder)[1] == [segment(voice=None)]


async def test_a_torn_last_line_costs_no_more_than_itself(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    await writer.add(SECOND)
    path = folder / "segments.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert read_transcript(folder)[1] == [FIRST]

    again = TranscriptWriter(folder, meeting())
    await again.add(SECOND)
    assert read_transcript(folder)[1] == [SECOND, FIRST]


async def test_a_line_torn_inside_a_character(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    with (folder / "segments.jsonl").open("ab") as file:
        file.write('{"text": "ü'.encode()[:-1])
    assert read_transcript(folder)[1] == [FIRST]


async def test_a_second_run_of_the_job_goes_on_on_the_first_ones_clock(folder: Path) -> None:
    first = TranscriptWriter(folder, meeting())
    assert first.said_before == []
    assert first.on_clock(FIRST) == FIRST
    await first.add(FIRST)

    later = meeting(started_at=meeting().started_at + timedelta(seconds=90))
    second = TranscriptWriter(folder, later)
    assert second.meeting == meeting()
    assert second.said_before == [FIRST]
    assert second.on_clock(SECOND).start == SECOND.start + 90
    await second.add(SECOND)
    paths = await second.finish([TranscriptFormat.JSON])

    data = json.loads(paths[0].read_text())
    assert data["started_at"] == "2026-11-20T09:30:15.250Z"
    assert [(item["speaker"], item["start"], item["started_at"]) for item in data["segments"]] == [
        ("alice", 1.0, "2026-11-20T09:30:16.250Z"),
        ("bob", 90.5, "2026-11-20T09:31:45.750Z"),
    ]
    assert read_transcript(folder)[0] == meeting()


def test_a_broken_head_does_not_stop_the_next_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "meeting.json").write_text("{")
    writer = TranscriptWriter(folder, meeting())
    assert writer.meeting == meeting()
    assert read_transcript(folder) == Transcript(meeting(), [], [])


async def test_the_files_at_the_end(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    await writer.add(SECOND)
    paths = await writer.finish(ALL)
    assert [path.name for path in paths] == [
        "transcript.md",
        "transcript.vtt",
        "transcript.srt",
        "transcript.txt",
        "transcript.json",
    ]
    assert (folder / "transcript.txt").read_text() == (
        "[00:00:00] Bob: Hi.\n[00:00:01] Alice: Good morning.\n"
    )
    assert sorted(os.listdir(folder)) == sorted(
        ["meeting.json", "segments.jsonl", *(path.name for path in paths)]
    )


async def test_no_files_where_none_are_asked_for(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    assert await writer.finish(()) == []
    assert read_transcript(folder)[1] == [FIRST]


async def test_a_file_is_whole_or_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    (folder / "transcript.txt").write_text("the old one")

    def stop(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(TranscriptError, match="No space left on device"):
        await writer.finish([TranscriptFormat.TEXT])
    assert (folder / "transcript.txt").read_text() == "the old one"


async def test_what_a_full_disk_refused_is_in_the_files_at_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(writer._file, "flush", lambda: full(0), raising=False)
        with pytest.raises(TranscriptError) as caught:
            await writer.add(SECOND)
    assert str(caught.value) == f"cannot write transcript {folder}: No space left on device"

    (path,) = await writer.finish([TranscriptFormat.TEXT])
    assert path.read_text() == "[00:00:00] Bob: Hi.\n[00:00:01] Alice: Good morning.\n"


async def test_a_file_that_cannot_even_be_closed(folder: Path) -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise OSError(28, "No space left on device")

    writer = TranscriptWriter(folder, meeting())
    writer._file.close()
    writer._file = Full()  # type: ignore[assignment]
    with pytest.raises(TranscriptError):
        await writer.add(FIRST)
    (path,) = await writer.finish([TranscriptFormat.TEXT])
    assert path.read_text() == "[00:00:01] Alice: Good morning.\n"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TranscriptError) as caught:
        TranscriptWriter(tmp_path / "file" / "AJ_test", meeting())
    assert str(caught.value) == (
        f"cannot write transcript {tmp_path / 'file' / 'AJ_test'}: Not a directory"
    )


def test_no_transcript_there(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match=f"no transcript in {tmp_path}"):
        read_transcript(tmp_path)


@pytest.mark.parametrize("head", ["{", "[]", '{"job_id": "AJ"}', '{"started_at": "soon"}'])
def test_a_broken_head_is_said(folder: Path, head: str) -> None:
    folder.mkdir(parents=True)
    (folder / "meeting.json").write_text(head)
    with pytest.raises(TranscriptError, match="cannot read transcript"):
        read_transcript(folder)


HOSTILE: list[dict[str, Any]] = [
    {"name": "Mallory\n{}", "text": 'a "quoted"\nline \u2028 with\x85 breaks'},
    {"name": "\x1b[31m\x00", "text": "\U0001f600 ü"},
]


@pytest.mark.parametrize("changes", HOSTILE)
async def test_whatever_is_said_comes_back(folder: Path, changes: dict[str, Any]) -> None:
    said: Segment = segment(**changes)
    writer = TranscriptWriter(folder, meeting())
    await writer.add(said)
    assert read_transcript(folder)[1] == [said]
    assert len(await writer.finish(ALL)) == 5


async def test_half_a_character_is_no_reason_to_lose_the_rest(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(segment(text="half \ud83d of it"))
    assert read_transcript(folder)[1] == [segment(text="half ? of it")]
    assert len(await writer.finish(ALL)) == 5


async def test_gaps_are_written_down_at_the_end_as_stretches(folder: Path) -> None:
    writer = TranscriptWriter(folder, meeting())
    await writer.add(FIRST)
    for number in range(40):
        start = 10 + number / 20
        writer.add_gap(
            Gap(speaker="bob", name="Bob", start=start, end=start + 0.05, track_id="TR_bob")
        )
    await writer.finish([TranscriptFormat.JSON])
    whole = Gap(speaker="bob", name="Bob", start=10.0, end=12.0, track_id="TR_bob")
    assert read_transcript(folder) == Transcript(meeting(), [FIRST], [whole])
    data = json.loads((folder / "transcript.json").read_text("utf-8"))
    assert [(gap["start"], gap["end"]) for gap in data["gaps"]] == [(10.0, 12.0)]
