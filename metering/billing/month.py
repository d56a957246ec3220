"""A month's charges through a plan: what the allowances cover, and what the rest costs.

Jobs use up the allowances in the order in which they end, as a provider counts them; so what each
adds to the month (its marginal cost) and the month's lines come from one walk, and cannot disagree.
An instance was rounded up on its own when it was rated: nothing here rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ..errors import RateError
from ..pricing.charge_models import ChargeModel, MonthTerms
from ..pricing.charges import Charge, ChargeState
from ..pricing.exact import EXACT, ZERO, convert
from ..pricing.plans import Allowance, OverageTiers, Plan
from ..units import unit
from .charge_sum import ChargeSum, LineKey, line_key
from .month_terms import PricePart, TermsPool

Bucket = tuple[str, str]
"""Provider and meter: what an allowance, a tier or a credit is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCharges:
    """What one job was charged for the instances that are billed in the period.

    `ended_at` is the end of the last of them; in its order jobs use up the allowances. Where costs
    are asked for by `purpose`, a job has one of these for each.
    """

    job_id: str
    ended_at: datetime
    charges: tuple[Charge, ...]
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class TierCost:
    """A part of a line's overage at one price; `over` is where the plan's tier begins, if any."""

    over: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class MonthLine:
    """All charges of a month at one rate, or for want of one.

    `charge` has the sums: `list_cost` is without any allowance. `allowance_used` and `beyond` are
    in its pricing unit, as the quantities of `overage` are unless the plan's tiers have another, or
    they are packages; what a rate itself includes is in `allowance_used`, too. `beyond` is what a
    plan without overage does not hold: it has no price. `term` counts the plan's terms that hold
    for it, from 0: in the month of a change there are several.
    """

    charge: Charge
    allowance_used: Decimal = ZERO
    overage: tuple[TierCost, ...] = ()
    beyond: Decimal = ZERO
    term: int = 0

    @property
    def cost(self) -> Decimal:
        """What the line comes to, before credits."""
        total = ZERO
        for part in self.overage:
            total = EXACT.add(total, part.cost)
        return total

    @property
    def bucket(self) -> Bucket:
        """What an allowance or credit would have to cover."""
        return self.charge.provider, self.charge.meter


@dataclass(frozen=True, slots=True)
class JobMonth:
    """What one job has to do with the month's costs.

    `list_cost` and `cost` are by bucket; `cost` is what the job added to the month when it ended,
    given the allowances that the jobs before it had used.
    """

    job_id: str
    list_cost: Mapping[Bucket, Decimal]
    cost: Mapping[Bucket, Decimal]
    unrated: int
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Month:
    """The outcome of the walk; `currency` is that of every priced line."""

    lines: tuple[MonthLine, ...]
    jobs: tuple[JobMonth, ...]
    currency: str


@dataclass(slots=True)
class _Pool:
    """What is left of one allowance, and how far the tiers past it are used; in base units."""

    left: Decimal | None
    tiers: OverageTiers | None
    used_past: Decimal = ZERO

    def take(self, charge: Charge, factor: Decimal) -> tuple[Decimal, Decimal]:
        """How much of a charge the allowance covers and how much it does not, in pricing units."""
        wanted = charge.pricing_quantity or ZERO
        if self.left is None:
            return wanted, ZERO
        in_base = EXACT.multiply(wanted, factor)
        if in_base <= self.left:
            self.left = EXACT.subtract(self.left, in_base)
            return wanted, ZERO
        if not self.left:
            return ZERO, wanted
        past = min(wanted, convert(EXACT.subtract(in_base, self.left), factor))
        self.left = ZERO
        return EXACT.subtract(wanted, past), past

    def price(self, quantity: Decimal, charge: Charge, factor: Decimal) -> list[TierCost]:
        """The cost of what the allowance does not cover."""
        if not quantity:
            return []
        if self.tiers is None:
            return [_at_rate(charge, quantity)]
        tier_factor = unit(self.tiers.pricing_unit).factor
        starts = [EXACT.multiply(tier.over, tier_factor) for tier in self.tiers.tiers]
        begin, end = self.used_past, EXACT.add(self.used_past, EXACT.multiply(quantity, factor))
        self.used_past = end
        costs = []
        for number, tier in enumerate(self.tiers.tiers):
            until = min(end, starts[number + 1]) if number + 1 < len(starts) else end
            within = EXACT.subtract(until, max(begin, starts[number]))
            if within > 0:
                amount = convert(within, tier_factor)
                cost = EXACT.multiply(amount, tier.unit_price)
                costs.append(TierCost(tier.over, amount, tier.unit_price, cost))
        return costs


@dataclass(slots=True)
class _Line:
    """A month's line in the making; `first` is a charge of it, for what all of them share.

    `pool` is the plan's allowance that it comes off and the tiers past it, if it has either;
    `terms_pool` what its rate says about a month, unless the plan's tiers take its place. `past` is
    what neither includes.
    """

    first: Charge
    sums: ChargeSum
    bucket: Bucket
    pool: _Pool | None
    factor: Decimal
    terms_pool: TermsPool | None = None
    past: Decimal = ZERO
    allowance_used: Decimal = ZERO
    beyond: Decimal = ZERO
    overage: dict[Decimal | None, TierCost] = field(default_factory=dict)

    def finished(self) -> MonthLine:
        first, charge = self.first, self.sums.summed()
        if self.pool is None and self.terms_pool is None:
            priced = charge.pricing_quantity
            overage = (_at_rate(first, priced),) if priced else ()
            return MonthLine(charge, overage=overage)
        terms = first.month_terms
        if self.terms_pool and terms and terms.charge_model is ChargeModel.VOLUME and self.past:
            landed = _tier_cost(self.terms_pool.at_volume(terms, self.past))
            return MonthLine(charge, self.allowance_used, (landed,), self.beyond)
        parts = sorted(self.overage.items(), key=lambda item: item[0] or ZERO)
        return MonthLine(charge, self.allowance_used, tuple(part for _, part in parts), self.beyond)


def add_up_month(jobs: Iterable[JobCharges], plan: Plan) -> Month:
    """The month's lines under a plan, and each job's part in them.

    Args:
        jobs: in any order; each once.
        plan: the one whose rates the charges were rated by.

    Raises:
        RateError: the charges are in several currencies, or not in the plan's.
    """
    pools: dict[Bucket, _Pool] = {}
    terms_pools: dict[str, TermsPool] = {}
    lines: dict[LineKey, _Line] = {}
    months = []
    for job in sorted(jobs, key=lambda job: (job.ended_at, job.job_id, job.purpose)):
        lists: dict[Bucket, Decimal] = {}
        costs: dict[Bucket, Decimal] = {}
        unrated = 0
        for key, charge in sorted(
            ((line_key(charge), charge) for charge in job.charges), key=_first
        ):
            line = lines.get(key)
            if line is None:
                line = lines[key] = _new_line(charge, plan, pools, terms_pools)
            line.sums.add(charge)
            if charge.list_cost is None:
                unrated += charge.state is ChargeState.UNRATED
                continue
            bucket = line.bucket
            cost = charge.list_cost
            if line.pool is not None or line.terms_pool is not None:
                cost = _through_pools(line, charge, overage=plan.overage)
            lists[bucket] = EXACT.add(lists.get(bucket, ZERO), charge.list_cost)
            costs[bucket] = EXACT.add(costs.get(bucket, ZERO), cost)
        months.append(JobMonth(job.job_id, lists, costs, unrated, job.purpose))
    ordered = tuple(line.finished() for _, line in sorted(lines.items(), key=lambda item: item[0]))
    return Month(ordered, tuple(months), _currency(ordered, plan))


def _new_line(
    charge: Charge,
    plan: Plan,
    pools: dict[Bucket, _Pool],
    terms_pools: dict[str, TermsPool],
) -> _Line:
    bucket = charge.provider, charge.meter
    if charge.pricing_unit is None:
        return _Line(charge, ChargeSum(charge), bucket, None, ZERO)
    factor = unit(charge.pricing_unit).factor
    line = _Line(charge, ChargeSum(charge), bucket, _pool(plan, pools, charge), factor)
    terms: MonthTerms | None = charge.month_terms
    if terms is not None and (line.pool is None or line.pool.tiers is None):
        line.terms_pool = terms_pools.setdefault(terms.pool, TermsPool())
    return line


def _through_pools(line: _Line, charge: Charge, *, overage: bool) -> Decimal:
    """What a charge costs once the plan's allowance and the rate's terms have taken their part."""
    past = charge.pricing_quantity or ZERO
    if line.pool is not None:
        covered, past = line.pool.take(charge, line.factor)
        line.allowance_used = EXACT.add(line.allowance_used, covered)
        if not overage:
            line.beyond = EXACT.add(line.beyond, past)
            return ZERO
    if line.terms_pool is None or charge.month_terms is None:
        parts = [] if line.pool is None else line.pool.price(past, charge, line.factor)
        return _add_parts(line, parts)
    taken = line.terms_pool.take(past, charge.unit_price or ZERO, charge.month_terms)
    line.allowance_used = EXACT.add(line.allowance_used, taken.included)
    line.past = EXACT.add(line.past, taken.past)
    _add_parts(line, [_tier_cost(part) for part in taken.parts])
    return taken.added


def _add_parts(line: _Line, parts: Iterable[TierCost]) -> Decimal:
    total = ZERO
    for part in parts:
        before = line.overage.get(part.over)
        line.overage[part.over] = part if before is None else _together(before, part)
        total = EXACT.add(total, part.cost)
    return total


def _pool(plan: Plan, pools: dict[Bucket, _Pool], charge: Charge) -> _Pool | None:
    if charge.provider != plan.provider or _is_add_on(charge):
        return None
    allowance: Allowance | None = plan.allowance(charge.meter)
    tiers = plan.overage_tiers(charge.meter)
    if allowance is None and tiers is None:
        return None
    if allowance is not None and not allowance.covers(charge.attributes):
        return None
    bucket = charge.provider, charge.meter
    if bucket not in pools:
        left = ZERO if allowance is None else allowance.base_quantity
        pools[bucket] = _Pool(left, tiers)
    return pools[bucket]


def _is_add_on(charge: Charge) -> bool:
    return "add-on" in (charge.rate_id or "").split("/")


def _tier_cost(part: PricePart) -> TierCost:
    cost = EXACT.multiply(part.quantity, part.unit_price)
    return TierCost(part.over, part.quantity, part.unit_price, cost)


def _at_rate(charge: Charge, quantity: Decimal) -> TierCost:
    price = charge.unit_price or ZERO
    return TierCost(None, quantity, price, EXACT.multiply(quantity, price))


def _together(one: TierCost, other: TierCost) -> TierCost:
    return TierCost(
        one.over,
        EXACT.add(one.quantity, other.quantity),
        one.unit_price,
        EXACT.add(one.cost, other.cost),
    )


def _first(item: tuple[LineKey, Charge]) -> LineKey:
    return item[0]


def _currency(lines: Sequence[MonthLine], plan: Plan) -> str:
    # Nothing is nothing in every currency: the catalog's explicit 0 for one's own server is in USD.
    found = sorted({line.charge.currency or "" for line in lines if line.charge.list_cost})
    if len(found) > 1:
        raise RateError(
            f"the charges are in {' and '.join(found)}, and are not added up across currencies;"
            " give all rates in use the same one"
        )
    currency = found[0] if found else plan.currency
    if currency != plan.currency and (plan.base_fee or plan.commitment or plan.monthly_credits):
        raise RateError(
            f"the charges are in {currency}, plan {plan.plan_id!r} is in {plan.currency};"
            " they are not added up across currencies"
        )
    return currency
