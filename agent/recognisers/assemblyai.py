"""AssemblyAI: its streaming models behind `/v3/ws`.

Its sessions are billed until they are terminated. The metered client session that the plugin is
given sees to that: it says Terminate where the plugin does not, and opens every session with an
inactivity timeout.
"""

from __future__ import annotations

import operator
from typing import Any

from livekit.agents import stt

from ..errors import SettingsError
from ..listening.recognisers import StreamTraits
from ..settings import ModelChoice
from ..speech_options import SpeechOptions
from .wanted import Wanted, refuse, refuse_all

PACKAGE = "livekit.plugins.assemblyai"

_ENGLISH = "universal-streaming-english"
_MULTILINGUAL = "universal-streaming-multilingual"
_PRO = ("u3-rt-pro", "universal-3-5-pro", "universal-3-6-pro")
MODELS = (_ENGLISH, _MULTILINGUAL, *_PRO)
"""https://www.assemblyai.com/docs/streaming/select-the-speech-model"""

_SIX = frozenset({"en", "es", "de", "fr", "pt", "it"})
_LANGUAGES = {_ENGLISH: frozenset({"en"}), _MULTILINGUAL: _SIX, "u3-rt-pro": _SIX}
"""The later Pro models know more languages, in a list that grows; what they lack, they refuse.
https://www.assemblyai.com/docs/getting-started/models"""

LONGEST_KEYTERM = 50
"""Characters; 100 terms at most, which a request is held to already.
https://www.assemblyai.com/docs/streaming/keyterms-prompting"""


def check(choice: ModelChoice, options: SpeechOptions) -> None:
    """Refuse what a model cannot do, or what the plugin has no parameter for.

    All of them take keyterms and label speakers.
    https://www.assemblyai.com/docs/streaming/diarization-and-multichannel

    Raises:
        SettingsError: no such model.
        DispatchError: a language that it lacks, a keyterm that is too long, a profanity filter
            (which LiveKit's plugin cannot pass on), or a format of numbers.
    """
    if choice.model not in MODELS:
        raise SettingsError(
            f"TALLYROOM_STT={'/'.join(choice)} is no streaming model of AssemblyAI's; use one of"
            f" {', '.join(MODELS)}"
        )
    refuse_all(
        choice,
        options,
        profanity_filter="filters none through LiveKit's plugin; use Deepgram",
        numerals="has no choice of digits or words; leave it out, or use Deepgram",
    )
    for number, term in enumerate(options.keyterms, start=1):
        if len(term) > LONGEST_KEYTERM:
            # The word itself may be a name, and the refusal is logged.
            raise refuse(
                "keyterms",
                choice,
                f"takes {LONGEST_KEYTERM} characters; no. {number} has {len(term)}",
            )
    if options.is_detecting and choice.model == _ENGLISH:
        raise refuse("language", choice, f"knows English only; use {_MULTILINGUAL}")
    known = _LANGUAGES.get(choice.model)
    if known and not options.is_detecting and options.base_language not in known:
        raise refuse(
            "language",
            choice,
            f"does not know {options.language!r}, it knows {', '.join(sorted(known))}",
        )


def traits(model: str) -> StreamTraits:
    """It hangs up (3007) on whoever is too far ahead of the time that passes.

    "Audio Transmission Rate Exceeded: Received 314.9 sec. audio in 1.312326 sec", as quoted in
    https://github.com/pigeonai-org/ViDove/pull/3; its documentation names no figure.
    https://www.assemblyai.com/docs/streaming/guides/stream_prerecorded_file_realtime

    A turn ends by silence, or by ForceEndpoint; the plugin sends nothing for a flush. Having said
    Terminate it waits for an answer until 5 s without one have passed, and then ends.
    """
    return StreamTraits(quiet=2.5, lead=240.0, ask=operator.methodcaller("force_endpoint"))


def build(wanted: Wanted) -> stt.STT[Any]:
    """The plugin's STT.

    The multilingual models find out the language by themselves; the Pro models can be held to one.

    Raises:
        ValueError: what the plugin refuses.
    """
    from livekit.plugins import assemblyai

    options = wanted.options
    extra: dict[str, Any] = {}
    if options.keyterms:
        extra["keyterms_prompt"] = list(options.keyterms)
    if options.diarize:
        extra["speaker_labels"] = True
    if wanted.model not in _PRO:
        # Without, words come in lowercase and unpunctuated; the Pro models always format.
        extra["format_turns"] = True
    elif not options.is_detecting:
        extra["language_codes"] = [options.base_language]
    model: Any = wanted.model
    return assemblyai.STT(
        model=model,
        api_key=wanted.settings.assemblyai_api_key.get_secret_value(),
        base_url=wanted.settings.assemblyai_base_url,
        http_session=wanted.http_session(),
        **extra,
    )
