"""Plans as published."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from metering.errors import RateError
from metering.pricing import find_plan, load_plans


@pytest.mark.parametrize(
    ("plan_id", "fee", "webrtc", "sessions", "gigabytes", "agents", "connections", "credit"),
    [
        ("livekit/build", "0", 5_000, 1_000, 50, 5, 100, "2.5"),
        ("livekit/ship", "50", 150_000, 5_000, 250, 20, 1_000, "5"),
        ("livekit/scale", "500", 1_500_000, 50_000, 3_000, 600, 5_000, "50"),
    ],
)
def test_livekits_plans(
    plan_id: str,
    fee: str,
    webrtc: int,
    sessions: int,
    gigabytes: int,
    agents: int,
    connections: int,
    credit: str,
) -> None:
    plan = load_plans()[plan_id]

    assert plan.base_fee == Decimal(fee)
    assert plan.credit == Decimal(credit)
    included = {item.meter: item.quantity for item in plan.allowances}
    assert included == {
        "participant_connection": webrtc,
        "agent_session": sessions,
        "downstream_data": gigabytes,
    }
    assert plan.limits["concurrent_agents"] == agents
    assert plan.limits["connections"] == connections
    assert plan.overage is (plan_id != "livekit/build")


def test_an_allowance_in_base_units() -> None:
    allowance = load_plans()["livekit/ship"].allowance("downstream_data")

    assert allowance is not None
    assert allowance.base_quantity == 250 * 10**9
    assert load_plans()["livekit/ship"].allowance("stt_audio") is None


def test_an_unknown_plan_lists_the_known_ones() -> None:
    with pytest.raises(RateError, match="unknown plan 'ship'; use one of livekit/build"):
        find_plan(load_plans(), "ship")


def test_an_owners_plan(tmp_path: Path) -> None:
    path = tmp_path / "plans.toml"
    path.write_text(
        '[[plan]]\nid = "livekit/enterprise"\nname = "Enterprise"\nprovider = "livekit-cloud"\n'
        'base_fee = "2000"\nallowances = [{ meter = "participant_connection", '
        'quantity = "unlimited", unit = "minute" }]\n'
    )

    plan = find_plan(load_plans(path), "livekit/enterprise")

    allowance = plan.allowance("participant_connection")
    assert allowance is not None
    assert allowance.quantity is None
    assert allowance.base_quantity is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_fee = 50", "base_fee 50 must be a decimal in quotes"),
        ('base_fee = "50"\nlimits = { connections = -1 }', "connections -1 must not be negative"),
        ('base_fee = "50"\nbase_free = "1"', "unknown key 'base_free'"),
        (
            'base_fee = "50"\nallowances = [{ meter = "messages", quantity = "1", unit = "GB" }]',
            "unit 'GB' does not fit 'messages'",
        ),
    ],
)
def test_a_plan_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plans.toml"
    path.write_text(f'[[plan]]\nid = "p"\nname = "P"\nprovider = "acme"\n{text}\n')

    with pytest.raises(RateError, match=message):
        load_plans(path)
