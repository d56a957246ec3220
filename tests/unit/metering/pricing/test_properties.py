"""What must hold for any usage."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.pricing import Charge, Rate, RateCard, load_catalog, rate, totals
from metering.pricing.exact import EXACT, billed_quantity
from metering.pricing.rating import Rating
from metering.usage import Certainty, Usage

from .builders import connection, request, usage

quantities = st.decimals(
    min_value=0, max_value=10**7, allow_nan=False, allow_infinity=False, places=9
)
increments = st.sampled_from([None, Decimal(1), Decimal(15), Decimal(60), Decimal("0.1")])
factors = st.sampled_from([Decimal(1), Decimal(60), Decimal(3600), Decimal(10) ** 9])
prices = st.decimals(min_value=0, max_value=1000, allow_nan=False, allow_infinity=False, places=7)


def rated(usages: list[Usage], card: RateCard | None = None) -> list[Charge]:
    return rate(usages, card or load_catalog(), hosting="cloud-agents", plan="livekit/ship")


def speech_card(price: Decimal, pricing_unit: str, increment: Decimal | None) -> RateCard:
    return RateCard(
        rates=(
            Rate(
                provider="acme",
                meter="stt_audio",
                unit_price=price,
                pricing_unit=pricing_unit,
                increment=increment,
            ),
        )
    )


@st.composite
def llm_requests(draw: st.DrawFn) -> list[Usage]:
    """Requests of any shape, of models with and without cached prices and tiers."""
    usages: list[Usage] = []
    counts = st.integers(min_value=0, max_value=400_000)
    names = st.sampled_from(["input", "cached_input", "cache_write", "output", "reasoning"])
    for number in range(draw(st.integers(min_value=0, max_value=5))):
        model = draw(st.sampled_from(["gpt-4", "gpt-4.1-mini", "gpt-5.4", "gpt-6-sol", "?"]))
        tokens = draw(st.dictionaries(names, counts))
        usages += request(f"request-{number}", model, **tokens)
    return usages


@given(st.lists(quantities, min_size=1, max_size=20))
def test_every_instance_is_rounded_up_before_anything_is_summed(seconds: list[Decimal]) -> None:
    [charge] = rated([connection(quantity) for quantity in seconds])

    minutes = [(quantity / 60).to_integral_value(ROUND_CEILING) for quantity in seconds]
    assert charge.pricing_quantity == sum(minutes)
    assert charge.consumed_quantity == sum(seconds)
    assert charge.list_cost == sum(minutes) * Decimal("0.0005")


@given(llm_requests(), st.lists(quantities, max_size=5), st.randoms())
def test_order_does_not_matter(usages: list[Usage], seconds: list[Decimal], random: Random) -> None:
    usages = usages + [connection(quantity) for quantity in seconds]
    expected = [charge.to_json() for charge in rated(usages)]

    shuffled = list(usages)
    random.shuffle(shuffled)

    assert [charge.to_json() for charge in rated(shuffled)] == expected


@given(llm_requests(), st.lists(quantities, max_size=8), st.integers(min_value=0, max_value=13))
def test_it_does_not_matter_how_it_is_bundled(
    usages: list[Usage], seconds: list[Decimal], cut: int
) -> None:
    instances: dict[str, list[Usage]] = {}
    for number, quantity in enumerate(seconds):
        instances[f"speech-{number}"] = [usage("stt_audio", "deepgram", quantity, model="nova-3")]
    for item in usages:
        instances.setdefault(item.instance_id, []).append(item)
    whole = list(instances.values())
    rating = Rating(load_catalog(), "livekit/ship", "cloud-agents")
    for bundle in (whole[:cut], whole[cut:]):
        rating.add(itertools.chain.from_iterable(bundle))
    assert rating.charges("cost") == rated(list(itertools.chain.from_iterable(whole)))


@given(
    st.lists(llm_requests(), min_size=1, max_size=4),
    st.lists(quantities, max_size=5),
    st.sampled_from([Certainty.EXACT, Certainty.BOUNDED, Certainty.PARTIAL]),
)
def test_requests_that_look_alike_are_rated_as_each_on_its_own(
    several: list[list[Usage]], seconds: list[Decimal], certainty: Certainty
) -> None:
    usages = [
        replace(item, instance_id=f"{number}/{item.instance_id}")
        for number, some in enumerate(several)
        for item in some
    ]
    for number, quantity in enumerate(seconds):
        both = usage("stt_audio", "deepgram", quantity, model="nova-3", certainty=certainty)
        life = usage("stt_connection", "deepgram", quantity + 1, model="nova-3")
        usages += [replace(item, instance_id=f"speech-{number}") for item in (both, life)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("metering.pricing.rating.is_regular", lambda shares: False)
        expected = rated(usages)

    assert rated(usages) == expected


@given(llm_requests(), st.lists(quantities, max_size=8), st.integers(min_value=0, max_value=8))
def test_a_month_is_the_sum_of_its_jobs(
    usages: list[Usage], seconds: list[Decimal], cut: int
) -> None:
    speech = [usage("stt_audio", "deepgram", q, model="nova-3") for q in seconds]
    one, other = usages + speech[:cut], speech[cut:]

    whole = totals(rated(one + other)).list_cost
    parts = [totals(rated(part)).list_cost for part in (one, other)]

    assert whole.get("USD", 0) == sum(part.get("USD", Decimal(0)) for part in parts)


@given(quantities, quantities, factors, increments, st.none() | st.just(Decimal(30)))
def test_splitting_an_instance_never_lowers_its_price(
    one: Decimal,
    other: Decimal,
    factor: Decimal,
    increment: Decimal | None,
    minimum: Decimal | None,
) -> None:
    def billed(quantity: Decimal) -> Decimal:
        return billed_quantity(quantity, factor, increment, minimum)

    assert billed(one) + billed(other) >= billed(EXACT.add(one, other))


@given(quantities, prices, st.sampled_from(["second", "minute", "hour"]), increments)
def test_a_charge_multiplies_out_and_loses_no_digit(
    seconds: Decimal, price: Decimal, pricing_unit: str, increment: Decimal | None
) -> None:
    card = speech_card(price, pricing_unit, increment)

    [charge] = rated([usage("stt_audio", "acme", seconds)], card)

    assert charge.pricing_quantity is not None
    assert charge.unit_price == price
    assert charge.list_cost == EXACT.multiply(charge.pricing_quantity, price)
    assert charge.consumed_quantity == seconds
    factor = {"second": 1, "minute": 60, "hour": 3600}[pricing_unit]
    excess = EXACT.multiply(charge.pricing_quantity, Decimal(factor)) - seconds
    finest = factor * Decimal("1E-12") if factor > 1 else Decimal(0)
    assert 0 <= excess <= (increment or 0) + finest


@settings(max_examples=200)
@given(llm_requests())
def test_a_part_is_never_counted_beside_its_whole(usages: list[Usage]) -> None:
    charged = rated(usages)

    reported: dict[tuple[str, str], dict[str, Decimal]] = {}
    for item in usages:
        reported.setdefault((item.instance_id, item.model), {})[item.meter] = item.quantity
    for model in {item.model for item in usages}:
        for whole, parts in {
            "llm_input_tokens": ("llm_cached_input_tokens", "llm_cache_write_tokens"),
            "llm_output_tokens": ("llm_reasoning_tokens",),
        }.items():
            priced = sum(
                charge.consumed_quantity
                for charge in charged
                if charge.model == model
                and charge.state == "priced"
                and charge.meter in (whole, *parts)
            )
            most = sum(
                meters[whole] if whole in meters else sum(meters.get(p, Decimal(0)) for p in parts)
                for (_, of_model), meters in reported.items()
                if of_model == model
            )
            assert priced <= most
            if model != "?" and all(whole in m for (_, of), m in reported.items() if of == model):
                assert priced == most
    assert all(charge.consumed_quantity >= 0 for charge in charged)


@given(llm_requests())
def test_what_has_no_price_has_no_cost(usages: list[Usage]) -> None:
    for charge in rated(usages):
        priced = charge.state == "priced"
        assert (charge.list_cost is not None) is priced
        assert (charge.rate_id is not None) is priced
        assert charge.model != "?" or charge.state != "priced"
