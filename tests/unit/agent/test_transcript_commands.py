"""`transcript` and `correct`: any meeting's words, and what is put right by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import time_machine
from typer.testing import CliRunner, Result

from agent.cli import app
from agent.editing import changes, editable
from agent.errors import TranscriptError
from agent.transcript import read_transcript
from tests.unit.agent.builders import segment
from tests.unit.agent.meetings import SAID, keep_meeting

PLAIN = """\
[00:00:01] Alice: The budget is twelve thousand.
[00:00:03] Bob: And the roof?
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def printed(*arguments: str) -> str:
    result = call(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(*arguments: str) -> str:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("format_", ["md", "vtt", "srt", "txt", "json"])
def test_every_format_is_the_file_that_the_job_would_have_written(
    format_: str, tmp_path: Path
) -> None:
    folder = keep_meeting(tmp_path)
    text = printed("transcript", "AJ_test", "--format", format_)
    assert text == (folder / f"transcript.{format_}").read_text("utf-8")


def test_a_killed_meeting_has_its_transcript_too(tmp_path: Path) -> None:
    folder = keep_meeting(tmp_path, finished=False)
    with (folder / "segments.jsonl").open("ab") as file:
        file.write(b'{"segment_id": "SG_3", "te')
    assert printed("transcript", "AJ_test", "--format", "txt") == PLAIN
    assert not (folder / "transcript.txt").exists()


def test_into_a_file(tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    target = tmp_path / "out.txt"
    assert printed("transcript", "AJ_test", "--format", "txt", "-o", str(target)) == ""
    assert target.read_text("utf-8") == PLAIN
    said = refused("transcript", "AJ_test", "-o", str(tmp_path / "no" / "out.txt"))
    assert said.endswith("No such file or directory")


@pytest.mark.parametrize("job", ["AJ_none", "", "..", "../transcripts/AJ_test", "/etc"])
def test_a_job_without_a_transcript(job: str, tmp_path: Path) -> None:
    keep_meeting(tmp_path)
    assert f"no transcript of job {job!r}" in refused("transcript", job)


@time_machine.travel("2026-11-21T08:00:00Z", tick=False)
def test_a_correction_is_shown_in_all_formats_and_keeps_the_original(tmp_path: Path) -> None:
    folder = keep_meeting(tmp_path)
    heard = (folder / "segments.jsonl").read_bytes()
    printed("correct", "AJ_test", "SG_1", "The budget is  twenty thousand.", "--by", "carol")
    for format_ in ("md", "vtt", "srt", "txt"):
        text = printed("transcript", "AJ_test", "--format", format_)
        assert "The budget is twenty thousand." in text
        assert "twelve" not in text
        assert (folder / f"transcript.{format_}").read_text("utf-8") == text
    first, second = json.loads((folder / "transcript.json").read_text("utf-8"))["segments"]
    assert first["text"] == "The budget is twenty thousand."
    assert first["correction"] == {
        "original": "The budget is twelve thousand.",
        "by": "carol",
        "at": "2026-11-21T08:00:00.000Z",
    }
    assert "correction" not in second
    assert (folder / "segments.jsonl").read_bytes() == heard


def test_the_last_correction_counts(tmp_path: Path) -> None:
    folder = keep_meeting(tmp_path, finished=False)
    for text in ("Thirteen.", "Fourteen."):
        printed("correct", "AJ_test", "SG_1", text, "--by", "carol")
    transcript = read_transcript(folder)
    assert transcript.segments[0].text == "Fourteen."
    assert transcript.corrected["SG_1"].original == "The budget is twelve thousand."
    with (folder / "corrections.jsonl").open("ab") as file:
        file.write(b'{"segment_id": "SG_1", "text": "Torn')
    printed("correct", "AJ_test", "SG_2", "And the cellar?", "--by", "carol")
    assert [one.text for one in read_transcript(folder).segments] == [
        "Fourteen.",
        "And the cellar?",
    ]


def test_what_cannot_be_corrected(tmp_path: Path) -> None:
    folder = keep_meeting(tmp_path)
    assert "no segment 'SG_9' in AJ_test" in refused("correct", "AJ_test", "SG_9", "x")
    assert "has 20001 characters" in refused("correct", "AJ_test", "SG_1", "x" * 20_001)
    assert not (folder / "corrections.jsonl").exists()


def editor(folder: Path, *replacements: str) -> str:
    """An editor that replaces each first text by the next."""
    program = folder / "editor.py"
    program.write_text(
        "import sys, pathlib\n"
        "path = pathlib.Path(sys.argv[-1])\n"
        "text = path.read_text('utf-8')\n"
        f"pairs = {replacements!r}\n"
        "for old, new in zip(pairs[::2], pairs[1::2]):\n"
        "    assert old in text\n"
        "    text = text.replace(old, new)\n"
        "path.write_text(text, 'utf-8')\n",
        "utf-8",
    )
    return f"{sys.executable} {program}"


def test_corrected_in_an_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = keep_meeting(tmp_path)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor(tmp_path, "roof", "proof | of it"))
    assert printed("transcript", "AJ_test", "--edit", "--by", "carol") == "1 corrected\n"
    assert [one.text for one in read_transcript(folder).segments] == [
        "The budget is twelve thousand.",
        "And the proof | of it?",
    ]
    assert list(folder.glob(".edit*")) == []


@pytest.mark.parametrize("named", ["no-such-editor", f"{sys.executable} -c 'raise SystemExit(3)'"])
def test_an_editor_that_fails(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = keep_meeting(tmp_path)
    monkeypatch.setenv("VISUAL", named)
    assert "cannot edit with EDITOR=" in refused("transcript", "AJ_test", "--edit")
    assert not (folder / "corrections.jsonl").exists()


class TestEditedText:
    def test_nothing_changed(self) -> None:
        assert changes(SAID, editable(SAID)) == {}

    def test_lines_that_were_moved_or_removed(self) -> None:
        lines = editable(SAID).splitlines()
        assert changes(SAID, "\n".join(reversed(lines))) == {}
        assert changes(SAID, "\n".join(lines[:-1])) == {}

    def test_a_line_of_nobodys(self) -> None:
        with pytest.raises(TranscriptError, match=r"line 3 .* nothing was changed"):
            changes(SAID, editable(SAID).replace("SG_1", "SG_7"))

    def test_hostile_names_and_words(self) -> None:
        hostile: list[Any] = [
            segment(segment_id="SG_3", name="a | b\nSG_4 | 00:00:01 | x", text="# | \x1b[2J\n#"),
            segment(segment_id="SG_4", name="", speaker="", text=""),
        ]
        text = editable(hostile)
        assert changes(hostile, text) == {}
        assert changes(hostile, text + "") == {}
        assert changes(hostile, text.replace("[2J", "[3J")) == {"SG_3": "# | [3J #"}
