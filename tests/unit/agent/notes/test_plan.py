"""Which notes a meeting gets, and what is refused before anybody meets."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest

from agent.ceiling import ceiling_prices
from agent.errors import DispatchError, SettingsError
from agent.language_models import check_llm, llm_prices
from agent.notes.plan import check_notes, plan_notes
from agent.request import TranscriptionRequest
from agent.request_providers import modules_of
from agent.settings import AgentSettings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "DEEPGRAM_", "OPENAI_", "ASSEMBLYAI_", "TALLYROOM_")):
            monkeypatch.delenv(name)


def settings(**changes: Any) -> AgentSettings:
    values: dict[str, Any] = {"llm": "openai/gpt-4.1-mini", "openai_api_key": "sk"}
    return AgentSettings(**values | changes)


def planned(own: AgentSettings, **asked: Any) -> tuple[str, str] | None:
    plan = plan_notes(own, TranscriptionRequest(**asked))
    return plan and (plan.template.name, plan.language)


def test_without_an_llm_there_are_none_and_no_error() -> None:
    own = AgentSettings()
    assert planned(own) is None
    assert planned(own, notes=False) is None
    check_llm(own)
    check_notes(own)
    assert modules_of(own.llm_choice) == []
    with pytest.raises(DispatchError, match="notes: this worker has no LLM"):
        planned(own, notes="minutes")


@pytest.mark.parametrize(
    ("own", "asked", "plan"),
    [
        ({}, {}, ("minutes", "en")),
        ({}, {"language": "de-CH"}, ("minutes", "de-CH")),
        ({}, {"language": "de", "notes_language": "fr"}, ("minutes", "fr")),
        ({}, {"language": "auto"}, ("minutes", "multi")),
        ({}, {"notes": True}, ("minutes", "en")),
        ({}, {"notes": " visit-note "}, ("visit-note", "en")),
        ({}, {"notes": False}, None),
        ({"notes": "session-recap"}, {}, ("session-recap", "en")),
        ({"notes": "none"}, {}, None),
        ({"notes": "none"}, {"notes": "minutes"}, ("minutes", "en")),
    ],
)
def test_the_dispatch_comes_before_the_settings(
    own: dict[str, Any], asked: dict[str, Any], plan: tuple[str, str] | None
) -> None:
    assert planned(settings(**own), **asked) == plan


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"notes": "poem"}, "notes: 'poem' is no template; use one of minutes, session-recap"),
        ({"notes": True}, "notes: name a template, for TALLYROOM_NOTES is none"),
    ],
)
def test_what_cannot_be_is_declined(asked: dict[str, Any], why: str) -> None:
    own = settings(notes="none")
    with pytest.raises(DispatchError) as caught:
        planned(own, **asked)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize("value", ["3", '""', '["minutes"]', f'"{"x" * 129}"'])
def test_notes_are_a_name_or_a_yes_or_no(value: str) -> None:
    with pytest.raises(DispatchError) as caught:
        TranscriptionRequest.parse(f'{{"notes": {value}}}')
    assert str(caught.value) == "notes: must be true, false or a template's name"


def test_a_default_that_is_no_template() -> None:
    with pytest.raises(SettingsError, match="TALLYROOM_NOTES='poem' is no template; use one of"):
        check_notes(settings(notes="poem"))


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"llm": "gpt-4.1"}, "TALLYROOM_LLM='gpt-4.1' is not provider/model"),
        ({"llm": "moon/x"}, "TALLYROOM_LLM names provider 'moon'; use openai or livekit"),
        ({"openai_api_key": ""}, "TALLYROOM_LLM=openai/gpt-4.1-mini needs OPENAI_API_KEY"),
        (
            {"llm": "livekit/openai/gpt-4.1-mini"},
            "TALLYROOM_LLM=livekit/openai/gpt-4.1-mini needs LIVEKIT_API_KEY and",
        ),
    ],
)
def test_an_llm_that_cannot_be(own: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_llm(settings(**own))
    assert str(caught.value).startswith(why)


def test_a_ceiling_needs_a_price() -> None:
    limit = Decimal("0.25")
    assert ceiling_prices(settings(), "notes_max_cost") is None
    assert ceiling_prices(AgentSettings(notes_max_cost=limit), "notes_max_cost") is None
    prices = ceiling_prices(settings(notes_max_cost=limit), "notes_max_cost")
    assert prices is not None
    assert prices.currency == "USD"
    with pytest.raises(SettingsError, match="mini has no price per token"):
        ceiling_prices(
            settings(llm="livekit/openai/gpt-4.1-mini", notes_max_cost=limit), "notes_max_cost"
        )
    with pytest.raises(SettingsError) as caught:
        check_notes(settings(llm="openai/unheard-of", notes_max_cost=limit))
    assert str(caught.value) == (
        "TALLYROOM_NOTES_MAX_COST=0.25 cannot be kept: openai/unheard-of has no price per token;"
        " put one into TALLYROOM_RATES, or leave the ceiling out"
    )


def test_whose_prices_they_are_is_told_by_the_host() -> None:
    groq = settings(
        llm="openai/llama-3.3-70b-versatile", openai_base_url="https://api.groq.com/openai/v1"
    )
    assert llm_prices(groq) is not None
    assert llm_prices(groq.model_copy(update={"openai_base_url": ""})) is None


@pytest.mark.parametrize("limit", ["0", "-1", "NaN", "much"])
def test_a_ceiling_is_money(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("TALLYROOM_NOTES_MAX_COST", limit)
    with pytest.raises(SettingsError, match="TALLYROOM_NOTES_MAX_COST cannot be used"):
        AgentSettings.load()
