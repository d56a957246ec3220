"""`transcript` and `correct`: any meeting's words as a file, and put right by hand."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from metering.cli import AsJson, print_json

from ..corrections import Correction, add_correction
from ..editing import changes, editable
from ..editing import edit as edit_text
from ..errors import TranscriptError
from ..rendering import one_line, render
from ..request import TranscriptFormat
from ..settings import AgentSettings
from ..transcript import read_transcript, render_again, transcript_folder
from .app import app, attempt, write_out

_MOST_CHARACTERS = 20_000
"""Of a corrected segment: far more than anybody says at a time."""

Job = Annotated[str, typer.Argument(help="The job's id, as `jobs` lists it.")]


@app.command()
def transcript(
    job: Job,
    format_: Annotated[
        TranscriptFormat, typer.Option("--format", help="What to write it as.")
    ] = TranscriptFormat.MARKDOWN,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file to write, instead of stdout.")
    ] = None,
    edit: Annotated[
        bool, typer.Option("--edit", help="Put words right in your editor; originals are kept.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who corrects; by default who is logged in.")] = "",
) -> None:
    """Write a meeting's transcript, also of one that was killed or still goes on."""
    if edit:
        _edit(job, by)
        return

    def work() -> None:
        folder = transcript_folder(AgentSettings.load().transcripts_path, job)
        text = render(read_transcript(folder), format_)
        if output is None:
            write_out(text)
            return
        try:
            output.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            raise TranscriptError(f"cannot write {output}: {error.strerror}") from error

    attempt(work)


@app.command()
def correct(
    job: Job,
    segment: Annotated[str, typer.Argument(help="The segment's id, as in --format json.")],
    text: Annotated[str, typer.Argument(help="What was said.")],
    by: Annotated[str, typer.Option(help="Who corrects; by default who is logged in.")] = "",
    as_json: AsJson = False,
) -> None:
    """Put one segment right: every format shows it so, and the original is kept beside it."""
    attempt(lambda: _correct(job, {segment: text}, by))
    if as_json:
        print_json({"job_id": job, "segment_id": segment, "text": text})
    else:
        typer.echo(f"{one_line(segment)} corrected")


def _edit(job: str, by: str) -> None:
    def work() -> int:
        folder = transcript_folder(AgentSettings.load().transcripts_path, job)
        segments = read_transcript(folder).segments
        wanted = changes(segments, edit_text(editable(segments), folder))
        _correct(job, wanted, by)
        return len(wanted)

    typer.echo(f"{attempt(work)} corrected")


def _correct(job: str, wanted: dict[str, str], by: str) -> None:
    """Append corrections, and write anew the files that there are."""
    folder = transcript_folder(AgentSettings.load().transcripts_path, job)
    known = {segment.segment_id for segment in read_transcript(folder).segments}
    for segment_id, text in wanted.items():
        if segment_id not in known:
            raise TranscriptError(
                f"no segment {segment_id!r} in {job}: `transcript {job} --format json` lists them"
            )
        if len(text) > _MOST_CHARACTERS:
            raise TranscriptError(
                f"the text for {segment_id} has {len(text)} characters, {_MOST_CHARACTERS} are"
                " allowed"
            )
    for segment_id, text in wanted.items():
        add_correction(
            folder,
            Correction(
                segment_id=segment_id,
                text=" ".join(text.split()),
                by=by or _logged_in(),
                at=datetime.now(UTC),
            ),
        )
    if wanted:
        render_again(folder)


def _logged_in() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"  # A container's user need not have a name.
