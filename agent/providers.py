"""From a `provider/model` setting to the plugin object that does it.

What each provider's models can do is in `recognisers`; each is imported only when it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from livekit.agents import stt

from metering import StreamingTerms, StreamLimiter, StreamLimits

from .errors import DispatchError, SettingsError, TranscriberError
from .listening.recognisers import StreamTraits
from .listening.speech_detector import SileroModel
from .recognisers import assemblyai, deepgram, embedded, livekit_inference, openai
from .recognisers.wanted import Wanted, Warm
from .request import TranscriptionRequest
from .settings import AgentSettings, ModelChoice
from .speech_model import BUNDLED_MODEL
from .speech_options import SpeechOptions, all_options

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "EMBEDDED",
    "Warm",
    "build_engine",
    "build_stt",
    "check_options",
    "check_request",
    "provider_modules",
    "stream_traits",
    "warm_up",
]

EMBEDDED = "faster-whisper"


@dataclass(frozen=True, slots=True)
class _Provider:
    """One provider; `package` is its plugin's and `extra` what installs it, if it is one.

    `traits` are how a model's streams behave.
    """

    check: Callable[[ModelChoice, SpeechOptions], None]
    build: Callable[[Wanted], stt.STT[Any]]
    package: str = ""
    extra: str = ""
    traits: Callable[[str], StreamTraits] = lambda model: StreamTraits()


_PROVIDERS = {
    "deepgram": _Provider(deepgram.check, deepgram.build, deepgram.PACKAGE, "transcriber"),
    "openai": _Provider(openai.check, openai.build, openai.PACKAGE, "transcriber", openai.traits),
    "assemblyai": _Provider(
        assemblyai.check, assemblyai.build, assemblyai.PACKAGE, "assemblyai", assemblyai.traits
    ),
    "livekit": _Provider(
        livekit_inference.check, livekit_inference.build, traits=livekit_inference.traits
    ),
    EMBEDDED: _Provider(embedded.check, embedded.build, traits=embedded.traits),
}


def warm_up(
    settings: AgentSettings,
    terms: Mapping[ModelChoice, StreamingTerms] | None = None,
    limits: Mapping[str, StreamLimits] | None = None,
) -> Warm:
    """Load whatever the chosen STT needs in this process; blocks for a second or two.

    `terms` are how the choices are billed, as far as that is known, `limits` are those of their
    providers' streams, where there are any.

    Raises:
        SpeechModelError: the embedded model cannot be loaded.
        SettingsError: no such provider.
    """
    for choice in settings.stt_choices:
        _provider(choice)
    for module in provider_modules(settings):
        # Whatever the provider imports is not to be imported while people wait.
        importlib.import_module(module)
    models = [choice.model for choice in settings.stt_choices if choice.provider == EMBEDDED]
    warm = embedded.load(*models) if models else Warm()
    if limits:
        StreamLimiter.prepare()
    detector = SileroModel.load()
    return replace(warm, speech_detector=detector, terms=terms or {}, limits=limits or {})


def provider_modules(settings: AgentSettings) -> list[str]:
    """What has to be imported for the chosen STTs, besides the embedded model's."""
    packages = [_provider(choice).package for choice in settings.stt_choices]
    return [package for package in packages if package and importlib.util.find_spec(package)]


def stream_traits(choice: ModelChoice) -> StreamTraits:
    """How a model's streams behave.

    Raises:
        SettingsError: no such provider.
    """
    return _provider(choice).traits(choice.model)


def check_request(settings: AgentSettings, request: TranscriptionRequest) -> None:
    """Refuse what can be known to fail before a job is accepted.

    Raises:
        DispatchError: a tenant that is not allowed, or anything that the chosen model cannot do
            for the meeting or for one of the participants that are named.
        SettingsError: no such provider or model, no key for it, or its plugin is not installed.
    """
    if settings.tenants and request.tenant not in settings.tenants:
        raise DispatchError(f"tenant {request.tenant!r} is not among TALLYROOM_TENANTS")
    choice = settings.stt_choice
    _check_use(settings, choice)
    for options in all_options(request):
        check_options(choice, options)


def check_options(choice: ModelChoice, options: SpeechOptions) -> None:
    """Refuse what a model cannot do.

    Raises:
        DispatchError: one line that says what, and what to do.
        SettingsError: no such provider or model.
    """
    _provider(choice).check(choice, options)


def build_stt(
    settings: AgentSettings,
    request: TranscriptionRequest,
    warm: Warm,
    http_session: Callable[[], aiohttp.ClientSession],
    choice: ModelChoice | None = None,
) -> stt.STT[Any]:
    """The STT for a meeting as a whole; see `build_engine`."""
    return build_engine(settings, SpeechOptions.of(request), warm, http_session, choice)


def build_engine(
    settings: AgentSettings,
    options: SpeechOptions,
    warm: Warm,
    http_session: Callable[[], aiohttp.ClientSession],
    choice: ModelChoice | None = None,
) -> stt.STT[Any]:
    """An STT, as set or chosen; its sockets go through `http_session` where it has any.

    Raises:
        DispatchError: the chosen model cannot do what the options ask for.
        SettingsError: no such provider, no key for it, or a model that the plugin refuses.
        SpeechModelError: the embedded model lacks the language.
    """
    choice = choice or settings.stt_choice
    _check_use(settings, choice)
    check_options(choice, options)
    try:
        return _provider(choice).build(Wanted(settings, options, warm, http_session, choice.model))
    except TranscriberError:
        raise
    except ValueError as error:
        raise SettingsError(f"TALLYROOM_STT={'/'.join(choice)} cannot be used: {error}") from error


def _check_use(settings: AgentSettings, choice: ModelChoice) -> None:
    """Refuse a provider that is not known, has no key, or whose plugin is not there."""
    provider = _provider(choice)
    keys = {
        "deepgram": {"DEEPGRAM_API_KEY": settings.deepgram_api_key.get_secret_value()},
        "openai": {"OPENAI_API_KEY": settings.openai_api_key.get_secret_value()},
        "assemblyai": {"ASSEMBLYAI_API_KEY": settings.assemblyai_api_key.get_secret_value()},
        "livekit": {
            "LIVEKIT_API_KEY": settings.livekit_api_key,
            "LIVEKIT_API_SECRET": settings.livekit_api_secret.get_secret_value(),
        },
    }
    missing = [variable for variable, key in keys.get(choice.provider, {}).items() if not key]
    if missing:
        raise SettingsError(f"TALLYROOM_STT={'/'.join(choice)} needs {' and '.join(missing)}")
    if provider.package and importlib.util.find_spec(provider.package) is None:
        raise SettingsError(
            f"TALLYROOM_STT={'/'.join(choice)} needs the package"
            f" {provider.package.replace('.', '-')}; install tallyroom[{provider.extra}]"
        )


def _provider(choice: ModelChoice) -> _Provider:
    try:
        return _PROVIDERS[choice.provider]
    except KeyError:
        raise SettingsError(
            f"TALLYROOM_STT names provider {choice.provider!r}; use one of"
            f" {', '.join(_PROVIDERS)}, such as {EMBEDDED}/{BUNDLED_MODEL}"
        ) from None
