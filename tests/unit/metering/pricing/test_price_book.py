"""What a plan of a price book makes of usage, whatever usage it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from random import Random
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.pricing import Charge, Plan, Rate, RateCard, load_catalog, rate, totals
from metering.pricing.price_book import Markup, NotSold, PriceBook, PriceTerms, SoldAs, book_card
from metering.usage import Usage

from .builders import request, usage

_IN_INPUT = "counted in llm_input_tokens"

PLAN = Plan(
    plan_id="mine/plus",
    name="Plus",
    provider="mine",
    base_fee=Decimal(0),
    book="price",
    limits=MappingProxyType({}),
)
MARKUP = Markup(plan_id="mine/plus", percent=Decimal("12.5"))


def terms(*rates: Rate, sold_as: tuple[SoldAs, ...] = (), markup: bool = True) -> PriceTerms:
    card = RateCard((*load_catalog().rates, *rates), load_catalog().unpriced, load_catalog().models)
    book = PriceBook(sold_as=sold_as, markups=(MARKUP,) if markup else ())
    return PriceTerms(PLAN, book_card(card, PLAN), card, "livekit/ship", book)


def own_rate(meter: str, provider: str = "mine", price: str = "2") -> Rate:
    unit = "token" if meter.endswith("tokens") else "second"
    return Rate(
        provider=provider,
        meter=meter,
        plan="mine/plus",
        unit_price=Decimal(price),
        pricing_unit=unit,
        layer=1,
    )


def in_any_order(charges: tuple[Charge, ...]) -> list[str]:
    return sorted(str(charge.to_json()) for charge in charges)


ALL_MARKED_UP = terms()
OWN_INPUT = terms(own_rate("llm_input_tokens", "openai"))

counts = st.integers(min_value=0, max_value=400_000)
names = st.sampled_from(["input", "cached_input", "cache_write", "output", "reasoning"])


@st.composite
def usages(draw: st.DrawFn) -> list[Usage]:
    made: list[Usage] = []
    for number in range(draw(st.integers(min_value=0, max_value=4))):
        model = draw(st.sampled_from(["gpt-4.1-mini", "gpt-5.4", "?"]))
        made += request(f"request-{number}", model, **draw(st.dictionaries(names, counts)))
    for seconds in draw(st.lists(st.decimals(0, 10**6, places=6), max_size=4)):
        made.append(usage("stt_audio", "deepgram", seconds, model="nova-3"))
        made.append(usage("agent_session", "livekit-cloud", seconds))
    return made


@settings(deadline=None)
@given(usages(), st.randoms())
def test_order_does_not_matter(some: list[Usage], random: Random) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)

    for its_terms in (ALL_MARKED_UP, OWN_INPUT):
        expected = in_any_order(its_terms.charges(some, "cloud-agents").charges)
        assert in_any_order(its_terms.charges(shuffled, "cloud-agents").charges) == expected


@settings(deadline=None)
@given(usages())
def test_a_markup_is_on_the_cost_to_the_last_digit(some: list[Usage]) -> None:
    sold = ALL_MARKED_UP.charges(some, "cloud-agents")

    cost = rate(some, load_catalog(), hosting="cloud-agents", plan="livekit/ship")
    before, after = totals(cost), totals(sold.charges)
    expected = {name: amount * Decimal("1.125") for name, amount in before.list_cost.items()}
    assert after.list_cost == expected
    assert len(after.unrated) == len(before.unrated)
    assert not sold.not_sold
    for charge in sold.charges:
        assert charge.book == "price"
        if charge.pricing_quantity is not None and charge.unit_price is not None:
            assert charge.list_cost == charge.pricing_quantity * charge.unit_price


@settings(deadline=None, max_examples=200)
@given(usages())
def test_a_part_is_never_sold_beside_its_whole(some: list[Usage]) -> None:
    """Input has a price of its own and its parts have none: they are in it, and not marked up."""
    sold = OWN_INPUT.charges(some, "cloud-agents").charges

    whole = {one.instance_id for one in some if one.meter == "llm_input_tokens"}
    reported = sum(one.quantity for one in some if one.meter == "llm_input_tokens")
    priced = [one for one in sold if one.meter == "llm_input_tokens" and one.state == "priced"]
    assert sum(one.consumed_quantity for one in priced) == reported
    for meter in ("llm_cached_input_tokens", "llm_cache_write_tokens"):
        alone = sum(
            one.quantity for one in some if one.meter == meter and one.instance_id not in whole
        )
        of_parts = [one for one in sold if one.meter == meter and one.reason != _IN_INPUT]
        assert sum(one.consumed_quantity for one in of_parts) == alone


def test_what_is_neither_is_not_sold() -> None:
    speech = usage("stt_audio", "deepgram", 60, model="nova-3")

    sold = terms(markup=False).charges([speech], "self")

    assert (sold.charges, sold.not_sold) == ((), frozenset({NotSold("deepgram", "stt_audio")}))


def test_the_most_specific_way_of_selling_holds() -> None:
    audio = SoldAs(provider="mine", meter="audio_minutes", measured="participant_connection")
    video = replace(audio, meter="video_minutes", attributes=MappingProxyType({"video": "true"}))
    free = replace(audio, excluding=(MappingProxyType({"kind": "agent"}),))
    its_terms = terms(
        own_rate("audio_minutes"), own_rate("video_minutes"), sold_as=(free, video), markup=False
    )
    made = [
        usage("participant_connection", "livekit-cloud", 1, attributes=attributes)
        for attributes in (
            {"kind": "webrtc"},
            {"kind": "webrtc", "video": "true"},
            {"kind": "agent"},
        )
    ]

    sold = its_terms.charges(made, "cloud")

    assert {one.meter: one.list_cost for one in sold.charges} == {
        "audio_minutes": 2,
        "video_minutes": 2,
    }
    assert sold.not_sold == {
        NotSold("livekit-cloud", "participant_connection", (("kind", "agent"),))
    }


def test_a_whole_that_is_sold_as_something_has_its_parts_in_it() -> None:
    as_input = SoldAs(provider="mine", meter="llm_input_tokens", measured="llm_input_tokens")
    as_cached = replace(as_input, measured="llm_cached_input_tokens")
    its_terms = terms(own_rate("llm_input_tokens"), sold_as=(as_input, as_cached))

    [charge] = its_terms.charges(request("r", input=10, cached_input=4), "self").charges

    assert (charge.consumed_quantity, charge.list_cost) == (Decimal(10), Decimal(20))


def test_a_meter_of_the_book_without_a_price_is_unrated() -> None:
    [charge] = terms().charges([usage("messages", "mine", 5)], "self").charges

    assert (charge.state, charge.reason) == (
        "unrated",
        "no rate for mine messages",
    )


@pytest.mark.parametrize(("day", "percent"), [("2026-11-20", 10), ("2026-11-21", 30)])
def test_a_markup_holds_on_the_day_that_its_usage_began(day: str, percent: int) -> None:
    change = date(2026, 11, 21)
    old = Markup(plan_id="mine/plus", percent=Decimal(10), effective_until=change)
    new = Markup(plan_id="mine/plus", percent=Decimal(30), effective_from=change)
    card = load_catalog()
    book = PriceBook(markups=(old, new))
    its_terms = PriceTerms(PLAN, book_card(card, PLAN), card, "none", book)
    start = datetime.fromisoformat(f"{day}T23:59:59+00:00")

    [charge] = its_terms.charges(
        [usage("stt_audio", "deepgram", 60, model="nova-3", started_at=start)], "self"
    ).charges

    assert charge.list_cost == Decimal("0.0048") * (100 + percent) / 100
