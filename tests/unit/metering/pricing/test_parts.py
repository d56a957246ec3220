"""Parts inside wholes: what is priced adds up to what was reported, never to more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from metering.pricing import Charge, load_catalog, rate
from metering.usage import Certainty, Usage

from .builders import request


def charges_by_meter(usages: list[Usage]) -> dict[str, Charge]:
    charges = rate(usages, load_catalog(), hosting="self", plan="none")
    assert len({charge.meter for charge in charges}) == len(charges)
    return {charge.meter: charge for charge in charges}


def test_cached_tokens_are_priced_once() -> None:
    found = charges_by_meter(request("r", input=1000, cached_input=800, output=100))

    assert found["llm_input_tokens"].consumed_quantity == 200
    assert found["llm_input_tokens"].list_cost == Decimal("0.00008")
    assert found["llm_cached_input_tokens"].consumed_quantity == 800
    assert found["llm_cached_input_tokens"].list_cost == Decimal("0.00008")
    assert found["llm_output_tokens"].list_cost == Decimal("0.00016")


def test_reasoning_has_no_rate_of_its_own_and_stays_in_the_output() -> None:
    found = charges_by_meter(request("r", output=500, reasoning=400))

    assert found["llm_output_tokens"].consumed_quantity == 500
    reasoning = found["llm_reasoning_tokens"]
    assert (reasoning.state, reasoning.reason) == ("not_billed", "counted in llm_output_tokens")
    assert reasoning.list_cost is None


def test_cached_tokens_without_a_price_stay_in_the_input() -> None:
    found = charges_by_meter(request("r", model="gpt-4", input=1000, cached_input=800))

    assert found["llm_input_tokens"].list_cost == Decimal("0.03")
    assert found["llm_cached_input_tokens"].reason == "counted in llm_input_tokens"


def test_more_cached_than_input_is_cut_to_the_input_and_says_so() -> None:
    found = charges_by_meter(request("r", input=100, cached_input=120))

    assert found["llm_input_tokens"].consumed_quantity == 0
    assert found["llm_input_tokens"].list_cost == 0
    cached = found["llm_cached_input_tokens"]
    assert cached.consumed_quantity == 100
    assert cached.certainty == "estimated"
    assert cached.reason == "more was reported than llm_input_tokens had left; cut to that"


def test_reads_and_writes_share_the_input() -> None:
    found = charges_by_meter(
        request("r", "gpt-6-sol", input=1000, cached_input=300, cache_write=900)
    )

    quantities = {meter: charge.consumed_quantity for meter, charge in found.items()}
    assert sum(quantities.values()) == 1000
    assert quantities["llm_input_tokens"] == 0


def test_parts_of_one_request_do_not_touch_another() -> None:
    usages = [*request("a", input=100), *request("b", input=100, cached_input=100)]

    found = charges_by_meter(usages)

    assert found["llm_input_tokens"].consumed_quantity == 100
    assert found["llm_input_tokens"].instances == 2
    assert found["llm_cached_input_tokens"].consumed_quantity == 100


def test_a_part_alone_is_priced_as_it_is() -> None:
    found = charges_by_meter(request("r", cached_input=1_000_000))

    assert found["llm_cached_input_tokens"].list_cost == Decimal("0.1")


def test_an_unreported_whole_takes_no_part_with_it() -> None:
    whole, part = request("r", input=0, cached_input=1_000_000)

    found = charges_by_meter([replace(whole, certainty=Certainty.ESTIMATED), part])

    assert found["llm_input_tokens"].reason == "size never reported"
    assert found["llm_cached_input_tokens"].list_cost == Decimal("0.1")


def test_an_estimated_part_makes_the_rest_of_its_whole_estimated() -> None:
    whole, part = request("r", input=100, cached_input=10)
    part = replace(part, certainty=Certainty.ESTIMATED, quantity_upper=Decimal(20))

    found = charges_by_meter([whole, part])

    assert found["llm_input_tokens"].certainty == "estimated"


def test_the_whole_request_is_priced_at_the_tier_of_its_whole_input() -> None:
    at = charges_by_meter(request("r", "gpt-5.4", input=272_000, cached_input=272_000, output=1))
    over = charges_by_meter(request("r", "gpt-5.4", input=272_001, cached_input=272_000, output=1))

    assert at["llm_output_tokens"].unit_price == 15
    assert over["llm_output_tokens"].unit_price == Decimal("22.5")
    assert over["llm_cached_input_tokens"].unit_price == Decimal("0.5")
    assert over["llm_output_tokens"].rate_id == (
        "openai/gpt-5.4/llm_output_tokens/over=272000@genai-prices-0.2.3"
    )


def test_a_tiered_price_without_the_input_is_an_estimate() -> None:
    found = charges_by_meter(request("r", "gpt-5.4", output=10))

    assert found["llm_output_tokens"].unit_price == 15
    assert found["llm_output_tokens"].certainty == "estimated"
