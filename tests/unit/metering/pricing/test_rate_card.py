"""Which entry holds: the most specific one, on its day, and none where two fit equally."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from metering.pricing import NotBilled, Rate, RateCard, load_card, load_catalog, rate
from metering.usage import Usage

from .builders import connection, usage


def audio(**fields: Any) -> Usage:
    return usage("stt_audio", "deepgram", 60, model="nova-3", **fields)


def a_rate(price: str, **fields: Any) -> Rate:
    fields = {"provider": "deepgram", "meter": "stt_audio", "model": "nova-3"} | fields
    return Rate(unit_price=Decimal(price), pricing_unit="minute", **fields)


def price(card: RateCard, instance: Usage, plan: str = "none", hosting: str = "self") -> str:
    finding = card.find(instance, plan, hosting)
    return str(finding.rates[0].unit_price) if finding.rates else finding.reason


def test_a_new_price_holds_from_its_day_in_utc_and_old_usage_keeps_the_old_one() -> None:
    card = RateCard(
        rates=(
            a_rate("1", effective_until=date(2026, 7, 1)),
            a_rate("2", effective_from=date(2026, 7, 1)),
        )
    )
    midnight = datetime(2026, 7, 1, tzinfo=UTC)
    east = timezone(timedelta(hours=9))

    assert price(card, audio(started_at=midnight - timedelta(microseconds=1))) == "1"
    assert price(card, audio(started_at=midnight)) == "2"
    assert price(card, audio(started_at=datetime(2026, 7, 1, 8, tzinfo=east))) == "1"


def test_between_two_periods_there_is_no_price() -> None:
    card = RateCard(rates=(a_rate("1", effective_until=date(2026, 7, 1)),))

    assert price(card, audio()) == "no rate for deepgram nova-3 stt_audio since 2026-07-01"


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ({"hosting": "self"}, {"layer": 1}),
        ({"layer": 1, "model": ""}, {"attributes": {"language": "multi"}}),
        ({"model": "nova-3"}, {"model": "", "attributes": {"language": "multi"}}),
        ({"attributes": {"language": "multi"}}, {"plan": "none"}),
        ({"plan": "none"}, {}),
    ],
)
def test_the_more_specific_entry_holds(stronger: dict[str, Any], weaker: dict[str, Any]) -> None:
    instance = audio(attributes={"language": "multi", "diarization": "true"})
    entries = (a_rate("1", **stronger), a_rate("2", **weaker))

    assert price(RateCard(rates=entries), instance) == "1"
    assert price(RateCard(rates=entries[::-1]), instance) == "1"


def test_two_entries_that_fit_equally_are_no_price() -> None:
    card = RateCard(rates=(a_rate("1", attributes={"a": "1"}), a_rate("2", attributes={"b": "1"})))

    assert price(card, audio(attributes={"a": "1", "b": "1"})) == (
        "deepgram/nova-3/stt_audio/a=1 and deepgram/nova-3/stt_audio/b=1 fit equally; "
        "add an entry with the attributes of both"
    )
    assert price(card, audio(attributes={"a": "1"})) == "1"


def test_hosting_decides_what_is_billed_before_the_owners_price() -> None:
    card = RateCard(
        rates=(
            a_rate("0.008", provider="livekit-cloud", meter="agent_session", model="", layer=1),
        ),
        unpriced=(
            NotBilled(
                provider="livekit-cloud",
                meter="agent_session",
                hosting="cloud",
                reason="own workers",
            ),
        ),
    )
    session = usage("agent_session", "livekit-cloud", 60)

    assert price(card, session, hosting="cloud") == "own workers"
    assert price(card, session, hosting="cloud-agents") == "0.008"


@pytest.mark.parametrize(
    ("provider", "model", "resolved"),
    [
        ("openai", "gpt-4.1-mini", "gpt-4.1-mini"),
        ("openai", "GPT-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("openai", "gpt-4.1-mini-20250414", "gpt-4.1-mini"),
        ("openai", "openai/gpt-4.1-mini", "gpt-4.1-mini"),
        ("google", "gemini-2.5-pro-preview-06-05", "gemini-2.5-pro"),
        ("google", "gemini-2.5-pro-preview-tts", "gemini-2.5-pro-tts"),
    ],
)
def test_a_models_other_names_find_its_price(provider: str, model: str, resolved: str) -> None:
    meter = "tts_input_tokens" if "tts" in resolved else "llm_input_tokens"
    finding = load_catalog().find(usage(meter, provider, 1, model=model), "none", "self")

    assert finding.rates[-1].model == resolved


@pytest.mark.parametrize(
    ("provider", "model"),
    [("livekit", "openai/gpt-4.1-mini"), ("groq", "gpt-4.1-mini"), ("openai", "gpt-4.1-micro")],
)
def test_another_providers_price_is_no_price(provider: str, model: str) -> None:
    instance = usage("llm_input_tokens", provider, 1, model=model)

    assert price(load_catalog(), instance) == f"no rate for {provider} {model} llm_input_tokens"


def test_an_option_has_the_price_of_that_option() -> None:
    tokens = usage("llm_input_tokens", "openai", 1, model="gpt-4.1")
    priority = usage(
        "llm_input_tokens", "openai", 1, model="gpt-4.1", attributes={"service_tier": "priority"}
    )

    assert price(load_catalog(), tokens) == "2"
    assert price(load_catalog(), priority) == "3.5"


def test_the_version_is_the_content() -> None:
    one, same, other = (RateCard(rates=(a_rate(p),)) for p in ("1", "1.0", "1.1"))

    assert one.version == same.version
    assert one.version != other.version
    assert one.version.startswith("undated+")
    assert load_catalog().version.startswith("2026-11-21+")


def test_the_version_changes_with_the_owners_file(tmp_path: Path) -> None:
    owner = tmp_path / "rates.toml"
    owner.write_text('[[rate]]\nprovider="a"\nmeter="messages"\nprice="1"\nunit="message"\n')

    assert load_card(owner).version != load_catalog().version
    assert load_card(None).version == load_catalog().version


def test_a_minimum_raises_even_nothing() -> None:
    card = RateCard(rates=(a_rate("1", minimum=Decimal(120)),))

    charges = rate([audio()], card, hosting="self", plan="none")

    assert charges[0].pricing_quantity == 2


def test_findings_do_not_depend_on_what_was_asked_before() -> None:
    card = RateCard(
        rates=(
            a_rate(
                "1",
                provider="livekit-cloud",
                meter="participant_connection",
                model="",
                plan="livekit/ship",
            ),
        )
    )

    assert price(card, connection(1), plan="livekit/ship") == "1"
    assert price(card, connection(1), plan="livekit/scale").startswith("no rate")
