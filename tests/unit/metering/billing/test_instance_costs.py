"""What each instance cost: the parts of a charge add up to it, whatever has become of prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.billing.instance_costs import InstanceCost, instance_costs, total
from metering.billing.sharing import add_up
from metering.pricing import Rate, RateCard, load_catalog, rate
from metering.record import CostRecord, RecordCharge, RecordUsage, list_unrated, sum_priced
from metering.run import Status
from metering.usage import Usage
from tests.unit.metering.pricing.builders import START, connection, request, usage


def record_of(usages: Sequence[Usage], card: RateCard | None = None) -> CostRecord:
    """A job's record, as the ledger would give it back."""
    rated = rate(usages, card or load_catalog(), hosting="cloud-agents", plan="livekit/ship")
    charges = [RecordCharge.model_validate(charge.to_json()) for charge in rated]
    list_cost, currency = sum_priced(charges)
    return CostRecord(
        revision=1,
        job_id="AJ_1",
        dispatch_id="",
        run_ids=["run_1"],
        room_name="",
        room_sid="",
        agent_name="",
        tenant="",
        title="",
        tags=[],
        hosting="cloud-agents",
        plan="livekit/ship",
        status=Status.COMPLETE,
        error="",
        started_at=START,
        ended_at=START,
        usage=[RecordUsage.model_validate(one.to_json()) for one in usages],
        charges=charges,
        list_cost=list_cost,
        currency=currency,
        unrated=list_unrated(charges),
        rate_card="",
    )


def by_instance(costs: Sequence[InstanceCost]) -> dict[tuple[str, str], Decimal | None]:
    return {
        (cost.usage.instance_id, cost.charge.meter): cost.list_cost
        for cost in costs
        if cost.usage is not None
    }


def test_each_instance_is_rounded_up_by_itself() -> None:
    usages = [connection(30, instance_id="a"), connection(61, instance_id="b")]
    record = record_of(usages)
    costs = by_instance(instance_costs(record, load_catalog()))
    (charge,) = record.charges
    assert charge.unit_price is not None
    minute = charge.unit_price
    assert costs == {
        ("a", "participant_connection"): minute,
        ("b", "participant_connection"): 2 * minute,
    }


def test_parts_of_a_request_are_priced_as_in_the_record() -> None:
    usages = [
        *request("r1", input=1000, cached_input=300, output=50),
        *request("r2", input=1000, cached_input=0, output=0),
    ]
    costs = by_instance(instance_costs(record_of(usages), load_catalog()))
    assert costs == {
        ("r1", "llm_input_tokens"): Decimal("0.00028"),
        ("r1", "llm_cached_input_tokens"): Decimal("0.00003"),
        ("r1", "llm_output_tokens"): Decimal("0.00008"),
        ("r2", "llm_input_tokens"): Decimal("0.0004"),
        ("r2", "llm_cached_input_tokens"): Decimal(0),
        ("r2", "llm_output_tokens"): Decimal(0),
    }


def test_what_has_no_price_is_never_0_and_what_is_not_billed_is_left_out() -> None:
    usages = [
        usage("tts_characters", "nobody", 50, model="voice", instance_id="t"),
        usage("stt_connection", "deepgram", 7, model="nova-3", instance_id="s"),
    ]
    (cost,) = instance_costs(record_of(usages), load_catalog())
    assert (cost.charge.meter, cost.list_cost) == ("tts_characters", None)
    assert cost.usage is not None
    assert cost.usage.instance_id == "t"


def test_of_pruned_usage_the_charge_stays_whole() -> None:
    record = record_of([connection(30), connection(61)])
    pruned = record.model_copy(update={"usage": []})
    (cost,) = instance_costs(pruned, load_catalog())
    assert (cost.usage, cost.list_cost) == (None, record.list_cost)


def other_prices(card: RateCard, usages: Sequence[Usage]) -> RateCard:
    """A card on which everything costs something else, by a rate of another name."""
    known = {(one.meter, one.provider) for one in usages}
    return RateCard(
        rates=tuple(
            Rate(provider=provider, meter=meter, unit_price=Decimal(3), pricing_unit="second")
            for meter, provider in sorted(known)
            if meter == "participant_connection"
        ),
        extra_meters=list(card.meters.values()),
    )


quantities = st.decimals(min_value=0, max_value=10**6, places=6)
usages_of_a_job = st.lists(
    st.one_of(
        quantities.map(connection),
        quantities.map(lambda one: usage("stt_audio", "deepgram", one, model="nova-3")),
        quantities.map(lambda one: usage("stt_audio", "nobody", one, model="x")),
        st.integers(0, 10**6).map(
            lambda one: usage("llm_output_tokens", "openai", one, model="gpt-4.1-mini")
        ),
    ),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(usages_of_a_job, st.booleans())
def test_the_parts_add_up_to_the_record(usages: list[Usage], is_changed: bool) -> None:
    numbered = [replace(one, instance_id=str(number)) for number, one in enumerate(usages)]
    record = record_of(numbered)
    card = other_prices(load_catalog(), numbered) if is_changed else load_catalog()
    costs = instance_costs(record, card)
    priced = [charge for charge in record.charges if charge.state == "priced"]
    for charge in priced:
        parts = [cost.list_cost for cost in costs if cost.charge is charge]
        assert add_up([part for part in parts if part is not None]) == charge.list_cost
        assert len(parts) == charge.instances
    unrated = [cost for cost in costs if cost.list_cost is None]
    assert len(unrated) == sum(
        charge.instances for charge in record.charges if charge.state == "unrated"
    )
    assert total(costs) == ({"USD": record.list_cost} if priced else {})
