"""What an agent is told of its LLM's prices: never less than the bill can come to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import MeterSettings, RequestPrices, RequestTokens, TokenPrice, request_prices
from metering.errors import RateError
from metering.pricing.loading import load_card
from metering.pricing.rating import rate
from metering.pricing.request_prices import request_prices_on
from tests.unit.metering.pricing.builders import request

DAY = date(2026, 11, 21)
TIERED = RequestPrices(
    "USD",
    (TokenPrice(-1, Decimal(1)), TokenPrice(200, Decimal(2))),
    (TokenPrice(-1, Decimal(10)), TokenPrice(200, Decimal(15))),
)


def of(provider: str, model: str) -> RequestPrices | None:
    return request_prices_on(load_card(), provider, model, day=DAY, plan="none", hosting="self")


def owners(tmp_path: Path, text: str) -> MeterSettings:
    rates = tmp_path / "rates.toml"
    rates.write_text(text, "utf-8")
    return MeterSettings(rates=rates, data_dir=tmp_path)


def entry(meter: str, more: str) -> str:
    return f'[[rate]]\nprovider = "openai"\nmodel = "own"\nmeter = "{meter}"\n{more}\n'


def test_a_known_model() -> None:
    prices = of("openai", "gpt-4.1-mini")
    assert prices is not None
    million = Decimal(1_000_000)
    assert prices.currency == "USD"
    cost = prices.at_most(RequestTokens(1_000_000, 1_000_000), RequestTokens(500_000, 0))
    assert cost == (Decimal("0.4") * 1_500_000 + Decimal("1.6") * 1_000_000) / million


def test_each_request_is_priced_at_its_own_tier() -> None:
    assert TIERED.at_most() == 0
    assert TIERED.at_most(RequestTokens(200, 1)) == 210
    assert TIERED.at_most(RequestTokens(201, 1)) == 417
    assert TIERED.at_most(RequestTokens(200, 1), RequestTokens(200, 1)) == 420


@given(
    asked=st.integers(1, 2_000_000),
    cached=st.floats(0, 1),
    said=st.integers(1, 100_000),
    model=st.sampled_from(["gpt-4.1-mini", "gpt-5", "gpt-5.5", "o3", "gpt-4o-mini"]),
)
def test_the_bill_is_never_more(asked: int, cached: float, said: int, model: str) -> None:
    prices = of("openai", model)
    assert prices is not None
    usages = request(
        "r1", model=model, input=asked, cached_input=int(asked * cached), output=said, reasoning=0
    )
    charges = rate(usages, load_card(), hosting="self", plan="none")
    bill = sum(charge.list_cost or Decimal(0) for charge in charges)
    assert bill <= prices.at_most(RequestTokens(asked, said))
    assert all(charge.state != "unrated" for charge in charges)


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-unheard-of"), ("nobody", "x")])
def test_what_is_unrated_has_no_prices(provider: str, model: str) -> None:
    assert of(provider, model) is None


def test_the_owners_price_counts(tmp_path: Path) -> None:
    settings = owners(
        tmp_path,
        entry("llm_input_tokens", 'price = "2"\nunit = "million tokens"\ncurrency = "EUR"')
        + entry("llm_output_tokens", 'price = "8"\nunit = "million tokens"\ncurrency = "EUR"'),
    )
    prices = request_prices("openai", "own", settings=settings)
    assert prices is not None
    assert prices.currency == "EUR"
    assert prices.at_most(RequestTokens(10, 10)) == Decimal("0.0001")


@pytest.mark.parametrize(
    "output",
    [
        'price = "8"\nunit = "million tokens"\ncurrency = "EUR"',
        'price = "8"\nunit = "million tokens"\nincrement = "100"',
        'price = "8"\nunit = "instance"\ncharge_model = "flat"',
    ],
)
def test_what_is_not_a_price_per_token_is_none(tmp_path: Path, output: str) -> None:
    settings = owners(
        tmp_path,
        entry("llm_input_tokens", 'price = "2"\nunit = "million tokens"')
        + entry("llm_output_tokens", output),
    )
    assert request_prices("openai", "own", settings=settings) is None


def test_a_broken_rate_file_is_no_ground_for_a_ceiling(tmp_path: Path) -> None:
    with pytest.raises(RateError):
        request_prices("openai", "gpt-4.1-mini", settings=owners(tmp_path, "[[rate]]\n"))
