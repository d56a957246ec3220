"""From `TALLYROOM_LLM` to the plugin object that answers, metered.

OpenAI's plugin, which speaks to whatever has OpenAI's protocol at `OPENAI_BASE_URL`, and LiveKit
Inference. Each is imported only when it is asked for.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from livekit.agents import llm

from metering import RequestPrices, RequestTokens, request_prices

from .errors import SettingsError
from .settings import AgentSettings, ModelChoice

OPENAI, LIVEKIT = "openai", "livekit"
_PACKAGE = "livekit.plugins.openai"


class RequestMetering(Protocol):
    """What a language model needs of a meter: a `JobMeter` or a `WorkMeter`."""

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


def check_llm(settings: AgentSettings) -> None:
    """Refuse an LLM that cannot be; none at all is fine.

    Raises:
        SettingsError: no such provider, no key for it, or its plugin is not installed.
    """
    choice = settings.llm_choice
    if choice is None:
        return
    named = f"TALLYROOM_LLM={'/'.join(choice)}"
    needed = _keys(settings)
    if choice.provider not in needed:
        raise SettingsError(
            f"TALLYROOM_LLM names provider {choice.provider!r}; use {' or '.join(needed)},"
            " such as openai/gpt-4.1-mini"
        )
    missing = [variable for variable, key in needed[choice.provider].items() if not key]
    if missing:
        raise SettingsError(f"{named} needs {' and '.join(missing)}")
    if choice.provider == OPENAI and importlib.util.find_spec(_PACKAGE) is None:
        raise SettingsError(f"{named} needs livekit-plugins-openai; install tallyroom[transcriber]")


def llm_modules(settings: AgentSettings) -> list[str]:
    """What has to be imported for the chosen LLM before a job begins."""
    choice = settings.llm_choice
    if choice is None or choice.provider != OPENAI or importlib.util.find_spec(_PACKAGE) is None:
        return []
    return [_PACKAGE]


def llm_prices(settings: AgentSettings) -> RequestPrices | None:
    """What the chosen LLM's tokens cost at most; None without an LLM, or a price.

    For a worker's start: it reads the rate card.

    Raises:
        MeteringError: the rates cannot be read.
        SettingsError: the LLM has not two parts.
    """
    choice = settings.llm_choice
    if choice is None:
        return None
    base_url = settings.openai_base_url if choice.provider == OPENAI else ""
    return request_prices(choice.provider, choice.model.lower(), base_url=base_url)


class OpenedModel(NamedTuple):
    """A plugin's object, and what closes it with all its connections."""

    model: llm.LLM[Any]
    aclose: Callable[[], Awaitable[None]]


def open_llm(settings: AgentSettings, choice: ModelChoice, meter: RequestMetering) -> OpenedModel:
    """The plugin's object for a choice that `check_llm` has passed; `meter` sees what it uses.

    Whoever asks tries again: a plugin that does so by itself logs what came back, which can have
    people's words in it.
    """
    model: llm.LLM[Any]
    if choice.provider == LIVEKIT:
        from livekit.agents import inference

        model = inference.LLM(
            choice.model,
            api_key=settings.livekit_api_key,
            api_secret=settings.livekit_api_secret.get_secret_value(),
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
        model = openai.LLM(model=choice.model, client=client)
        # The plugin leaves a client open that it was given.
        close = client.close
    meter.watch(model)
    return OpenedModel(model, close)


def is_on_the_wire(choice: ModelChoice) -> bool:
    """Whether requests are measured as they are sent, and so those too that come to nothing."""
    return choice.provider == OPENAI


def _keys(settings: AgentSettings) -> dict[str, dict[str, str]]:
    return {
        OPENAI: {"OPENAI_API_KEY": settings.openai_api_key.get_secret_value()},
        LIVEKIT: {
            "LIVEKIT_API_KEY": settings.livekit_api_key,
            "LIVEKIT_API_SECRET": settings.livekit_api_secret.get_secret_value(),
        },
    }
