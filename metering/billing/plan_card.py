"""The rate card as a plan reads it: what a plan's options change about what is billed at all."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType

from ..errors import RateError
from ..pricing.plans import Plan
from ..pricing.rate_card import NoPrice, NotBilled, Rate, RateCard
from ..usage import core_meters

_AGENT = MappingProxyType({"kind": "agent"})
AGENTS_CONNECT_FREE = "on this plan the agent's own connection is not billed"


def card_on_plan(card: RateCard, plan: Plan) -> RateCard:
    """The card with which usage is rated on this plan.

    Without overage a plan has no rate that says how instances are rounded, so its allowances do,
    at a price of 0: what is within them costs nothing, and what is beyond is never priced by it.

    Raises:
        RateError: the plan is by contract, and nobody has written its terms down.
    """
    if plan.by_contract:
        raise RateError(
            f"plan {plan.plan_id!r} is by contract: write its base fee, allowances and rates into"
            " your own rate file (TALLYROOM_RATES)"
        )
    rates, unpriced = list(card.rates), list(card.unpriced)
    if not plan.overage:
        included = {allowance.meter for allowance in plan.allowances}
        unpriced = [
            entry
            for entry in unpriced
            if not (
                isinstance(entry, NoPrice)
                and entry.plan == plan.plan_id
                and entry.meter in included
                and not entry.attributes
            )
        ]
        rates += _measuring(plan)
    if not plan.agent_connections_billed:
        rates = [
            rate
            for rate in rates
            if not (
                rate.provider == plan.provider
                and rate.meter == "participant_connection"
                and rate.attributes.get("kind") == "agent"
            )
        ]
        unpriced += [
            NotBilled(
                provider=plan.provider,
                meter="participant_connection",
                attributes=_AGENT,
                plan=plan.plan_id,
                hosting=hosting,
                layer=1,
                reason=AGENTS_CONNECT_FREE,
            )
            for hosting in plan.hostings or (None,)
        ]
    if len(rates) == len(card.rates) and len(unpriced) == len(card.unpriced):
        return card
    added = [meter for name, meter in card.meters.items() if name not in core_meters()]
    return RateCard(tuple(rates), tuple(unpriced), card.models, added)


def _measuring(plan: Plan) -> list[Rate]:
    return [
        Rate(
            provider=plan.provider,
            meter=allowance.meter,
            plan=plan.plan_id,
            unit_price=Decimal(0),
            pricing_unit=allowance.pricing_unit,
            increment=allowance.increment,
            currency=plan.currency,
            basis="allowance",
        )
        for allowance in plan.allowances
    ]
