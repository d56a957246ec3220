"""Whom an LLM or a TTS is asked of: OpenAI, whatever speaks its protocol, and LiveKit Inference.

Their plugins are imported only when one is asked for.
"""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from metering import RequestTokens

from .errors import SettingsError
from .settings import AgentSettings, ModelChoice

if TYPE_CHECKING:
    from openai import AsyncClient

OPENAI, LIVEKIT = "openai", "livekit"
_PACKAGE = "livekit.plugins.openai"


class RequestMetering(Protocol):
    """What a model needs of a meter: a `JobMeter` or a `WorkMeter`."""

    def http_client(self, **options: Any) -> Any:
        """An HTTP client that measures what goes over it."""

    def watch(self, *used: Any, provider: str | None = None) -> None:
        """Meter a model by what it reports."""

    def attribute(
        self, *, participant: str | None = None, purpose: str | None = None
    ) -> AbstractContextManager[None]:
        """Say what is used inside the block is for."""

    def requests(self, purpose: str) -> list[RequestTokens]:
        """How large each request of a purpose has been."""


def check_choice(
    settings: AgentSettings, variable: str, choice: ModelChoice | None, example: str
) -> None:
    """Refuse what `variable` chooses if it cannot be had; nothing at all is fine.

    Raises:
        SettingsError: no such provider, no key for it, or its plugin is not installed.
    """
    if choice is None:
        return
    named = f"{variable}={'/'.join(choice)}"
    needed = {
        OPENAI: {"OPENAI_API_KEY": settings.openai_api_key.get_secret_value()},
        LIVEKIT: {
            "LIVEKIT_API_KEY": settings.livekit_api_key,
            "LIVEKIT_API_SECRET": settings.livekit_api_secret.get_secret_value(),
        },
    }
    if choice.provider not in needed:
        raise SettingsError(
            f"{variable} names provider {choice.provider!r}; use {' or '.join(needed)},"
            f" such as {example}"
        )
    missing = [key for key, value in needed[choice.provider].items() if not value]
    if missing:
        raise SettingsError(f"{named} needs {' and '.join(missing)}")
    if choice.provider == OPENAI and importlib.util.find_spec(_PACKAGE) is None:
        raise SettingsError(f"{named} needs livekit-plugins-openai; install tallyroom[transcriber]")


def modules_of(choice: ModelChoice | None) -> list[str]:
    """What has to be imported for a choice before a job begins."""
    if choice is None or choice.provider != OPENAI or importlib.util.find_spec(_PACKAGE) is None:
        return []
    return [_PACKAGE]


def openai_client(settings: AgentSettings, meter: RequestMetering) -> AsyncClient:
    """A client for OpenAI's plugin that `meter` sees through; whoever opens it closes it.

    Whoever asks tries again: a client that does so by itself logs what came back, which can have
    people's words in it.
    """
    from openai import AsyncClient

    return AsyncClient(
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url or None,
        http_client=meter.http_client(),
        max_retries=0,
    )
