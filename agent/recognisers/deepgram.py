"""Deepgram: the Nova models behind `/v1/listen`."""

from __future__ import annotations

from typing import Any

from livekit.agents import stt

from ..settings import ModelChoice
from ..speech_options import SpeechOptions
from .wanted import Wanted, refuse

PACKAGE = "livekit.plugins.deepgram"

_MULTILINGUAL = frozenset(
    {"nova-2", "nova-2-general", "nova-3", "nova-3-general", "nova-3-medical"}
)
"""https://developers.deepgram.com/docs/multilingual-code-switching"""

_ENGLISH_ONLY = frozenset(
    f"nova-2-{use}"
    for use in (
        *("meeting", "phonecall", "finance", "conversationalai", "voicemail", "video"),
        *("medical", "drivethru", "automotive"),
    )
)
"""https://developers.deepgram.com/docs/models-languages-overview; asked for another language, the
plugin would take nova-2-general instead, at its price."""

MOST_KEYTERM_WORDS = 500
"""500 tokens, and a word is one at least; with more, nothing is transcribed.
https://developers.deepgram.com/docs/keyterm"""


def takes_keyterms(model: str) -> bool:
    """Whether a model takes keyterms; the others take weighted keywords.

    https://developers.deepgram.com/docs/keyterm
    """
    return model.startswith("nova-3")


def is_multilingual(model: str) -> bool:
    """Whether a model finds out the language, also where it changes within a sentence."""
    return model in _MULTILINGUAL


def check(choice: ModelChoice, options: SpeechOptions) -> None:
    """Refuse what a model cannot do.

    Speakers, profanity and numerals are features of all Nova models; for some languages the
    latter two change nothing.
    https://developers.deepgram.com/docs/stt-streaming-feature-overview

    Raises:
        DispatchError: keyterms where there are none or too many, or a language that it lacks.
    """
    model = choice.model
    if options.keyterms and not takes_keyterms(model):
        raise refuse("keyterms", choice, "takes none; use a nova-3 model")
    if (count := sum(len(term.split()) for term in options.keyterms)) > MOST_KEYTERM_WORDS:
        raise refuse("keyterms", choice, f"takes {MOST_KEYTERM_WORDS} words at most, not {count}")
    if options.is_detecting and not is_multilingual(model):
        raise refuse("language", choice, "cannot find out the language; name it, or use nova-3")
    if model in _ENGLISH_ONLY and options.base_language != "en":
        raise refuse(
            "language", choice, f"knows English only, not {options.language!r}; use nova-3"
        )


def build(wanted: Wanted) -> stt.STT[Any]:
    """The plugin's STT.

    Raises:
        ValueError: what the plugin refuses.
    """
    from livekit.plugins import deepgram

    options = wanted.options
    extra: dict[str, Any] = {"keyterm": list(options.keyterms)} if options.keyterms else {}
    return deepgram.STT(
        model=wanted.model,
        language="en" if wanted.model in _ENGLISH_ONLY else options.language,
        interim_results=True,
        # Has digits in it, and punctuation beside: https://developers.deepgram.com/docs/smart-format
        smart_format=options.numerals is not False,
        numerals=options.numerals is True,
        punctuate=True,
        enable_diarization=options.diarize,
        profanity_filter=options.profanity_filter,
        api_key=wanted.settings.deepgram_api_key.get_secret_value(),
        base_url=wanted.settings.deepgram_base_url,
        http_session=wanted.http_session(),
        **extra,
    )
