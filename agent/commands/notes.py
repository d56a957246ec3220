"""`notes`: what a meeting's notes say, and notes made anew from its transcript."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import Annotated

import typer

from metering import MeterSettings
from metering.cli import AsJson
from metering.sweeping import running

from ..errors import NotesError
from ..notes.document import Notes, read_notes, to_json
from ..notes.markdown import render_notes
from ..request import normal_language
from ..settings import AgentSettings
from ..transcript import transcript_folder
from .app import app, attempt, write_out
from .transcripts import Job


class NotesFormat(StrEnum):
    """What notes can be printed as."""

    MARKDOWN = "md"
    JSON = "json"


@app.command()
def notes(
    job: Job,
    format_: Annotated[
        NotesFormat, typer.Option("--format", help="What to print it as.")
    ] = NotesFormat.MARKDOWN,
    again: Annotated[
        bool, typer.Option("--again", help="Make them anew from the transcript as it reads now.")
    ] = False,
    template: Annotated[
        str | None, typer.Option(help="With --again: minutes, visit-note, session-recap or yours.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="With --again: a BCP 47 tag, or auto for the meeting's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a meeting's notes; each thing in them says who said it, and when."""
    if not again and (template or language):
        raise typer.BadParameter("--template and --language go with --again")
    found = attempt(lambda: _again(job, template, language) if again else _kept(job))
    if as_json or format_ is NotesFormat.JSON:
        sys.stdout.write(to_json(found))
    else:
        write_out(render_notes(found))


def _kept(job: str) -> Notes:
    return read_notes(transcript_folder(AgentSettings.load().transcripts_path, job))


def _again(job: str, template: str | None, language: str | None) -> Notes:
    # Only here: LiveKit's framework takes a second to import, and no other command waits for it.
    from ..notes.again import make_again

    settings = AgentSettings.load()
    folder = transcript_folder(settings.transcripts_path, job)
    if any(run.info.job_id == job for run in running(MeterSettings.load())):
        raise NotesError(f"job {job!r} still goes on; its notes come when it ends")
    tag = None if language is None else normal_language(language)
    return asyncio.run(make_again(settings, folder, template=template, language=tag))
