"""From a `provider/model` setting to the plugin object that does it.

Each provider is imported only when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livekit.agents import stt, vad

from metering import StreamingTerms

from .errors import DispatchError, SettingsError, TranscriberError
from .listening.speech_detector import SileroModel
from .request import TranscriptionRequest
from .settings import AgentSettings, ModelChoice
from .speech_model import BUNDLED_MODEL, SpeechModel, language_missing

if TYPE_CHECKING:
    import aiohttp

EMBEDDED = "faster-whisper"


@dataclass(frozen=True, slots=True)
class Warm:
    """What a job process has loaded before its first job; nothing for a provider elsewhere."""

    speech_models: Mapping[str, SpeechModel] = field(default_factory=dict)
    vad: vad.VAD | None = None
    speech_detector: SileroModel | None = None
    terms: Mapping[ModelChoice, StreamingTerms] = field(default_factory=dict)


def warm_up(
    settings: AgentSettings, terms: Mapping[ModelChoice, StreamingTerms] | None = None
) -> Warm:
    """Load whatever the chosen STT needs in this process; blocks for a second or two.

    `terms` are how the choices are billed, as far as that is known.

    Raises:
        SpeechModelError: the embedded model cannot be loaded.
        SettingsError: no such provider.
    """
    for choice in settings.stt_choices:
        _builder(choice)
        # Whatever the provider imports is not to be imported while people wait.
        importlib.import_module(_MODULES.get(choice.provider, __name__))
    embedded = [choice.model for choice in settings.stt_choices if choice.provider == EMBEDDED]
    detector = SileroModel.load()
    if not embedded:
        return Warm(speech_detector=detector, terms=terms or {})
    from livekit.plugins import silero

    models = {name: SpeechModel.load(name) for name in embedded}
    return Warm(models, silero.VAD.load(), detector, terms or {})


def provider_modules(settings: AgentSettings) -> list[str]:
    """What has to be imported for the chosen STTs, besides the embedded model's."""
    choices = settings.stt_choices
    return [_MODULES[choice.provider] for choice in choices if choice.provider in _MODULES]


def check_request(settings: AgentSettings, request: TranscriptionRequest) -> None:
    """Refuse what can be known to fail before a job is accepted.

    Raises:
        DispatchError: a tenant that is not allowed, a language that the embedded model lacks, or
            keyterms for a model that takes none.
        SettingsError: no such provider, or no key for it.
    """
    if settings.tenants and request.tenant not in settings.tenants:
        raise DispatchError(f"tenant {request.tenant!r} is not among TALLYROOM_TENANTS")
    choice = settings.stt_choice
    _builder(choice)
    _check_key(settings, choice)
    if request.keyterms and choice.provider == "deepgram" and not takes_keyterms(choice.model):
        raise DispatchError(f"keyterms need a nova-3 model, TALLYROOM_STT is {'/'.join(choice)}")
    speaks_english_only = choice.provider == EMBEDDED and choice.model.endswith(".en")
    if speaks_english_only and request.language.partition("-")[0].lower() != "en":
        raise DispatchError(language_missing(choice.model, request.language, ["en"]))


def build_stt(
    settings: AgentSettings,
    request: TranscriptionRequest,
    warm: Warm,
    http_session: Callable[[], aiohttp.ClientSession],
    choice: ModelChoice | None = None,
) -> stt.STT[Any]:
    """The STT for one job, as set or chosen; its sockets, if any, go through `http_session`.

    Raises:
        SettingsError: no such provider, no key for it, or a model that the plugin refuses.
        SpeechModelError: the embedded model lacks the language.
    """
    choice = choice or settings.stt_choice
    build = _builder(choice)
    _check_key(settings, choice)
    try:
        return build(_Wanted(settings, request, warm, http_session, choice.model))
    except TranscriberError:
        raise
    except ValueError as error:
        raise SettingsError(f"TALLYROOM_STT={'/'.join(choice)} cannot be used: {error}") from error


def takes_keyterms(model: str) -> bool:
    """Whether a model of Deepgram's takes keyterms; the others take weighted keywords.

    https://developers.deepgram.com/docs/keyterm
    """
    return model.startswith("nova-3")


def _check_key(settings: AgentSettings, choice: ModelChoice) -> None:
    keys = {
        "deepgram": {"DEEPGRAM_API_KEY": settings.deepgram_api_key.get_secret_value()},
        "openai": {"OPENAI_API_KEY": settings.openai_api_key.get_secret_value()},
        "livekit": {
            "LIVEKIT_API_KEY": settings.livekit_api_key,
            "LIVEKIT_API_SECRET": settings.livekit_api_secret.get_secret_value(),
        },
    }
    missing = [variable for variable, key in keys.get(choice.provider, {}).items() if not key]
    if missing:
        raise SettingsError(f"TALLYROOM_STT={'/'.join(choice)} needs {' and '.join(missing)}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an STT is built from."""

    settings: AgentSettings
    request: TranscriptionRequest
    warm: Warm
    http_session: Callable[[], aiohttp.ClientSession]
    model: str


def _deepgram(wanted: _Wanted) -> stt.STT[Any]:
    from livekit.plugins import deepgram

    options: dict[str, Any] = (
        {"keyterm": list(wanted.request.keyterms)} if wanted.request.keyterms else {}
    )
    return deepgram.STT(
        model=wanted.model,
        language=wanted.request.language,
        interim_results=True,
        smart_format=True,
        api_key=wanted.settings.deepgram_api_key.get_secret_value(),
        base_url=wanted.settings.deepgram_base_url,
        http_session=wanted.http_session(),
        **options,
    )


def _openai(wanted: _Wanted) -> stt.STT[Any]:
    from livekit.plugins import openai

    options: dict[str, Any] = (
        {"base_url": wanted.settings.openai_base_url} if wanted.settings.openai_base_url else {}
    )
    return openai.STT(
        model=wanted.model,
        language=wanted.request.language.partition("-")[0],
        api_key=wanted.settings.openai_api_key.get_secret_value(),
        use_realtime=True,
        **options,
    )


def _livekit_inference(wanted: _Wanted) -> stt.STT[Any]:
    from livekit.agents import inference

    return inference.STT(
        wanted.model,
        language=wanted.request.language,
        api_key=wanted.settings.livekit_api_key,
        api_secret=wanted.settings.livekit_api_secret.get_secret_value(),
        http_session=wanted.http_session(),
    )


def _embedded(wanted: _Wanted) -> stt.STT[Any]:
    from .whisper_stt import WhisperSTT

    warm = wanted.warm
    if warm.vad is None or wanted.model not in warm.speech_models:
        warm = warm_up(wanted.settings)
    assert warm.vad
    return WhisperSTT(warm.speech_models[wanted.model], warm.vad, language=wanted.request.language)


_STT_BUILDERS = {
    "deepgram": _deepgram,
    "openai": _openai,
    "livekit": _livekit_inference,
    EMBEDDED: _embedded,
}


_MODULES = {
    "deepgram": "livekit.plugins.deepgram",
    "openai": "livekit.plugins.openai",
    "livekit": "livekit.agents.inference",
}


def _builder(choice: ModelChoice) -> Callable[[_Wanted], stt.STT[Any]]:
    try:
        return _STT_BUILDERS[choice.provider]
    except KeyError:
        raise SettingsError(
            f"TALLYROOM_STT names provider {choice.provider!r}; use one of"
            f" {', '.join(_STT_BUILDERS)}, such as {EMBEDDED}/{BUNDLED_MODEL}"
        ) from None
