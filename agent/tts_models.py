"""From `TALLYROOM_TTS` to the plugin object that speaks, metered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from livekit.agents import tts

from .request_providers import LIVEKIT, RequestMetering, check_choice, openai_client
from .settings import AgentSettings, ModelChoice


class OpenedVoice(NamedTuple):
    """A plugin's object, and what closes it with all its connections."""

    tts: tts.TTS[Any]
    aclose: Callable[[], Awaitable[None]]


def check_tts(settings: AgentSettings) -> None:
    """Refuse a TTS that cannot be; none at all is fine.

    Raises:
        SettingsError: no such provider, no key for it, or its plugin is not installed.
    """
    check_choice(settings, "TALLYROOM_TTS", settings.tts_choice, "openai/gpt-4o-mini-tts")


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

        client = openai_client(settings, meter)
        # Raw samples can be played as they come.
        model = openai.TTS(model=choice.model, client=client, response_format="pcm", **voice)
        # The plugin leaves a client open that it was given.
        close = client.close
    meter.watch(model)
    return OpenedVoice(model, close)
