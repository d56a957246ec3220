"""OpenAI: the realtime transcription models."""

from __future__ import annotations

from typing import Any

from livekit.agents import stt

from ..listening.recognisers import StreamTraits
from ..settings import ModelChoice
from ..speech_options import SpeechOptions
from .wanted import Wanted, refuse_all

PACKAGE = "livekit.plugins.openai"

_TAKE_KEYWORDS = ("gpt-transcribe", "gpt-live-transcribe")
"""https://developers.openai.com/api/docs/guides/realtime-transcription"""


def check(choice: ModelChoice, options: SpeechOptions) -> None:
    """Refuse what a model cannot do. All of them find out the language where none is named.

    https://developers.openai.com/api/docs/guides/realtime-transcription

    Raises:
        DispatchError: keyterms for a model that takes none, or whatever no realtime session does.
    """
    use_other = "in a realtime session; leave it out, or use Deepgram"
    takes_keywords = choice.model.startswith(_TAKE_KEYWORDS)
    refuse_all(
        choice,
        options,
        keyterms=None if takes_keywords else f"takes none; use {' or '.join(_TAKE_KEYWORDS)}",
        diarize=f"tells no voices apart {use_other}",
        profanity_filter=f"filters no profanity {use_other}",
        numerals=f"has no choice of digits or words {use_other}",
    )


def traits(model: str) -> StreamTraits:
    """The plugin keeps a socket for the next stream, and does not say that this one is over."""
    return StreamTraits(ends=False, pools_sockets=True)


def build(wanted: Wanted) -> stt.STT[Any]:
    """The plugin's STT.

    Raises:
        ValueError: what the plugin refuses.
    """
    from livekit.plugins import openai

    options = wanted.options
    extra: dict[str, Any] = {"detect_language": True}
    if not options.is_detecting:
        extra = {"language": options.base_language}
    if options.keyterms:
        extra["keywords"] = list(options.keyterms)
    if wanted.settings.openai_base_url:
        extra["base_url"] = wanted.settings.openai_base_url
    return openai.STT(
        model=wanted.model,
        api_key=wanted.settings.openai_api_key.get_secret_value(),
        use_realtime=True,
        **extra,
    )
