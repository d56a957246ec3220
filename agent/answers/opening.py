"""An assistant for one job, put together from the settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from livekit import rtc

from metering import RequestPrices

from ..asking import LanguageModel
from ..ceiling import ceiling_of
from ..chat import Chat
from ..errors import SettingsError
from ..presence import DISPLAY_NAME
from ..request_providers import RequestMetering
from ..settings import AgentSettings
from ..tts_models import open_tts
from .addressing import Names
from .answerer import Answerer
from .assistant import PURPOSE, Assistant
from .plan import AnswersPlan
from .tool_settings import load_tool_servers
from .tools import AllowedTools
from .voice import Voice


def assistant(
    settings: AgentSettings,
    plan: AnswersPlan,
    meter: RequestMetering,
    prices: RequestPrices | None,
    *,
    room: rtc.Room,
    chat: Chat,
    now: Callable[[], datetime],
) -> Assistant:
    """An assistant as the settings have it; `prices` are what its ceiling is kept by.

    Raises:
        SettingsError: there is no LLM, a ceiling is set and there are no prices, or the tools
            cannot be had.
    """
    if settings.llm_choice is None:
        raise SettingsError("answers need an LLM; set TALLYROOM_LLM, such as openai/gpt-4.1-mini")
    model = LanguageModel(settings, settings.llm_choice, meter, PURPOSE)
    ceiling = ceiling_of(settings, "answers_max_cost", model, prices)
    tools = None
    if servers := load_tool_servers(settings.mcp_servers):
        from .mcp_connection import McpConnection

        tools = AllowedTools(servers, McpConnection)

    async def aclose() -> None:
        if tools:
            await tools.aclose()
        await model.aclose()

    voice = None
    if plan.voice and settings.tts_choice is not None:
        voice = Voice(room, open_tts(settings, settings.tts_choice, meter), meter)
    return Assistant(
        room,
        chat,
        Answerer(model, ceiling=ceiling, tools=tools),
        Names((settings.agent_name, DISPLAY_NAME)),
        settings.transcripts_path,
        now=now,
        attribute=lambda participant: meter.attribute(participant=participant),
        aclose=aclose,
        voice=voice,
    )
