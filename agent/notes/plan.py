"""Which notes a meeting gets, if any: what its dispatch asks for, else what the settings say."""

from __future__ import annotations

from typing import NamedTuple

from ..ceiling import ceiling_prices
from ..errors import DispatchError, SettingsError
from ..request import TranscriptionRequest, normal_language
from ..settings import NONE, AgentSettings
from .template import Template, load_templates


class NotesPlan(NamedTuple):
    """Notes that are to be made, in a language: a BCP 47 tag, or `multi` for the meeting's own."""

    template: Template
    language: str


def plan_notes(settings: AgentSettings, request: TranscriptionRequest) -> NotesPlan | None:
    """The notes of a meeting; None where there is no LLM, or nobody wants any.

    Raises:
        DispatchError: it asks for a template that is not there, or for notes without an LLM.
        SettingsError: the templates cannot be read, or TALLYROOM_NOTES is none of them.
    """
    wanted = request.notes
    if wanted is False:
        return None
    if settings.llm_choice is None:
        if wanted is not None:
            raise DispatchError("notes: this worker has no LLM; set TALLYROOM_LLM, or leave it out")
        return None
    if settings.notes == NONE and not isinstance(wanted, str):
        if wanted:
            raise DispatchError("notes: name a template, for TALLYROOM_NOTES is none")
        return None
    language = normal_language(request.notes_language or request.language)
    if isinstance(wanted, str):
        return NotesPlan(_asked(settings, wanted), language)
    return NotesPlan(_default(settings), language)


def check_notes(settings: AgentSettings) -> None:
    """Refuse settings that no meeting could have notes by.

    Raises:
        SettingsError: the templates cannot be read, TALLYROOM_NOTES is none of them, or
            TALLYROOM_NOTES_MAX_COST cannot be kept because the LLM has no price.
        MeteringError: the rates cannot be read.
    """
    load_templates(settings.notes_templates)
    if settings.notes != NONE:
        _default(settings)
    ceiling_prices(settings, "notes_max_cost")


def _default(settings: AgentSettings) -> Template:
    templates = load_templates(settings.notes_templates)
    if settings.notes not in templates:
        raise SettingsError(
            f"TALLYROOM_NOTES={settings.notes!r} is no template; use one of"
            f" {', '.join(templates)}, or none"
        )
    return templates[settings.notes]


def _asked(settings: AgentSettings, name: str) -> Template:
    templates = load_templates(settings.notes_templates)
    if name not in templates:
        raise DispatchError(
            f"notes: {name!r} is no template; use one of {', '.join(templates)}, or false"
        )
    return templates[name]
