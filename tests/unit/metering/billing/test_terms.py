"""A plan that changes within a month: what is per month is prorated by day, and said to be."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.billing import parse_period
from metering.billing.sharing import add_up
from metering.billing.terms import PRORATED, prorated, terms_of
from metering.commands import statement as statement_cli
from metering.errors import RateError
from metering.pricing import load_plans
from metering.pricing.account import load_account
from metering.pricing.plans import Credit, OverageTiers, Tier

from .builders import NOVEMBER, at, plan
from .commands import run
from .stored import session, settled, stated

pytestmark = pytest.mark.usefixtures("environment")

SHIP, SCALE = plan("livekit/ship"), plan("livekit/scale")


@pytest.fixture
def rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "rates.toml"
    monkeypatch.setenv("TALLYROOM_RATES", str(path))
    monkeypatch.setattr(statement_cli, "utc_now", lambda: at("2027-03-01T00:00:00Z"))
    return path


def test_a_whole_month_is_the_plan_itself() -> None:
    [term] = terms_of(NOVEMBER, lambda _: SHIP)
    assert term.plan is SHIP
    assert (term.since, term.until, term.days) == (date(2026, 11, 1), date(2026, 12, 1), 30)


def test_the_day_of_a_change_is_the_new_plans() -> None:
    ship, scale = terms_of(NOVEMBER, lambda day: SHIP if day < date(2026, 11, 13) else SCALE)
    assert (ship.days, scale.days, ship.of_days) == (12, 18, 30)
    assert (ship.plan.base_fee, scale.plan.base_fee) == (Decimal(20), Decimal(300))
    assert (ship.plan.credit, scale.plan.credit) == (Decimal(2), Decimal(30))
    minutes = [term.plan.allowance("agent_session") for term in (ship, scale)]
    assert [one.quantity for one in minutes if one] == [Decimal(2_000), Decimal(30_000)]
    assert ship.plan.limits == SHIP.limits


@given(st.integers(28, 31), st.sets(st.integers(1, 27)))
def test_the_parts_of_a_month_add_up_to_it(of_days: int, changes: set[int]) -> None:
    whole = plan(
        base_fee=Decimal("49.99"),
        commitment=Decimal(100),
        credits=(Credit("more", Decimal(7)),),
        tiers=(OverageTiers("agent_session", "minute", (Tier(Decimal(5), Decimal(1)),)),),
    )
    days = [0, *sorted(changes), of_days]
    parts = [prorated(whole, begin, end, of_days) for begin, end in pairwise(days)]
    assert add_up([part.base_fee for part in parts]) == Decimal("49.99")
    assert add_up([part.commitment for part in parts]) == 100
    assert add_up([part.credit for part in parts]) == 5
    assert add_up([part.credits[0].amount for part in parts]) == 7
    assert add_up([part.tiers[0].tiers[0].over for part in parts]) == 5
    assert add_up([part.allowances[0].quantity or Decimal(0) for part in parts]) == (
        whole.allowances[0].quantity
    )
    for part, (begin, end) in zip(parts, pairwise(days), strict=True):
        due = Fraction("49.99") * (end - begin) / of_days
        assert abs(Fraction(part.base_fee) - due) < Fraction(1, 10**12)


CHANGE = """
[[subscription]]
plan = "livekit/ship"
from = 2026-05-01

[[subscription]]
plan = "livekit/scale"
from = 2026-11-13
note = "the big customer"
"""


def test_a_change_of_plan_within_a_month(tmp_path: Path, rates: Path) -> None:
    rates.write_text(CHANGE)
    # 2,100 minutes to the last millisecond of Ship: 2,000 are included for 12 of 30 days.
    settled(tmp_path, 1, session(2_100, "2026-11-12T23:59:59.999Z"))
    settled(tmp_path, 2, session(30_050, "2026-11-30T00:00Z"))
    # Over the change: each instance by the plan of the day on which it ends.
    settled(tmp_path, 3, session(7, "2026-11-12T22:00Z"), session(9, "2026-11-13T00:00Z"))

    answer = stated("2026-11")

    assert (answer["plan"], answer["assumptions"]) == ("livekit/scale", [PRORATED])
    assert answer["terms"] == [
        {
            "plan": "livekit/ship",
            "since": "2026-11-01",
            "until": "2026-11-13",
            "days": 12,
            "of_days": 30,
            "base_fee": "20",
        },
        {
            "plan": "livekit/scale",
            "since": "2026-11-13",
            "until": "2026-12-01",
            "days": 18,
            "of_days": 30,
            "base_fee": "300",
        },
    ]
    lines = [
        (one["term"], one["pricing_quantity"], one["allowance_used"]) for one in answer["lines"]
    ]
    assert lines == [(0, "2107", "2000"), (1, "30059", "30000")]
    assert (answer["base_fee"], answer["usage_cost"], answer["total"]) == ("320", "1.66", "321.66")
    assert [one["job_id"] for one in answer["jobs"]] == ["AJ_3", "AJ_1", "AJ_2"]
    parts = [Decimal(one["effective_cost"]) for one in answer["jobs"]]
    assert add_up(parts) == Decimal("321.66")
    limits = [(one["limit"], one["allowed"]) for one in answer["limits"]]
    assert limits == [
        ("concurrent_agents", 20),
        ("connections", 1_000),
        ("concurrent_agents", 600),
        ("connections", 5_000),
    ]
    shown = run("statement", "2026-11").stdout
    assert (
        "plan livekit/ship from 2026-11-01 (12 of 30 days),"
        " livekit/scale from 2026-11-13 (18 of 30 days)"
    ) in shown
    assert "assumed: base fee, allowances" in shown
    assert "agent_session (plan 1)" in shown

    # Whole months are on one plan each, and a plan that is asked for holds for all of its month.
    assert stated("2026-12")["base_fee"] == "500"
    assert stated("2026-10")["base_fee"] == "50"
    assert stated("2026-11", "--plan=livekit/ship")["base_fee"] == "50"
    assert stated("2026-12")["assumptions"] == []


def test_a_month_with_a_change_is_issued_and_corrected(tmp_path: Path, rates: Path) -> None:
    rates.write_text(CHANGE)
    settled(tmp_path, 1, session(2_100, "2026-11-12T23:00Z"), session(5, "2026-11-20T00:00Z"))
    issued = run("statement", "2026-11", "--issue", "--json").stdout
    listed = json.loads(run("statements", "--json").stdout)
    assert [one["plan"] for one in listed] == ["livekit/ship, livekit/scale"]
    assert stated("2026-12")["corrections"] == []
    settled(tmp_path, 2, session(10, "2026-11-02T00:00Z"))
    # The plan that it was issued on, whatever the file says by now.
    rates.write_text(CHANGE.replace("2026-11-13", "2026-11-28"))
    [found] = stated("2026-12")["corrections"]
    assert [(one["term"], one["cost"]) for one in found["lines"]] == [(0, "0.1")]
    assert found["amount"] == "0.1"
    assert run("statement", "2026-11", "--json").stdout == issued


def test_before_the_first_subscription_there_is_no_plan(tmp_path: Path, rates: Path) -> None:
    rates.write_text('[[subscription]]\nplan = "livekit/ship"\nfrom = 2026-11-16\n')
    settled(tmp_path, 1, session(10, "2026-11-02T00:00Z"))
    answer = stated("2026-11")
    assert [(one["plan"], one["days"]) for one in answer["terms"]] == [
        ("none", 15),
        ("livekit/ship", 15),
    ]
    assert (answer["base_fee"], answer["total"]) == ("25", "25")
    assert [one["meter"] for one in answer["unrated"]] == ["agent_session"]
    assert stated("2026-10") is None


def test_a_subscription_says_where_jobs_ran(tmp_path: Path, rates: Path) -> None:
    rates.write_text(
        '[[subscription]]\nplan = "livekit/ship"\nfrom = 2026-11-01\nhosting = "cloud"\n'
        '[[subscription]]\nplan = "livekit/ship"\nfrom = 2026-11-16\n'
    )
    settled(tmp_path, 1, session(10, "2026-11-02T00:00Z"), session(20, "2026-11-20T00:00Z"))
    answer = stated("2026-11")
    # The plan is the same, so nothing is prorated.
    assert [(one["days"], one["base_fee"]) for one in answer["terms"]] == [(30, "50")]
    assert [(one["state"], one["consumed_quantity"]) for one in answer["lines"]] == [
        ("not_billed", "600"),
        ("priced", "1200"),
    ]
    assert answer["hostings"] == ["cloud", "cloud-agents"]
    stated("2026-11", "--issue")
    assert stated("2026-12")["corrections"] == []


def test_a_tenants_subscription_is_its_own(tmp_path: Path, rates: Path) -> None:
    rates.write_text(
        '[[subscription]]\nplan = "livekit/ship"\nfrom = 2026-01-01\n'
        '[[subscription]]\nplan = "livekit/scale"\nfrom = 2026-01-01\ntenant = "acme"\n'
    )
    for number, tenant in enumerate(("acme", "zeta")):
        settled(tmp_path, number, session(10), tenant=tenant)
    plans = {
        who: stated("2026-11", *who)["plan"] for who in ((), ("--tenant=acme",), ("--tenant=zeta",))
    }
    assert plans == {
        (): "livekit/ship",
        ("--tenant=acme",): "livekit/scale",
        ("--tenant=zeta",): "livekit/ship",
    }


MINE = """
[[plan]]
id = "mine"
name = "Mine"
provider = "livekit-cloud"
base_fee = "31"

[[plan]]
id = "mine"
name = "Mine"
provider = "livekit-cloud"
base_fee = "62"
effective_from = 2026-12-11
"""


def test_new_terms_of_a_plan_hold_from_their_day(tmp_path: Path, rates: Path) -> None:
    rates.write_text(MINE)
    settled(tmp_path, 1, session(10), plan="mine")
    fees = {
        month: stated(month, "--plan=mine")["base_fee"]
        for month in ("2026-11", "2026-12", "2027-01")
    }
    assert fees == {"2026-11": "31", "2026-12": "52", "2027-01": "62"}
    versions = load_plans(rates)["mine"]
    assert [one.base_fee for one in (*versions.earlier, versions)] == [31, 62]
    offers = json.loads(run("plans", "replay", "2026-11", "--json").stdout)["offers"]
    assert {one["total"] for one in offers if one["plan"] == "mine"} == {"31"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("effective_from = 2026-12-11", "", "there is a plan 'mine' already"),
        (
            'base_fee = "31"',
            'base_fee = "31"\neffective_from = 2027-01-01',
            r"from 2026-12-11, and those above from 2027-01-01; put the older ones first",
        ),
        (
            'base_fee = "31"',
            'base_fee = "31"\neffective_until = 2026-12-10',
            r"rates.toml:\d+: .*hold from 2026-12-11, and leave a gap to those above",
        ),
        (
            'base_fee = "31"',
            'base_fee = "31"\neffective_until = 2026-12-12',
            "hold from 2026-12-11, and overlap those above, until 2026-12-12",
        ),
    ],
)
def test_terms_that_contradict_each_other(rates: Path, old: str, new: str, said: str) -> None:
    rates.write_text(MINE.replace(old, new))
    with pytest.raises(RateError, match=said):
        load_plans(rates)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('plan = "ship"\nfrom = 2026-11-01', "plan 'ship' is unknown; use one of livekit/build"),
        ('plan = "livekit/ship"', "from is missing: the day on which the plan begins"),
        ('plan = "livekit/ship"\nfrom = "Monday"', r"rates.toml:3: .*from Monday must be a date"),
        (
            'plan = "livekit/ship"\nfrom = 2026-11-01\nhosting = "self"',
            "hosting 'self' does not go with 'livekit/ship'; use one of cloud, cloud-agents",
        ),
        (
            'plan = "livekit/ship"\nfrom = 2026-11-01\n'
            '[[subscription]]\nplan = "none"\nfrom = 2026-11-01',
            "'livekit/ship' and 'none' both begin on 2026-11-01",
        ),
        ('plan = "none"\nsince = 2026-11-01', "unknown key 'since'"),
    ],
)
def test_subscriptions_that_cannot_be(rates: Path, text: str, said: str) -> None:
    rates.write_text(f"[[subscription]]\n{text}\n")
    with pytest.raises(RateError, match=said):
        load_account(rates)


def test_february() -> None:
    ship, _ = terms_of(
        parse_period("2028-02"), lambda day: SHIP if day < date(2028, 2, 2) else SCALE
    )
    assert (ship.days, ship.of_days) == (1, 29)
    assert ship.plan.base_fee == Decimal("1.724137931034")
