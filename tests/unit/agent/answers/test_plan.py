"""Whether a meeting's questions are answered, by its settings and its dispatch."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.answers.plan import AnswersPlan, plan_answers
from agent.ceiling import ceiling_prices
from agent.errors import DispatchError, SettingsError
from agent.request import TranscriptionRequest
from agent.settings import AgentSettings
from agent.tts_models import check_tts

LLM: dict[str, Any] = {"llm": "openai/gpt-4.1-mini", "openai_api_key": "key"}
BOTH = LLM | {"tts": "openai/tts-1"}


def planned(settings: dict[str, Any], **asked: Any) -> AnswersPlan | None:
    return plan_answers(AgentSettings(**settings), TranscriptionRequest(**asked))


def test_answers_are_given_where_there_is_an_llm_unless_nobody_wants_any() -> None:
    assert planned({}) is None
    assert planned(LLM) == AnswersPlan(voice=False)
    assert planned(LLM, answers=False) is None
    assert planned(LLM | {"answers": False}) is None
    assert planned(LLM | {"answers": False}, answers=True) == AnswersPlan(voice=False)
    assert planned(BOTH) == AnswersPlan(voice=False)
    assert planned(BOTH | {"answers": False}, voice=True) == AnswersPlan(voice=True)


@pytest.mark.parametrize(
    ("settings", "asked", "message"),
    [
        ({}, {"answers": True}, "answers: this worker has no LLM; set TALLYROOM_LLM"),
        ({}, {"voice": True}, "voice: this worker has no LLM; set TALLYROOM_LLM"),
        (LLM, {"voice": True}, "voice: this worker has no TTS; set TALLYROOM_TTS, or leave it out"),
        (
            BOTH,
            {"voice": True, "answers": False},
            "voice: there are no answers to be spoken; leave out answers: false",
        ),
    ],
)
def test_what_cannot_be_is_declined(
    settings: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(DispatchError) as raised:
        planned(settings, **asked)
    assert str(raised.value) == message


def test_a_ceiling_needs_a_price() -> None:
    assert ceiling_prices(AgentSettings(**LLM), "answers_max_cost") is None
    kept = ceiling_prices(AgentSettings(**LLM, answers_max_cost=Decimal(1)), "answers_max_cost")
    assert kept is not None
    assert kept.currency == "USD"
    unknown = LLM | {"llm": "openai/no-such-model"}
    with pytest.raises(SettingsError, match="TALLYROOM_ANSWERS_MAX_COST=1 cannot be kept"):
        ceiling_prices(AgentSettings(**unknown, answers_max_cost=Decimal(1)), "answers_max_cost")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tts": "acme/x"}, "TALLYROOM_TTS names provider 'acme'; use openai or livekit"),
        ({"tts": "openai/tts-1"}, "TALLYROOM_TTS=openai/tts-1 needs OPENAI_API_KEY"),
        (
            {"tts": "livekit/cartesia/sonic-3"},
            "TALLYROOM_TTS=livekit/cartesia/sonic-3 needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
        ),
        ({"tts": "openai"}, "TALLYROOM_TTS='openai' is not provider/model"),
    ],
)
def test_a_voice_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    empty = {"openai_api_key": "", "livekit_api_key": "", "livekit_api_secret": ""}
    with pytest.raises(SettingsError) as raised:
        check_tts(AgentSettings(**empty | settings))
    assert str(raised.value).startswith(message)
