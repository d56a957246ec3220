"""The same meetings on several plans: whether each holds them, then what it costs.

Limits come first: the cheapest plan is none at all if it refuses the busiest hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from ..pricing.charges import Charge, ChargeState
from ..pricing.plans import Plan
from ..pricing.rate_card import RateCard
from ..usage import format_decimal
from .bill import Bill, make_bill
from .concurrency import LimitCheck, check_limits
from .month import add_up_month
from .pattern import STT_METERS, MeetingPattern, charges_of_one, month_of
from .plan_card import card_on_plan

_MOST_MEETINGS = 10**9
"""Beyond this a plan is taken never to become the cheaper one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A pattern of meetings on one plan and hosting.

    `refusals` says why the plan does not hold them; it then has a bill all the same, which leaves
    out what is past the allowances. `holds` is how many such meetings a plan without overage holds,
    `runs_out` the meter that says so; None and empty for other plans.
    """

    plan: Plan
    hosting: str
    bill: Bill
    limits: tuple[LimitCheck, ...]
    refusals: tuple[str, ...]
    holds: int | None
    runs_out: str

    @property
    def fits(self) -> bool:
        """Whether the plan holds these meetings."""
        return not self.refusals


@dataclass(frozen=True, slots=True)
class CheaperFrom:
    """From how many meetings a month on the plan `other` is cheaper; None is never."""

    other: str
    meetings: int | None


@dataclass(frozen=True, slots=True)
class Quote:
    """One meeting rated on a plan and hosting: from it the bill of any number of them."""

    plan: Plan
    hosting: str
    charges: tuple[Charge, ...]
    at: datetime

    @classmethod
    def of(
        cls, pattern: MeetingPattern, card: RateCard, plan: Plan, hosting: str, at: datetime
    ) -> Quote:
        """Rate one meeting by the rates of an instant.

        Raises:
            RateError: the plan is by contract, or there is no such hosting.
        """
        on_plan = card_on_plan(pattern.card(card), plan)
        charges = charges_of_one(pattern, on_plan, hosting=hosting, plan=plan.plan_id, at=at)
        return cls(plan, hosting, charges, at)

    def prices_stt(self, pattern: MeetingPattern) -> bool:
        """Whether anything of the pattern's STT model has a price, if it names one."""
        return pattern.stt is None or any(
            charge.state is ChargeState.PRICED
            for charge in self.charges
            if (charge.provider, charge.model) == pattern.stt and charge.meter in STT_METERS
        )

    def bill(self, meetings: int) -> Bill:
        """What that many meetings come to in a month.

        Raises:
            RateError: the rates are in several currencies.
        """
        month = add_up_month(month_of(self.charges, meetings, self.at), self.plan)
        return make_bill(month, self.plan, day=self.at.date())

    def holds(self) -> tuple[int | None, str]:
        """How many meetings the allowances hold if nothing can be had past them, and what ends.

        None where the plan has overage, or no allowance is touched.
        """
        if self.plan.overage:
            return None, ""
        over = _first(lambda meetings: bool(self._past_allowance(meetings)))
        return (None, "") if over is None else (over - 1, self._past_allowance(over)[0])

    def _past_allowance(self, meetings: int) -> list[str]:
        return [line.charge.meter for line in self.bill(meetings).lines if line.beyond]

    def offer(self, pattern: MeetingPattern, peak: int) -> Offer:
        """The pattern's meetings, with this many of them at once."""
        holds, runs_out = self.holds()
        checks = check_limits(self.plan.limits, expected_peaks(pattern, self.hosting, peak))
        refusals = []
        if holds is not None and pattern.meetings > holds:
            refusals.append(
                f"{self.plan.plan_id} holds {holds} such meetings ({runs_out} runs out first),"
                f" not {pattern.meetings}"
            )
        refusals += refused_by(self.plan, checks)
        bill = self.bill(pattern.meetings)
        return Offer(self.plan, self.hosting, bill, checks, tuple(refusals), holds, runs_out)


def expected_peaks(pattern: MeetingPattern, hosting: str, peak: int) -> Mapping[str, int]:
    """What runs at once with this many meetings at once, by the name of the limit."""
    peaks = {}
    if hosting == "cloud-agents":
        peaks["concurrent_agents"] = peak * pattern.agents
    if hosting != "self":
        peaks["connections"] = peak * (pattern.agents + pattern.people)
    if pattern.stt is not None and pattern.stt[0] == "livekit":
        peaks["inference_stt"] = peak * (pattern.people if pattern.held_open else 1)
    return peaks


def compare(
    pattern: MeetingPattern,
    card: RateCard,
    plans: Iterable[Plan],
    *,
    peak: int,
    at: datetime,
) -> tuple[list[Offer], dict[tuple[str, str], CheaperFrom]]:
    """Every plan on each of its hostings: those that hold the meetings first, then by price.

    Plans by contract and those of a price book are left out.

    Args:
        pattern: the meetings.
        card: the rates.
        plans: those to compare.
        peak: how many of the meetings go on at once at most.
        at: the rates of this instant are used.

    Returns:
        The offers; and for each plan and hosting, from how many meetings on the plan with the next
        higher base fee is cheaper.

    Raises:
        RateError: rates in several currencies.
    """
    quotes = [
        Quote.of(pattern, card, plan, hosting, at)
        for plan in plans
        if plan.book == "cost" and not plan.by_contract
        for hosting in plan.hostings or ("self",)
    ]
    offers = [quote.offer(pattern, peak) for quote in quotes]
    crossings = {}
    for quote in quotes:
        above = [
            other
            for other in quotes
            if other.hosting == quote.hosting
            and other.plan.provider == quote.plan.provider
            and other.plan.base_fee > quote.plan.base_fee
        ]
        if above:
            following = min(above, key=lambda other: other.plan.base_fee)
            crossings[quote.plan.plan_id, quote.hosting] = cheaper_from(quote, following)
    return in_order(offers), crossings


def in_order(offers: Iterable[Offer]) -> list[Offer]:
    """Those that hold the meetings first, each by price."""
    return sorted(
        offers,
        key=lambda offer: (
            not offer.fits,
            offer.bill.exact_total,
            offer.plan.plan_id,
            offer.hosting,
        ),
    )


def refused_by(plan: Plan, checks: Iterable[LimitCheck]) -> list[str]:
    """What a plan's limits have against it."""
    return [
        f"{plan.plan_id} allows {check.allowed} {check.limit.replace('_', ' ')},"
        f" the peak is {check.observed}"
        for check in checks
        if check.broken
    ]


def cheaper_from(quote: Quote, other: Quote) -> CheaperFrom:
    """From how many meetings on the other plan is cheaper, or the only one that holds them.

    It is taken to stay so from there on, which holds where its overage rates are not the higher.
    """
    holds, _ = quote.holds()
    if holds is not None:
        return CheaperFrom(other.plan.plan_id, holds + 1)
    found = _first(
        lambda meetings: other.bill(meetings).exact_total < quote.bill(meetings).exact_total
    )
    return CheaperFrom(other.plan.plan_id, found)


def without_agents_connections(plan: Plan) -> Plan:
    """The plan if agents connect free: the other reading of what LiveKit bills."""
    return replace(plan, agent_connections_billed=False)


def _first(holds: Callable[[int], bool]) -> int | None:
    """The smallest number of meetings for which this holds, if it holds for all larger ones."""
    high = 1
    while not holds(high):
        high *= 2
        if high > _MOST_MEETINGS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def offer_to_json(offer: Offer, crossing: CheaperFrom | None) -> dict[str, object]:
    """An offer as plain JSON values, money as strings of exact decimals.

    Where allowances without overage do not hold the meetings, there is no total.
    """
    has_total = not any(line.beyond for line in offer.bill.lines)
    return {
        "plan": offer.plan.plan_id,
        "hosting": offer.hosting,
        "fits": offer.fits,
        "refusals": list(offer.refusals),
        "holds_meetings": offer.holds,
        "base_fee": format_decimal(offer.bill.base_fee),
        "usage_cost": format_decimal(offer.bill.usage_cost),
        "exact_total": format_decimal(offer.bill.exact_total) if has_total else None,
        "total": format_decimal(offer.bill.total) if has_total else None,
        "currency": offer.bill.currency,
        "unrated": len(offer.bill.unrated),
        "cheaper_from": None
        if crossing is None
        else {"plan": crossing.other, "meetings": crossing.meetings},
    }


def mean_concurrency(agent_seconds: Decimal, available_seconds: int) -> Decimal:
    """How many agents are at work on average, to one decimal; no money depends on it."""
    scaled = agent_seconds * 10 / available_seconds
    return scaled.quantize(Decimal(1)).scaleb(-1)
