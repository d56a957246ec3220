"""Notes made from a transcript that is on disk: of a meeting that had none, or after corrections.

Nobody is in a room, so the LLM's use is a record of its own, charged to the meeting's tenant.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from pathlib import Path

from metering import MeterSettings, WebhookEvent, WorkMeter, owe

from ..ceiling import ceiling_of, ceiling_prices
from ..errors import NotesError, SettingsError
from ..language_models import check_llm
from ..request import MULTI
from ..segments import UNDETERMINED, Meeting, Transcript
from ..settings import NONE, AgentSettings
from ..transcript import read_transcript
from .conclusion import notes_of
from .document import Notes, NotesStatus, read_notes, write_notes
from .markdown import render_notes
from .rolling import Patience, RollingNotes
from .taker import open_model
from .template import Template, load_templates

LONGEST_SECONDS = 3600.0
TAG = "notes"


async def make_again(
    settings: AgentSettings,
    folder: Path,
    *,
    template: str | None = None,
    language: str | None = None,
    patience: Patience = Patience(),  # noqa: B008
) -> Notes:
    """Make a meeting's notes anew, from its transcript as it was corrected, and keep them.

    By the template and in the language that is named, else those of the notes that are there, else
    the settings' and the meeting's.

    Raises:
        TranscriptError: the transcript cannot be read.
        NotesError: none could be made, and those that were there stay; or they cannot be written.
        SettingsError: there is no such template, or an LLM or a ceiling that cannot be.
        MeteringError: the LLM's use cannot be put on record.
    """
    if settings.llm_choice is None:
        raise NotesError("notes need an LLM; set TALLYROOM_LLM, such as openai/gpt-4.1-mini")
    check_llm(settings)
    transcript = read_transcript(folder)
    before = _notes_before(folder)
    chosen = _template(settings, template or (before.template if before else None))
    prices = ceiling_prices(settings, "notes_max_cost")
    meeting = transcript.meeting
    job_id = f"{meeting.job_id}.{TAG}-{uuid.uuid4().hex[:8]}"
    async with WorkMeter(job_id, tenant=meeting.tenant, tags=[TAG]) as meter:
        model = open_model(settings, meter)
        try:
            rolling = RollingNotes(
                chosen,
                model,
                language=language or (before.language if before else _language(transcript)),
                title=meeting.title,
                ceiling=ceiling_of(settings, "notes_max_cost", model, prices),
                patience=patience,
            )
            for segment in transcript.segments:
                rolling.add(segment)
            await rolling.finish(within=LONGEST_SECONDS)
        finally:
            await model.aclose()
        notes = notes_of(meeting, rolling, model.name)
    if notes.status is NotesStatus.NONE:
        stays = "; those that were there stay" if before else ""
        raise NotesError(f"no notes could be made: {notes.reason}{stays}")
    write_notes(folder, notes, render_notes(notes))
    await asyncio.to_thread(_announce, meeting, notes)
    return notes


def _announce(meeting: Meeting, notes: Notes) -> None:
    """Whoever is told by webhook of the meeting's notes is told of these, too."""
    told = {
        "job_id": meeting.job_id,
        "room_name": meeting.room_name,
        "tenant": meeting.tenant,
        "title": meeting.title,
        "notes": notes.model_dump(mode="json"),
    }
    again = notes.made_at.isoformat()
    owe(MeterSettings.load(), WebhookEvent.NOTES, told, again=again)


def _notes_before(folder: Path) -> Notes | None:
    try:
        return read_notes(folder)
    except NotesError:
        return None


def _template(settings: AgentSettings, name: str | None) -> Template:
    templates = load_templates(settings.notes_templates)
    name = name or (settings.notes if settings.notes != NONE else "minutes")
    if name not in templates:
        raise SettingsError(f"{name!r} is no template of notes; use one of {', '.join(templates)}")
    return templates[name]


def _language(transcript: Transcript) -> str:
    """What was mostly spoken, by segments."""
    spoken = Counter(one.language for one in transcript.segments)
    spoken.pop(UNDETERMINED, None)
    return spoken.most_common(1)[0][0] if spoken else MULTI
