"""From `TALLYROOM_LLM` to the plugin object that answers, metered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from livekit.agents import llm

from metering import RequestPrices, request_prices

from .request_providers import LIVEKIT, OPENAI, RequestMetering, check_choice, openai_client
from .settings import AgentSettings, ModelChoice


def check_llm(settings: AgentSettings) -> None:
    """Refuse an LLM that cannot be; none at all is fine.

    Raises:
        SettingsError: no such provider, no key for it, or its plugin is not installed.
    """
    check_choice(settings, "TALLYROOM_LLM", settings.llm_choice, "openai/gpt-4.1-mini")


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
    """The plugin's object for a choice that `check_llm` has passed; `meter` sees what it uses."""
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

        client = openai_client(settings, meter)
        model = openai.LLM(model=choice.model, client=client)
        # The plugin leaves a client open that it was given.
        close = client.close
    meter.watch(model)
    return OpenedModel(model, close)


def is_on_the_wire(choice: ModelChoice) -> bool:
    """Whether requests are measured as they are sent, and so those too that come to nothing."""
    return choice.provider == OPENAI
