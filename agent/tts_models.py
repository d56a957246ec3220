"""From `TALLYROOM_TTS` to the plugin object that speaks, metered.

OpenAI's plugin, which speaks to whatever has OpenAI's protocol at `OPENAI_BASE_URL`, and LiveKit
Inference. Each is imported only when it is asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from livekit.agents import tts

from .errors import SettingsError
from .language_models import LIVEKIT, OPENAI, RequestMetering
from .settings import AgentSettings, ModelChoice

_PACKAGE = "livekit.plugins.openai"


class OpenedVoice(NamedTuple):
    """A plugin's object, and what closes it with all its connections."""

    tts: tts.TTS[Any]
    aclose: Callable[[], Awaitable[None]]


def check_tts(settings: AgentSettings) -> None:
    """Refuse a TTS that cannot be; none at all is fine.

    Raises:
        SettingsError: no such provider, no key for it, or its plugin is not installed.
    """
    choice = settings.tts_choice
    if choice is None:
        return
    named = f"TALLYROOM_TTS={'/'.join(choice)}"
    needed = {
        OPENAI: {"OPENAI_API_KEY": settings.openai_api_key.get_secret_value()},
        LIVEKIT: {
            "LIVEKIT_API_KEY": settings.livekit_api_key,
            "LIVEKIT_API_SECRET": settings.livekit_api_secret.get_secret_value(),
        },
    }
    if choice.provider not in needed:
        raise SettingsError(
            f"TALLYROOM_TTS names provider {choice.provider!r}; use {' or '.join(needed)},"
            " such as openai/gpt-4o-mini-tts"
        )
    missing = [variable for variable, key in needed[choice.provider].items() if not key]
    if missing:
        raise SettingsError(f"{named} needs {' and '.join(missing)}")
    if choice.provider == OPENAI and importlib.util.find_spec(_PACKAGE) is None:
        raise SettingsError(f"{named} needs livekit-plugins-openai; install tallyroom[transcriber]")


def tts_modules(settings: AgentSettings) -> list[str]:
    """What has to be imported for the chosen TTS before a job begins."""
    choice = settings.tts_choice
    if choice is None or choice.provider != OPENAI or importlib.util.find_spec(_PACKAGE) is None:
        return []
    return [_PACKAGE]


def open_tts(
    settings: AgentSettings,
    choice: ModelChoice,
    meter: RequestMetering,
) -> OpenedVoice:
    """The plugin's object for a choice that `check_tts` has passed; `meter` sees what it uses."""
    model: tts.TTS[Any]
    voice: dict[str, Any] = {"voice": settings.tts_voice} if settings.tts_voice else {}
    if choice.provider == LIVEKIT:
        from livekit.agents import inference

        model = inference.TTS(
            choice.model,
            api_key=settings.livekit_api_key,
            api_secret=settings.livekit_api_secret.get_secret_value(),
            **voice,
        )
        close = model.aclose
    else:
        from livekit.plugins import openai
        from openai import AsyncClient

        client = AsyncClient(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url or None,
            http_client=meter.http_client(),
            max_retries=0,
        )
        # Raw samples can be played as they come.
        model = openai.TTS(model=choice.model, client=client, response_format="pcm", **voice)
        # The plugin leaves a client open that it was given.
        close = client.close
    meter.watch(model)
    return OpenedVoice(model, close)
