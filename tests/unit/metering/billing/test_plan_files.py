"""Plans as an owner writes them, and what is refused in them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from metering.errors import RateError
from metering.pricing import Plan, load_plans
from metering.pricing.plans import Credit, Tier

HEAD = '[[plan]]\nid = "p"\nname = "P"\nprovider = "acme"\nbase_fee = "10"\n'


def written(folder: Path, text: str, head: str = HEAD) -> Plan:
    path = folder / "plans.toml"
    path.write_text(head + text + "\n")
    return load_plans(path)["p"]


def test_everything_a_plan_can_say(tmp_path: Path) -> None:
    plan = written(
        tmp_path,
        'hostings = ["cloud"]\ncommitment = "100"\nagent_connections_billed = false\n'
        'credit = "5"\ncredit_provider = "livekit"\nbook = "price"\n'
        'allowances = [{ meter = "messages", quantity = "10", unit = "message", increment = "2",'
        ' excluding = [{ kind = "sip" }] }]\n'
        'tiers = [{ meter = "messages", unit = "message", prices = ['
        '{ over = "0", price = "0.5" }, { over = "10", price = "0.25" }] }]\n'
        'credits = [{ name = "gift", amount = "7", providers = ["a"], meters = ["messages"],'
        " expires = 2026-12-31 }]",
    )
    assert (plan.hostings, plan.commitment, plan.book) == (("cloud",), Decimal(100), "price")
    assert plan.agent_connections_billed is False
    allowance = plan.allowance("messages")
    assert allowance is not None
    assert allowance.increment == 2
    assert allowance.covers({"kind": "webrtc"})
    assert not allowance.covers({"kind": "sip", "more": "x"})
    tiers = plan.overage_tiers("messages")
    assert tiers is not None
    assert tiers.tiers == (
        Tier(Decimal(0), Decimal("0.5")),
        Tier(Decimal(10), Decimal("0.25")),
    )
    monthly, gift = plan.monthly_credits
    assert monthly == Credit("P monthly credit", Decimal(5), frozenset({"livekit"}))
    assert gift.expires == date(2026, 12, 31)
    assert gift.covers("a", "messages")
    assert not gift.covers("b", "messages")
    assert not gift.covers("a", "audio_minutes")


def test_a_plan_may_include_a_meter_of_ones_own(tmp_path: Path) -> None:
    meter = '[[meter]]\nname = "whiteboard_strokes"\nunit = "event"\n'
    plan = written(
        tmp_path,
        'allowances = [{ meter = "whiteboard_strokes", quantity = "5", unit = "event" }]\n' + meter,
    )
    assert plan.allowance("whiteboard_strokes") is not None


def test_a_plan_by_contract_needs_no_fee(tmp_path: Path) -> None:
    head = '[[plan]]\nid = "p"\nname = "P"\nprovider = "acme"\n'
    assert written(tmp_path, "by_contract = true", head).by_contract
    with pytest.raises(RateError, match="base_fee is missing"):
        written(tmp_path, "", head)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('hostings = ["moon"]', r"plans.toml:6: .*hosting 'moon' is unknown; use one of self"),
        ('hostings = "cloud"', "hostings 'cloud' must be a list of texts"),
        ("agent_connections_billed = 1", "agent_connections_billed 1 must be true or false"),
        ('book = "phone"', "book 'phone' is unknown; use cost or price"),
        ("commitment = 5", "commitment 5 must be a decimal in quotes"),
        ('credits = [{ name = "x", amount = "-1" }]', "amount '-1' must not be negative"),
        ('credits = [{ name = "x", amount = "1", until = 2026-01-01 }]', "unknown key 'until'"),
        (
            'tiers = [{ meter = "messages", unit = "message", prices = [] }]',
            "prices must begin over 0 and rise; they are over none",
        ),
        (
            'tiers = [{ meter = "messages", unit = "message", prices = ['
            '{ over = "0", price = "1" }, { over = "9", price = "1" },'
            ' { over = "5", price = "1" }] }]',
            "they are over 0, 9, 5",
        ),
        (
            'tiers = [{ meter = "messages", unit = "GB", prices = [{ over = "0", price = "1" }] }]',
            "unit 'GB' does not fit 'messages'",
        ),
        (
            'allowances = [{ meter = "messages", quantity = "1", unit = "message" },'
            ' { meter = "messages", quantity = "2", unit = "message" }]',
            "allowances name the meter 'messages' twice",
        ),
        (
            'allowances = [{ meter = "messages", quantity = "1", unit = "message",'
            ' increment = "0" }]',
            "increment must be more than 0",
        ),
        (
            'allowances = [{ meter = "messages", quantity = "1", unit = "message",'
            " excluding = [{ kind = 1 }] }]",
            "excluding.kind 1 must be a text",
        ),
        (
            'allowances = [{ meter = "mesages", quantity = "1", unit = "message" }]',
            r"plans.toml:6: .*meter 'mesages' is unknown; did you mean 'messages'",
        ),
        (
            'credits = [{ name = "x", amount = "1", meters = ["mesages"] }]',
            "meter 'mesages' is unknown",
        ),
        ('credits = [{ name = "x", amount = "1", expires = 5 }]', "expires 5 must be a date"),
        ("limits = { agents = 5 }", "limit 'agents' is unknown; use one of concurrent_agents,"),
        ("limits = { connections = 1.5 }", "connections 1.5 must be a whole number"),
        ("limits = { connections = true }", "connections True must be a whole number"),
        ('currency = "dollar"', "currency 'dollar' is no ISO 4217 code"),
        ('commitment = "NaN"', "commitment 'NaN' must be finite"),
        (
            "effective_from = 2026-02-01\neffective_until = 2026-01-01",
            "plans.toml:7: .*effective_until 2026-01-01 must be after effective_from 2026-02-01",
        ),
        (
            HEAD,
            r"plans.toml:7: .*there is a plan 'p' already, at .*plans.toml:1: \[\[plan\]\] 1",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RateError, match=message):
        written(tmp_path, text)
