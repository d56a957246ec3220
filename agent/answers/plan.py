"""Whether questions are answered in a meeting, and aloud: what is set, and its dispatch asks."""

from __future__ import annotations

from typing import NamedTuple

from metering import RequestPrices

from ..errors import DispatchError, SettingsError
from ..language_models import llm_prices
from ..request import TranscriptionRequest
from ..settings import AgentSettings


class AnswersPlan(NamedTuple):
    """Questions are answered in the chat; where `voice` is set, aloud as well."""

    voice: bool


def plan_answers(settings: AgentSettings, request: TranscriptionRequest) -> AnswersPlan | None:
    """What is answered in a meeting; None where there is no LLM, or it is not wanted.

    Raises:
        DispatchError: it asks for what this worker has no model for.
        SettingsError: a model's setting has not two parts.
    """
    if request.voice and request.answers is False:
        raise DispatchError("voice: there are no answers to be spoken; leave out answers: false")
    if settings.llm_choice is None:
        if request.answers or request.voice:
            asked = "voice" if request.voice else "answers"
            raise DispatchError(f"{asked}: this worker has no LLM; set TALLYROOM_LLM")
        return None
    if request.voice and settings.tts_choice is None:
        raise DispatchError("voice: this worker has no TTS; set TALLYROOM_TTS, or leave it out")
    wanted = settings.answers if request.answers is None else request.answers
    return AnswersPlan(request.voice) if wanted or request.voice else None


def answers_prices(settings: AgentSettings) -> RequestPrices | None:
    """What the LLM's tokens cost at most; None where answers have no ceiling, or there is no LLM.

    For a worker's start: it reads the rate card.

    Raises:
        SettingsError: a ceiling is set, and the LLM has no price per token that it could be kept
            by.
        MeteringError: the rates cannot be read.
    """
    limit = settings.answers_max_cost
    if limit is None or settings.llm_choice is None:
        return None
    prices = llm_prices(settings)
    if prices is None:
        raise SettingsError(
            f"TALLYROOM_ANSWERS_MAX_COST={limit} cannot be kept: {settings.llm} has no price per"
            " token; put one into TALLYROOM_RATES, or leave the ceiling out"
        )
    return prices
