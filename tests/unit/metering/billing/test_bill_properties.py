"""What must hold for any month."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.billing import Bill, JobCharges
from metering.billing.sharing import add_up
from metering.pricing.plans import Credit, OverageTiers, Plan, Tier
from metering.usage import Usage
from tests.unit.metering.pricing.builders import connection

from .builders import bill, job, plan, session, speech

# Some around the allowances of 300,000 s of sessions and 9,000,000 s of connections.
seconds = st.one_of(
    st.decimals(min_value=0, max_value=400, allow_nan=False, places=3),
    st.decimals(min_value=0, max_value=10**7, allow_nan=False, places=9),
)
TIERED = OverageTiers(
    "agent_session",
    "minute",
    (Tier(Decimal(0), Decimal("0.01")), Tier(Decimal(7_000), Decimal("0.007"))),
)
plans = st.builds(
    plan,
    st.sampled_from(["livekit/build", "livekit/ship", "livekit/scale"]),
    commitment=st.sampled_from([Decimal(0), Decimal("812.345")]),
    tiers=st.sampled_from([(), (TIERED,)]),
)
offered = st.lists(
    st.builds(
        Credit,
        st.sampled_from(["a", "b"]),
        st.decimals(min_value=0, max_value=1000, allow_nan=False, places=5),
        st.sampled_from([frozenset[str](), frozenset({"livekit-cloud"}), frozenset({"deepgram"})]),
    ),
    max_size=3,
)


@st.composite
def instances(draw: st.DrawFn) -> list[Usage]:
    made: list[Usage] = []
    for quantity in draw(st.lists(seconds, max_size=4)):
        made.append(session(quantity))
    for quantity in draw(st.lists(seconds, max_size=6)):
        kind = draw(st.sampled_from(["webrtc", "agent"]))
        made.append(connection(quantity, attributes={"kind": kind}))
    for quantity in draw(st.lists(seconds, max_size=4)):
        made.append(speech(quantity))
    return made


@st.composite
def bundled(draw: st.DrawFn, usages: list[Usage], on: Plan) -> list[JobCharges]:
    """The same instances in jobs of any number and order."""
    count = draw(st.integers(min_value=1, max_value=5))
    bundles: list[list[Usage]] = [[] for _ in range(count)]
    for usage in usages:
        bundles[draw(st.integers(min_value=0, max_value=count - 1))].append(usage)
    return [job(bundle, on, number=number) for number, bundle in enumerate(bundles)]


def amounts(made: Bill) -> tuple[object, ...]:
    """What a bill says, its lines by meter: which of those that share an allowance used how much of
    it depends on which job came first."""
    meters: dict[str, list[Decimal]] = {}
    for line in made.lines:
        billed, listed = line.charge.pricing_quantity, line.charge.list_cost
        assert billed is not None
        assert listed is not None
        sums = [
            Decimal(line.charge.instances),
            billed,
            listed,
            line.allowance_used,
            line.beyond,
            line.cost,
        ]
        before = meters.get(line.charge.meter, [Decimal(0)] * len(sums))
        meters[line.charge.meter] = [one + other for one, other in zip(before, sums, strict=True)]
    return (
        meters,
        made.usage_cost,
        made.shortfall,
        made.credits,
        made.exact_total,
        made.rounding,
        made.total,
    )


@settings(max_examples=60, deadline=None)
@given(st.data(), instances(), plans, offered, st.randoms())
def test_order_and_grouping_do_not_matter(
    data: st.DataObject, usages: list[Usage], on: Plan, extra: list[Credit], random: Random
) -> None:
    expected = bill([job(usages, on)], on, other_credits=extra)
    shuffled = list(usages)
    random.shuffle(shuffled)

    jobs = data.draw(bundled(shuffled, on))
    random.shuffle(jobs)

    assert amounts(bill(jobs, on, other_credits=extra)) == amounts(expected)


@settings(max_examples=60, deadline=None)
@given(st.data(), instances(), plans, offered)
def test_no_digit_is_lost(
    data: st.DataObject, usages: list[Usage], on: Plan, extra: list[Credit]
) -> None:
    made = bill(data.draw(bundled(usages, on)), on, other_credits=extra)

    effective = add_up([one.effective_cost for one in made.jobs])
    unallocated = add_up([part.amount for part in made.unallocated])
    assert effective + unallocated + made.rounding == made.total
    assert made.exact_total + made.rounding == made.total
    assert abs(made.rounding) <= Decimal("0.005")
    assert add_up([one.marginal_cost for one in made.jobs]) == made.usage_cost
    assert add_up([one.list_cost for one in made.jobs]) == made.list_cost
    spent = add_up([used.amount for used in made.credits])
    assert made.usage_cost + made.base_fee + made.shortfall - spent == made.exact_total


@settings(max_examples=60, deadline=None)
@given(st.data(), instances(), plans, offered)
def test_nothing_is_ever_negative(
    data: st.DataObject, usages: list[Usage], on: Plan, extra: list[Credit]
) -> None:
    made = bill(data.draw(bundled(usages, on)), on, other_credits=extra)

    used: dict[str, Decimal] = {}
    for line in made.lines:
        billed = line.charge.pricing_quantity
        assert billed is not None
        past = add_up([part.quantity for part in line.overage])
        assert line.allowance_used + past + line.beyond == billed
        assert line.beyond == 0 or not on.overage
        assert min(line.cost, line.allowance_used, line.beyond) >= 0
        assert all(part.quantity > 0 for part in line.overage)
        used[line.charge.meter] = used.get(line.charge.meter, Decimal(0)) + line.allowance_used
    for allowance in on.allowances:
        assert allowance.quantity is not None
        assert used.get(allowance.meter, Decimal(0)) <= allowance.quantity
    assert min(made.exact_total, made.total, made.due, made.shortfall) >= 0
    for one in made.jobs:
        assert min(one.list_cost, one.marginal_cost, one.effective_cost) >= 0


@settings(deadline=None)
@given(st.lists(seconds, max_size=8), st.lists(seconds, max_size=4))
def test_a_month_on_ship_worked_out_by_hand(
    connections: list[Decimal], sessions: list[Decimal]
) -> None:
    made = bill([job([*map(connection, connections), *map(session, sessions)])])

    def minutes(quantities: list[Decimal]) -> int:
        return sum(ceil(Fraction(quantity) / 60) for quantity in quantities)

    webrtc = max(0, minutes(connections) - 150_000) * Fraction("0.0005")
    agents = max(0, minutes(sessions) - 5_000) * Fraction("0.01")
    assert Fraction(made.exact_total) == 50 + webrtc + agents


@settings(deadline=None)
@given(st.lists(seconds, max_size=4), seconds, seconds, plans)
def test_splitting_an_instance_never_lowers_the_bill(
    others: list[Decimal], one: Decimal, other: Decimal, on: Plan
) -> None:
    rest = [connection(quantity) for quantity in others]

    whole = bill([job([*rest, connection(one + other), session(one + other)], on)], on)
    parts = [build(part) for part in (one, other) for build in (connection, session)]
    split = bill([job([*rest, *parts], on)], on)

    assert split.exact_total >= whole.exact_total
    for before, after in zip(whole.lines, split.lines, strict=True):
        assert after.beyond >= before.beyond
