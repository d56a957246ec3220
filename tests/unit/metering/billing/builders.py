"""Short ways to write a month in these tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from metering.billing import (
    Bill,
    JobCharges,
    Statement,
    add_up_month,
    card_on_plan,
    make_bill,
    make_statement,
    parse_period,
)
from metering.pricing import Plan, RateCard, load_catalog, load_plans, rate
from metering.usage import Usage
from tests.unit.metering.pricing.builders import START, connection, usage

NOVEMBER = parse_period("2026-11")


_PLANS = load_plans()
_CARDS: dict[tuple[str, bool], RateCard] = {}


def plan(plan_id: str = "livekit/ship", **changes: Any) -> Plan:
    """A plan of the catalog, changed."""
    return replace(_PLANS[plan_id], **changes)


def catalog_on(its_plan: Plan) -> RateCard:
    """The catalog on a plan of its own, made once for each."""
    key = its_plan.plan_id, its_plan.agent_connections_billed
    if key not in _CARDS:
        _CARDS[key] = card_on_plan(load_catalog(), its_plan)
    return _CARDS[key]


def job(
    usages: Iterable[Usage],
    on: Plan | None = None,
    *,
    number: int = 0,
    hosting: str = "cloud-agents",
    card: RateCard | None = None,
) -> JobCharges:
    """One job's charges; a higher number ended later."""
    its_plan = on or plan()
    rates = catalog_on(its_plan) if card is None else card_on_plan(card, its_plan)
    charges = rate(usages, rates, hosting=hosting, plan=its_plan.plan_id)
    ended_at = START + timedelta(minutes=number)
    return JobCharges(job_id=f"AJ_{number}", ended_at=ended_at, charges=tuple(charges))


def bill(jobs: Sequence[JobCharges], on: Plan | None = None, **how: Any) -> Bill:
    its_plan = on or plan()
    return make_bill(add_up_month(jobs, its_plan), its_plan, day=date(2026, 11, 1), **how)


def statement(jobs: Sequence[JobCharges], on: Plan | None = None, **how: Any) -> Statement | None:
    return make_statement(jobs, on or plan(), NOVEMBER, rate_card="test", **how)


def session(seconds: str | int | Decimal, **fields: Any) -> Usage:
    return usage("agent_session", "livekit-cloud", seconds, **fields)


def minutes(count: int, **fields: Any) -> Usage:
    """One connection of that many minutes."""
    return connection(count * 60, **fields)


def speech(seconds: str | int | Decimal, **fields: Any) -> Usage:
    return usage("stt_audio", "deepgram", seconds, model="nova-3", **fields)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
