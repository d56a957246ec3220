"""A month through a plan, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from metering.errors import RateError
from metering.pricing import RateCard, load_catalog
from metering.pricing.plans import Allowance, Credit, OverageTiers, Tier
from metering.pricing.rate_card import Rate
from tests.unit.metering.pricing.builders import START, connection, usage

from .builders import bill, job, minutes, plan, session, speech, statement


def small(**changes: Any) -> Any:
    """Ship, with 10 minutes of connections included and $50 a month."""
    allowance = Allowance("participant_connection", Decimal(10), "minute")
    return plan(**{"allowances": (allowance,)} | changes)


def test_rounding_before_summing() -> None:
    [line] = bill([job([connection(10), connection(70)])]).lines
    assert line.charge.pricing_quantity == 3
    [line] = bill([job([connection(1) for _ in range(60)])]).lines
    assert line.charge.pricing_quantity == 60


def test_the_first_jobs_use_up_the_allowance() -> None:
    ship = small()
    late = job([minutes(8)], ship, number=2)
    early = job([minutes(7)], ship, number=1)

    made = bill([late, early], ship)

    [line] = made.lines
    assert (line.charge.instances, line.charge.pricing_quantity) == (2, Decimal(15))
    assert line.allowance_used == 10
    assert [(part.over, part.quantity) for part in line.overage] == [(None, Decimal(5))]
    assert line.cost == made.usage_cost == Decimal("0.0025")
    first, second = made.jobs
    assert (first.job_id, first.list_cost, first.marginal_cost) == (
        "AJ_1",
        Decimal("0.0035"),
        Decimal(0),
    )
    assert (second.job_id, second.list_cost) == ("AJ_2", Decimal("0.004"))
    assert second.marginal_cost == Decimal("0.0025")
    # The month is shared by list cost: 7 to 8.
    assert first.effective_cost == Decimal("23.334499999999")
    assert second.effective_cost == Decimal("26.668000000001")
    assert made.exact_total == Decimal("50.0025")
    assert (made.total, made.rounding) == (Decimal("50.00"), Decimal("-0.0025"))


def test_an_allowance_is_pooled_over_kinds_but_not_over_other_resources() -> None:
    ship = small(allowances=plan().allowances)
    usages = [minutes(1, attributes={"kind": kind}) for kind in ("webrtc", "agent", "sip")]
    made = bill([job(usages, ship)], ship)

    used = {line.charge.attributes["kind"]: line.allowance_used for line in made.lines}
    assert used == {"agent": 1, "webrtc": 1, "sip": 0}
    [unrated] = made.unrated
    assert (unrated.instances, unrated.quantity, unrated.unit) == (1, Decimal(60), "second")
    assert "telephony" in unrated.reason


def test_an_own_price_for_call_legs_does_not_come_off_the_webrtc_allowance() -> None:
    rates = Rate(
        provider="livekit-cloud",
        meter="participant_connection",
        attributes={"kind": "sip"},
        unit_price=Decimal("0.01"),
        pricing_unit="minute",
        layer=1,
    )
    card = RateCard((*load_catalog().rates, rates), load_catalog().unpriced)

    made = bill([job([minutes(2, attributes={"kind": "sip"})], card=card)])

    [line] = made.lines
    assert (line.allowance_used, line.cost) == (Decimal(0), Decimal("0.02"))


def test_session_minutes_are_billed_only_where_livekit_hosts_the_agent() -> None:
    lines = {
        hosting: bill([job([session(61)], hosting=hosting)]).lines[0]
        for hosting in ("cloud", "cloud-agents")
    }
    assert lines["cloud-agents"].allowance_used == 2
    assert lines["cloud"].charge.state == "not_billed"
    assert lines["cloud"].allowance_used == 0


def test_an_unlimited_allowance() -> None:
    unlimited = plan(allowances=(Allowance("participant_connection", None, "minute"),))
    [line] = bill([job([minutes(10**9)], unlimited)], unlimited).lines
    assert (line.allowance_used, line.cost) == (Decimal(10**9), Decimal(0))


def test_graduated_overage() -> None:
    tiers = OverageTiers(
        "participant_connection",
        "minute",
        (
            Tier(Decimal(0), Decimal("0.5")),
            Tier(Decimal(100), Decimal("0.25")),
            Tier(Decimal(200), Decimal("0.125")),
        ),
    )
    ship = small(tiers=(tiers,))
    jobs = [
        job([minutes(count)], ship, number=number) for number, count in enumerate([60, 90, 110])
    ]

    made = bill(jobs, ship)

    [line] = made.lines
    assert [(part.over, part.quantity, part.cost) for part in line.overage] == [
        (Decimal(0), Decimal(100), Decimal(50)),
        (Decimal(100), Decimal(100), Decimal(25)),
        (Decimal(200), Decimal(50), Decimal("6.25")),
    ]
    assert line.allowance_used == 10
    assert [one.marginal_cost for one in made.jobs] == [
        25,
        Decimal(50) / 2 + Decimal(40) / 4,
        Decimal(60) / 4 + Decimal(50) / 8,
    ]


def test_build_has_no_price_for_what_it_does_not_hold() -> None:
    build = plan("livekit/build")
    held = job([session(59_940), minutes(4_999), connection(1)], build, number=1)

    assert statement([held], build) is None
    made = bill([held, job([session(61), minutes(3)], build, number=2)], build)

    assert made.total == 0
    sessions, connections = sorted(made.unrated, key=lambda item: item.meter)
    assert (sessions.meter, sessions.quantity, sessions.unit) == (
        "agent_session",
        Decimal(1),
        "minute",
    )
    assert (connections.quantity, connections.unit) == (Decimal(3), "minute")
    assert "service stops" in connections.reason


def test_credits_are_spent_where_they_apply_those_that_expire_first_before_others() -> None:
    card = load_catalog()
    inference = Rate(
        provider="livekit", meter="stt_connection", unit_price=Decimal(1), pricing_unit="second"
    )
    card = RateCard((*card.rates, inference), card.unpriced)
    of_ten = [usage("stt_connection", "livekit", 10, model="m"), speech(6_000_000)]
    offered = [
        Credit("late", Decimal(3), expires=date(2027, 1, 1)),
        Credit("spent before", Decimal(99), expires=date(2026, 10, 31)),
        Credit("audio", Decimal(1000), frozenset({"deepgram"}), frozenset({"stt_audio"})),
        Credit("soon", Decimal(2), expires=date(2026, 11, 1)),
    ]

    made = bill([job(of_ten, card=card)], other_credits=offered)

    # 10 of Inference, 480 of audio, 50 of base fee.
    assert [(used.credit.name, used.amount) for used in made.credits] == [
        ("soon", Decimal(2)),
        # New each month, so lost at its end.
        ("Ship monthly credit", Decimal(5)),
        ("late", Decimal(3)),
        ("audio", Decimal(480)),
    ]
    assert [used.left for used in made.credits] == [0, None, 0, 520]
    # What covers anything comes off the base fee first, where nothing else can.
    assert made.usage_cost == 490
    assert made.exact_total == 540 - 490


def test_a_restricted_credit_leaves_the_base_fee_alone() -> None:
    made = bill([job([minutes(1)])])
    assert (made.credits, made.exact_total) == ((), Decimal(50))
    assert bill([], other_credits=[Credit("gift", Decimal(60))]).exact_total == 0


def test_a_commitment_is_the_least_that_the_provider_gets() -> None:
    ship = small(commitment=Decimal(80))
    low = bill([job([minutes(20_010), speech(6_000)], ship)], ship)
    assert (low.usage_cost, low.shortfall) == (Decimal("10.48"), Decimal(20))
    assert low.exact_total == Decimal("80.48")
    assert [(part.what, part.amount) for part in low.unallocated] == [
        ("commitment shortfall", Decimal(20))
    ]
    assert bill([job([minutes(60_010)], ship)], ship).shortfall == 0


def test_tax_comes_after_credits_and_prepaid_after_rounding() -> None:
    made = bill(
        [job([minutes(150_333)])],
        other_credits=[Credit("gift", Decimal(10))],
        prepaid=Decimal("20.009"),
        tax=lambda amount: amount * Decimal("0.081"),
    )
    # 50 + 0.1665 - 10 = 40.1665, and 8.1 % of it.
    assert made.tax == Decimal("3.2534865")
    assert made.exact_total == Decimal("43.4199865")
    assert (made.total, made.rounding) == (Decimal("43.42"), Decimal("0.0000135"))
    assert (made.prepaid_used, made.due) == (Decimal("20.00"), Decimal("23.42"))
    assert bill([], prepaid=Decimal(70)).due == 0


def test_a_fee_without_jobs_belongs_to_none() -> None:
    made = bill([])
    assert (made.jobs, made.total) == ((), Decimal(50))
    assert [(part.what, part.amount) for part in made.unallocated] == [("base fee", Decimal(50))]


def test_agents_that_connect_free() -> None:
    free = plan(agent_connections_billed=False)
    usages = [minutes(2, attributes={"kind": kind}) for kind in ("webrtc", "agent")]

    agent, person = bill([job(usages, free)], free).lines

    assert (str(agent.charge.state), agent.allowance_used) == ("not_billed", Decimal(0))
    assert (str(person.charge.state), person.allowance_used) == ("priced", Decimal(2))
    agent, _ = bill([job(usages)]).lines
    assert agent.charge.disputed is not None


def test_currencies_are_never_added_up() -> None:
    euros = Rate(
        provider="acme",
        meter="stt_audio",
        unit_price=Decimal(1),
        pricing_unit="second",
        currency="EUR",
    )
    card = RateCard((*load_catalog().rates, euros))
    acme = usage("stt_audio", "acme", 1)
    with pytest.raises(RateError, match="the charges are in EUR and USD"):
        bill([job([acme, speech(1)], card=card)])
    with pytest.raises(RateError, match="in EUR, plan 'livekit/ship' is in USD"):
        bill([job([acme], card=card)])
    none = plan("none")
    at_home = usage("participant_connection", "self-hosted", 60)
    mine = bill([job([acme, at_home], none, hosting="self", card=card)], none)
    assert (mine.currency, mine.total) == ("EUR", Decimal(1))


def test_a_plan_by_contract_has_no_terms_of_its_own() -> None:
    with pytest.raises(RateError, match="'livekit/enterprise' is by contract: write its base fee"):
        job([], plan("livekit/enterprise"))


def test_no_statement_where_nothing_is_due() -> None:
    none = plan("none")
    at_home = usage("participant_connection", "self-hosted", 60)
    assert statement([job([at_home], none, hosting="self")], none) is None
    assert statement([job([at_home, usage("stt_audio", "who", 1)], none, hosting="self")], none)
    assert statement([]) is not None


def test_a_statement_that_credits_paid_is_one() -> None:
    gift = [Credit("gift", Decimal(50))]
    made = statement([], other_credits=gift)
    assert made is not None
    assert made.bill.due == 0


def test_a_broken_limit_is_flagged() -> None:
    made = statement([], peaks={"concurrent_agents": 21, "connections": 7})
    assert made is not None
    assert [(check.limit, check.broken) for check in made.limits] == [
        ("concurrent_agents", True),
        ("connections", False),
    ]


def test_a_new_price_within_the_month_is_a_line_of_its_own() -> None:
    until = Rate(
        provider="acme",
        meter="stt_audio",
        unit_price=Decimal(1),
        pricing_unit="second",
        effective_until=date(2026, 11, 20),
    )
    since = replace(
        until, unit_price=Decimal(2), effective_from=date(2026, 11, 20), effective_until=None
    )
    card = RateCard((until, since))
    over_midnight = usage(
        "stt_audio", "acme", 7, started_at=START.replace(day=19, hour=23), ended_at=START
    )
    on_the_day = usage("stt_audio", "acme", 5)

    made = bill([job([over_midnight, on_the_day], card=card)])

    # By the rate of their starts.
    assert sorted(line.cost for line in made.lines) == [7, 10]
