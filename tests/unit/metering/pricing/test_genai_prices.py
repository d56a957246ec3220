"""The snapshot against its source: the same prices, to the digit, for every model in it."""

from __future__ import annotations

import tomllib
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data import providers as genai_providers

import metering.pricing
from metering.pricing import load_catalog, rate, totals
from metering.pricing.compile_genai_prices import PROVIDERS, compile_catalog
from metering.pricing.model_match import resolve
from metering.usage import Usage

from .builders import usage

CATALOG = Path(metering.pricing.__file__).parent / "catalog"
OPENAI = tomllib.loads((CATALOG / "openai.toml").read_text("utf-8"))
SNAPSHOT = OPENAI["snapshot"]["version"]
COMPILED_ON = OPENAI["defaults"]["checked"]
TODAY = datetime(2026, 11, 20, tzinfo=UTC)
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)

METERS = {
    "input_tokens": "llm_input_tokens",
    "cache_read_tokens": "llm_cached_input_tokens",
    "cache_write_tokens": "llm_cache_write_tokens",
    "output_tokens": "llm_output_tokens",
}


@pytest.fixture(autouse=True)
def _same_release() -> None:
    installed = version("genai-prices")
    if installed != SNAPSHOT:
        message = f"prices NOT compared: the snapshot is of {SNAPSHOT}, installed is {installed}"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)


def models(provider_id: str) -> list[str]:
    """The models of the snapshot that have an LLM input price, where genai-prices finds them."""
    source = next(item for item in genai_providers if item.id == provider_id)
    content = tomllib.loads((CATALOG / f"{provider_id}.toml").read_text("utf-8"))
    named = {entry["model"] for entry in content["rate"] if entry["meter"] == "llm_input_tokens"}
    return sorted(name for name in named if source.find_model(name) is not None)


def ours(provider: str, model: str, at: datetime, attributes: Any = None, **counts: int) -> Decimal:
    usages: list[Usage] = [
        usage(
            METERS.get(name, name),
            provider,
            count,
            model=model,
            instance_id="request",
            started_at=at,
            attributes=attributes or {},
        )
        for name, count in counts.items()
    ]
    charges = rate(usages, load_catalog(), hosting="self", plan="none")
    result = totals(charges)
    assert not result.unrated
    return result.list_cost["USD"]


def theirs(provider: str, model: str, at: datetime, context: Any = None, **counts: int) -> Decimal:
    price = genai_prices.calc_price(
        genai_prices.Usage(**counts),
        model,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context,
    )
    total: Decimal = price.total_price
    return total


def test_the_committed_snapshot_is_what_the_compiler_makes() -> None:
    for name, text in compile_catalog(COMPILED_ON).items():
        assert (CATALOG / name).read_text("utf-8") == text, f"{name}: run the compiler again"


def test_a_charge_names_the_release_and_the_model_that_matched() -> None:
    [charge] = rate(
        [usage("llm_input_tokens", "openai", 1, model="gpt-4.1-mini-2025-04-14")],
        load_catalog(),
        hosting="self",
        plan="none",
    )
    expected = f"openai/gpt-4.1-mini/llm_input_tokens@genai-prices-{SNAPSHOT}"
    assert charge.to_json()["rate_id"] == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_llm_costs_what_genai_prices_says(provider: str) -> None:
    requests = [
        {"input_tokens": 1234, "output_tokens": 567},
        {"input_tokens": 12_345, "cache_read_tokens": 9_999, "output_tokens": 1},
        {"input_tokens": 50_000, "cache_write_tokens": 777, "output_tokens": 3},
        {"input_tokens": 100_001, "cache_read_tokens": 100_000, "output_tokens": 7},
        {"input_tokens": 200_000, "output_tokens": 7},
        {"input_tokens": 200_001, "cache_read_tokens": 5, "output_tokens": 7},
        {"input_tokens": 272_001, "cache_read_tokens": 272_001, "output_tokens": 11},
        {"input_tokens": 272_000, "cache_read_tokens": 272_000, "output_tokens": 11},
    ]
    names = models(provider)
    assert len(names) > 10
    for model in names:
        for counts in requests:
            for at in (TODAY, LONG_AGO):
                expected = theirs(provider, model, at, **counts)
                assert ours(provider, model, at, **counts) == expected, (model, counts, at)


def test_a_dated_price_holds_on_its_side_of_the_date() -> None:
    counts = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}

    for at, expected in [
        (datetime(2025, 6, 9, 23, 59, tzinfo=UTC), 50),
        (datetime(2025, 6, 10, tzinfo=UTC), 10),
    ]:
        assert theirs("openai", "o3", at, **counts) == expected
        assert ours("openai", "o3", at, **counts) == expected


@pytest.mark.parametrize("tier", ["flex", "priority", "fast"])
def test_a_service_tier_costs_what_genai_prices_says(tier: str) -> None:
    context = {"service_tier": tier}
    counts = {"input_tokens": 300_000, "cache_read_tokens": 1_000, "output_tokens": 10}
    for model in ("gpt-4.1", "gpt-5", "gpt-5.4", "gpt-6-sol", "o3"):
        for at in (TODAY, LONG_AGO):
            expected = theirs("openai", model, at, context, **counts)
            assert ours("openai", model, at, context, **counts) == expected, (model, at)


def test_tts_by_characters() -> None:
    expected = theirs("openai", "tts-1", TODAY, input_characters=4321)

    assert expected == Decimal("0.064815")
    assert ours("openai", "tts-1", TODAY, tts_characters=4321) == expected


def test_tts_by_tokens() -> None:
    expected = theirs("openai", "gpt-4o-mini-tts", TODAY, input_tokens=100, output_tokens=2000)

    counts = {"tts_input_tokens": 100, "tts_output_tokens": 2000}
    assert ours("openai", "gpt-4o-mini-tts", TODAY, **counts) == expected


def test_stt_by_the_hour() -> None:
    expected = theirs("openai", "whisper-1", TODAY, audio_seconds=5400, input_audio_seconds=5400)

    assert expected == Decimal("0.54")
    assert ours("openai", "whisper-1", TODAY, stt_audio=5400) == expected


def test_groqs_whisper_bills_ten_seconds_at_least() -> None:
    assert ours("groq", "whisper-large-v3", TODAY, stt_audio=1) == ours(
        "groq", "whisper-large-v3", TODAY, stt_audio=10
    )


def test_a_realtime_model_by_modality() -> None:
    expected = theirs(
        "openai",
        "gpt-realtime",
        TODAY,
        input_tokens=1000,
        input_audio_tokens=600,
        cache_read_tokens=500,
        cache_audio_read_tokens=400,
        output_tokens=300,
        output_audio_tokens=250,
    )

    counted = ours(
        "openai",
        "gpt-realtime",
        TODAY,
        realtime_input_text_tokens=400,
        realtime_cached_input_text_tokens=100,
        realtime_input_audio_tokens=600,
        realtime_cached_input_audio_tokens=400,
        realtime_output_text_tokens=50,
        realtime_output_audio_tokens=250,
    )
    assert counted == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_model_is_found_by_the_names_genai_prices_knows(provider: str) -> None:
    card = load_catalog()
    source = next(item for item in genai_providers if item.id == provider)
    names = {model.id for model in source.models} | {
        pattern
        for entry in card.models
        if entry.provider == provider
        for alternative in entry.match
        for test, pattern in alternative
        if test == "equals"
    }
    for name in sorted(names):
        found = source.find_model(name)
        expected = found.id.lower() if found is not None else None
        assert resolve(card.models, provider, name) == expected, name
