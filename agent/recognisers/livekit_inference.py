"""LiveKit Inference: several providers' models behind LiveKit's own gateway.

Each provider's parameters keep their names there; those of livekit-agents 1.8.9 are in the types
of livekit/agents/inference/stt.py. https://docs.livekit.io/agents/models/stt/
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livekit.agents import stt

from ..listening.recognisers import StreamTraits
from ..settings import ModelChoice
from ..speech_options import SpeechOptions
from . import assemblyai, deepgram
from .wanted import Wanted, refuse, refuse_all

Asked = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Able:
    """What some models can do, as the parameters that ask for it; None for what they cannot.

    `finds_language` says whether they find out the language, and `multi` whether they want to be
    asked for it by that name.
    """

    keyterms: Callable[[list[str]], Asked] | None = None
    diarize: Asked | None = None
    profanity_filter: Asked | None = None
    numerals: Callable[[bool], Asked] | None = None
    finds_language: bool = False
    multi: bool = False


def _deepgram(model: str) -> _Able:
    if model.startswith("flux"):
        finds = model == "flux-general-multi"
        return _Able(lambda terms: {"keyterm": terms}, finds_language=finds, multi=finds)
    takes_keyterms = deepgram.takes_keyterms(model)
    return _Able(
        keyterms=(lambda terms: {"keyterm": terms}) if takes_keyterms else None,
        diarize={"diarize": True},
        profanity_filter={"profanity_filter": True},
        numerals=lambda digits: {"numerals": digits, "smart_format": digits, "punctuate": True},
        finds_language=deepgram.is_multilingual(model),
        multi=True,
    )


def _assemblyai(model: str) -> _Able:
    return _Able(
        keyterms=lambda terms: {"keyterms_prompt": terms},
        diarize={"speaker_labels": True},
        finds_language=model != "universal-streaming",
    )


def _speechmatics(model: str) -> _Able:
    return _Able(
        keyterms=lambda terms: {"additional_vocab": [{"content": term} for term in terms]},
        diarize={"diarization": "speaker"},
    )


def _xai(model: str) -> _Able:
    return _Able(diarize={"diarize": True}, numerals=lambda digits: {"format": digits})


def _openai(model: str) -> _Able:
    return _Able(keyterms=lambda terms: {"keywords": terms}, finds_language=True)


def _google(model: str) -> _Able:
    return _Able(keyterms=lambda terms: {"custom_vocabulary": terms}, finds_language=True)


_ABLE: dict[str, Callable[[str], _Able]] = {
    "deepgram": _deepgram,
    "assemblyai": _assemblyai,
    "speechmatics": _speechmatics,
    "xai": _xai,
    "openai": _openai,
    "google": _google,
}
_NOTHING = _Able()
"""Of a model that is not known here: a language, and no more."""


def _able(model: str) -> _Able:
    provider, _, name = model.partition("/")
    return _ABLE[provider](name) if provider in _ABLE else _NOTHING


def check(choice: ModelChoice, options: SpeechOptions) -> None:
    """Refuse what a model cannot do behind the gateway.

    Raises:
        DispatchError: naming the first such thing.
    """
    able = _able(choice.model)
    cannot = "cannot through LiveKit Inference; leave it out, or use livekit/deepgram/nova-3"
    refuse_all(
        choice,
        options,
        keyterms=None if able.keyterms else cannot,
        diarize=None if able.diarize else cannot,
        profanity_filter=None if able.profanity_filter else cannot,
        numerals=None if able.numerals else cannot,
    )
    if options.is_detecting and not able.finds_language:
        raise refuse("language", choice, "cannot find out the language; name it")


def traits(model: str) -> StreamTraits:
    """The gateway's own; whose models they are may refuse a backlog behind it, too.

    Of a stream without words the framework's client waits for some for 30 s.
    """
    provider, _, name = model.partition("/")
    lead = assemblyai.traits(name).lead if provider == "assemblyai" else math.inf
    return StreamTraits(ends=False, lead=lead)


def build(wanted: Wanted) -> stt.STT[Any]:
    """The framework's own client.

    Raises:
        ValueError: what the client refuses.
    """
    from livekit.agents import inference

    options, able = wanted.options, _able(wanted.model)
    asked: Asked = {}
    if options.keyterms and able.keyterms:
        asked |= able.keyterms(list(options.keyterms))
    if options.diarize and able.diarize:
        asked |= able.diarize
    if options.profanity_filter and able.profanity_filter:
        asked |= able.profanity_filter
    if options.numerals is not None and able.numerals:
        asked |= able.numerals(options.numerals)
    named = able.multi or not options.is_detecting
    extra: Asked = {"language": options.language} if named else {}
    return inference.STT(
        wanted.model,
        extra_kwargs=asked,
        api_key=wanted.settings.livekit_api_key,
        api_secret=wanted.settings.livekit_api_secret.get_secret_value(),
        http_session=wanted.http_session(),
        **extra,
    )
