"""What a rate's own terms make of a month: included units, tiers, volume prices, packages."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.billing import Bill, MonthLine
from metering.billing.month_sum import MonthSum
from metering.billing.sharing import add_up
from metering.pricing import Rate, RateCard
from metering.pricing.charge_models import ChargeModel, Tier
from metering.pricing.plans import Allowance, OverageTiers
from metering.pricing.rate_prices import in_exact_unit
from metering.usage import Usage
from tests.unit.metering.pricing.builders import usage

from .builders import at, bill, job, plan

TIERS = (Tier(Decimal(0), Decimal("0.02")), Tier(Decimal(100), Decimal("0.01")))
ON = plan("none")
EVERY_MODEL = [ChargeModel.UNIT, ChargeModel.GRADUATED, ChargeModel.VOLUME, ChargeModel.PACKAGE]


def a_rate(model: ChargeModel, **changes: Any) -> Rate:
    tiered = model in (ChargeModel.GRADUATED, ChargeModel.VOLUME)
    values: dict[str, Any] = {
        "provider": "acme",
        "meter": "messages",
        "unit_price": Decimal("0.02"),
        "pricing_unit": "100 message" if model is ChargeModel.PACKAGE else "message",
        "charge_model": model,
        "tiers": TIERS if tiered else (),
    }
    return Rate(**values | changes)


def sent(count: int | Decimal, **fields: Any) -> Usage:
    return usage("messages", "acme", count, **fields)


def billed(rate: Rate, *jobs: list[Usage]) -> Bill:
    card = RateCard((rate,))
    return bill([job(one, ON, number=n, card=card) for n, one in enumerate(jobs)], ON)


def only(made: Bill) -> MonthLine:
    [line] = made.lines
    return line


def parts(line: MonthLine) -> list[tuple[object, ...]]:
    return [(part.over, part.quantity, part.unit_price, part.cost) for part in line.overage]


def marginal(made: Bill) -> list[Decimal]:
    return [one.marginal_cost for one in made.jobs]


def test_graduated() -> None:
    made = billed(a_rate(ChargeModel.GRADUATED), [sent(60)], [sent(60)])

    assert parts(only(made)) == [
        (0, 100, Decimal("0.02"), 2),
        (100, 20, Decimal("0.01"), Decimal("0.2")),
    ]
    assert marginal(made) == [Decimal("1.2"), Decimal("1.0")]


def test_the_whole_volume_is_at_the_price_of_the_tier_it_lands_in() -> None:
    made = billed(a_rate(ChargeModel.VOLUME), [sent(100)], [sent(20)])

    assert parts(only(made)) == [(100, 120, Decimal("0.01"), Decimal("1.2"))]
    # The second job makes the first one's messages cheaper, too.
    assert marginal(made) == [2, Decimal("-0.8")]
    assert made.usage_cost == Decimal("1.2")
    assert [one.effective_cost for one in made.jobs] == [1, Decimal("0.2")]
    assert parts(only(billed(a_rate(ChargeModel.VOLUME), [sent(100)]))) == [
        (0, 100, Decimal("0.02"), 2)
    ]


def test_a_started_package_is_paid_whole() -> None:
    made = billed(a_rate(ChargeModel.PACKAGE), [sent(1)], [sent(99)], [sent(1)])

    assert marginal(made) == [Decimal("0.02"), 0, Decimal("0.02")]
    assert parts(only(made)) == [(None, 2, Decimal("0.02"), Decimal("0.04"))]
    assert only(made).charge.list_cost == Decimal("0.0202")


def test_sixty_minutes_are_one_started_hour() -> None:
    hour = Rate(
        provider="acme",
        meter="stt_audio",
        unit_price=Decimal(1),
        pricing_unit="hour",
        charge_model=ChargeModel.PACKAGE,
    )
    made = billed(in_exact_unit(hour), [usage("stt_audio", "acme", 60) for _ in range(60)])
    past = billed(in_exact_unit(hour), [usage("stt_audio", "acme", "3600.001")])

    assert (made.usage_cost, past.usage_cost) == (Decimal(1), Decimal(2))


def test_included_units_come_off_first() -> None:
    for model, cost in (("unit", "2.2"), ("graduated", "2.1"), ("volume", "1.1")):
        made = billed(a_rate(ChargeModel(model), included=Decimal(10)), [sent(5)], [sent(115)])
        assert only(made).allowance_used == 10
        assert (made.usage_cost, marginal(made)[0]) == (Decimal(cost), Decimal(0))
        assert only(made).charge.list_cost == Decimal("2.4")
    made = billed(a_rate(ChargeModel.PACKAGE, included=Decimal(1)), [sent(100)], [sent(1)])
    assert marginal(made) == [0, Decimal("0.02")]


def test_what_is_included_is_shared_by_all_that_the_rate_prices() -> None:
    made = billed(
        a_rate(ChargeModel.VOLUME, included=Decimal(10)),
        [sent(60, model="a"), sent(70, model="b")],
    )

    assert [(line.charge.model, line.allowance_used, line.cost) for line in made.lines] == [
        ("a", Decimal(10), Decimal("0.5")),
        ("b", Decimal(0), Decimal("0.7")),
    ]


def test_the_plans_allowance_is_used_before_what_the_rate_includes() -> None:
    rate = a_rate(ChargeModel.GRADUATED, included=Decimal(10))
    on = plan("none", provider="acme", allowances=(Allowance("messages", Decimal(20), "message"),))

    made = bill([job([sent(150)], on, card=RateCard((rate,)))], on)

    assert only(made).allowance_used == 30
    assert parts(only(made)) == [
        (0, 100, Decimal("0.02"), 2),
        (100, 20, Decimal("0.01"), Decimal("0.2")),
    ]


def test_the_plans_tiers_take_the_place_of_the_rates_own() -> None:
    tiers = OverageTiers("messages", "message", (Tier(Decimal(0), Decimal("0.5")),))
    on = plan("none", provider="acme", tiers=(tiers,))
    rate = a_rate(ChargeModel.VOLUME, included=Decimal(10))

    assert bill([job([sent(2)], on, card=RateCard((rate,)))], on).usage_cost == 1


def test_a_price_that_changes_within_the_month_goes_on_where_it_was() -> None:
    day = date(2026, 11, 21)
    before = a_rate(ChargeModel.GRADUATED, effective_until=day, included=Decimal(10))
    dearer = (Tier(Decimal(0), Decimal(3)), Tier(Decimal(100), Decimal(2)))
    after = a_rate(ChargeModel.GRADUATED, effective_from=day, included=Decimal(10), tiers=dearer)
    later: dict[str, Any] = {
        "started_at": at("2026-11-21T00:00Z"),
        "ended_at": at("2026-11-21T00:01Z"),
    }
    card = RateCard((before, after))

    made = bill(
        [
            job([sent(60)], ON, card=card),
            job([sent(60, **later)], ON, number=1, card=card),
        ],
        ON,
    )

    # 10 included, 50 at the old price; then 50 and 10 at the new ones.
    assert made.usage_cost == Decimal("0.02") * 50 + 3 * 50 + 2 * 10


counts = st.one_of(
    st.integers(min_value=0, max_value=130).map(Decimal),
    st.decimals(min_value=0, max_value=300, allow_nan=False, places=9),
)
models = st.sampled_from(EVERY_MODEL)
included = st.sampled_from([Decimal(0), Decimal(1), Decimal("30.5")])


@st.composite
def bundled(draw: st.DrawFn, quantities: list[Decimal]) -> list[list[Usage]]:
    jobs: list[list[Usage]] = [[] for _ in range(draw(st.integers(min_value=1, max_value=4)))]
    for quantity in quantities:
        jobs[draw(st.integers(min_value=0, max_value=len(jobs) - 1))].append(sent(quantity))
    return jobs


def by_hand(model: ChargeModel, free: Decimal, quantities: list[Decimal]) -> Fraction:
    """The month in fractions, from the definition of each model."""
    size = 100 if model is ChargeModel.PACKAGE else 1
    used = sum((Fraction(one) for one in quantities), Fraction(0)) / size
    past = max(Fraction(0), used - Fraction(free))
    dear, cheap = Fraction("0.02"), Fraction("0.01")
    if model is ChargeModel.UNIT:
        return past * dear
    if model is ChargeModel.PACKAGE:
        return ceil(past) * dear
    if model is ChargeModel.VOLUME:
        return past * (cheap if past > 100 else dear)
    return min(past, Fraction(100)) * dear + max(Fraction(0), past - 100) * cheap


@settings(max_examples=150, deadline=None)
@given(st.data(), models, included, st.lists(counts, max_size=8), st.randoms())
def test_a_month_is_what_the_model_says_however_it_is_ordered_and_grouped(
    data: st.DataObject,
    model: ChargeModel,
    free: Decimal,
    quantities: list[Decimal],
    random: Random,
) -> None:
    random.shuffle(quantities)

    made = billed(a_rate(model, included=free), *data.draw(bundled(quantities)))

    assert Fraction(made.usage_cost) == by_hand(model, free, quantities)
    # No digit is lost between the month and its jobs.
    assert add_up(marginal(made)) == made.usage_cost
    shares = add_up([one.effective_cost for one in made.jobs])
    assert shares + add_up([one.amount for one in made.unallocated]) == made.exact_total
    for line in made.lines:
        listed = line.charge.pricing_quantity
        assert listed is not None
        if model is ChargeModel.PACKAGE:
            assert listed - line.allowance_used <= sum(part.quantity for part in line.overage)
        else:
            past = sum(part.quantity for part in line.overage)
            assert line.allowance_used + past == listed


@settings(max_examples=100, deadline=None)
@given(st.data(), models, included, st.lists(counts, max_size=8))
def test_a_month_added_up_without_its_jobs_comes_to_the_same(
    data: st.DataObject, model: ChargeModel, free: Decimal, quantities: list[Decimal]
) -> None:
    card = RateCard((a_rate(model, included=free),))
    bundles = data.draw(bundled(quantities))
    jobs = [job(one, ON, number=number, card=card) for number, one in enumerate(bundles)]
    summed = MonthSum()
    for one in jobs:
        summed.add(one.charges)

    whole, without = bill(jobs, ON), bill(summed.as_job(), ON)

    assert without.lines == whole.lines
    assert without.exact_total == whole.exact_total


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([ChargeModel.UNIT, ChargeModel.GRADUATED, ChargeModel.PACKAGE]),
    included,
    st.sampled_from([None, Decimal(7)]),
    st.lists(counts, max_size=4),
    counts,
    counts,
)
def test_splitting_an_instance_never_lowers_the_month(
    model: ChargeModel,
    free: Decimal,
    increment: Decimal | None,
    others: list[Decimal],
    one: Decimal,
    other: Decimal,
) -> None:
    """By construction: each part is rounded up, and these models cost no less for more."""
    rate = a_rate(model, included=free, increment=increment)
    rest = [sent(quantity) for quantity in others]

    whole = billed(rate, [*rest, sent(one + other)])
    split = billed(rate, [*rest, sent(one), sent(other)])

    assert split.usage_cost >= whole.usage_cost


@settings(max_examples=150, deadline=None)
@given(included, st.sampled_from([None, Decimal(7)]), counts, counts)
def test_with_volume_prices_splitting_never_lowers_the_quantity(
    free: Decimal, increment: Decimal | None, one: Decimal, other: Decimal
) -> None:
    """The price may fall, as a larger volume's does: that is what volume prices are. Unrounded, a
    split changes nothing; rounded, it never bills less, and costs no less within the same tier."""
    rate = a_rate(ChargeModel.VOLUME, included=free, increment=increment)

    whole, split = billed(rate, [sent(one + other)]), billed(rate, [sent(one), sent(other)])

    before, after = only(whole).charge.pricing_quantity, only(split).charge.pricing_quantity
    assert before is not None
    assert after is not None
    assert after >= before
    if increment is None:
        assert split.usage_cost == whole.usage_cost
    if [part.over for part in only(split).overage] == [part.over for part in only(whole).overage]:
        assert split.usage_cost >= whole.usage_cost
