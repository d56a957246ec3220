"""What tenants are sold: the same usage, by the prices of a plan of ours instead of a provider's.

A tenant pays for what its plan's book names. A measured meter can be sold as one of the book's own
(a connection as an audio minute), have a rate of its own on the plan, or cost a markup on what it
costs us. What is none of these is not sold: it is in our cost, and the margin shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from decimal import Decimal
from typing import NamedTuple

from ..usage import NO_ATTRIBUTES, Meter, Usage, core_meters, format_decimal
from .charges import Charge, ChargeState
from .exact import EXACT
from .plans import Plan
from .rate_card import RateCard
from .rating import rate

PRICE_BOOK = "price"
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A tenant and the plan that it is sold, from one day until another; None is unbounded."""

    tenant: str
    plan_id: str
    effective_from: date | None = None
    effective_until: date | None = None
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoldAs:
    """Usage of the `measured` meter, whoever it was bought from, is sold as `meter` of a provider.

    Usage needs all of the `attributes`, and none of the `excluding` ones.
    """

    provider: str
    meter: str
    measured: str
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    excluding: tuple[Mapping[str, str], ...] = ()
    place: str = field(default="", compare=False)

    def fits(self, usage: Usage) -> bool:
        """Whether this usage is sold so."""
        has = usage.attributes.items()
        return (
            usage.meter == self.measured
            and self.attributes.items() <= has
            and not any(excluded.items() <= has for excluded in self.excluding)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """On a plan, what these providers and meters cost us and so many percent more; empty is any.

    It is on the list cost, so that a price is known when its job is over.
    """

    plan_id: str
    percent: Decimal
    providers: frozenset[str] = frozenset()
    meters: frozenset[str] = frozenset()
    effective_from: date | None = None
    effective_until: date | None = None
    place: str = field(default="", compare=False)

    @property
    def rank(self) -> tuple[bool, bool]:
        """One that names meters goes before one that names providers, and that before any other."""
        return bool(self.meters), bool(self.providers)

    def covers(self, usage: Usage) -> bool:
        """Whether this usage is sold at the markup."""
        day = usage.started_at.astimezone(UTC).date()
        return (
            (not self.providers or usage.provider in self.providers)
            and (not self.meters or usage.meter in self.meters)
            and (self.effective_from is None or self.effective_from <= day)
            and (self.effective_until is None or day < self.effective_until)
        )

    def on(self, charge: Charge) -> Charge:
        """What a charge of ours becomes for the tenant; it multiplies out as the charge does.

        The terms of our rate are not the tenant's: tiers and packages are left behind.
        """
        if charge.unit_price is None or charge.list_cost is None:
            return replace(charge, book=PRICE_BOOK, disputed=None)
        factor = EXACT.divide(EXACT.add(_HUNDRED, self.percent), _HUNDRED)
        return replace(
            charge,
            book=PRICE_BOOK,
            unit_price=EXACT.multiply(charge.unit_price, factor),
            list_cost=EXACT.multiply(charge.list_cost, factor),
            rate_id=f"markup={format_decimal(self.percent)}/{charge.rate_id}",
            disputed=None,
            month_terms=None,
        )


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Who is sold what, and as what."""

    customers: tuple[Customer, ...] = ()
    sold_as: tuple[SoldAs, ...] = ()
    markups: tuple[Markup, ...] = ()

    def customers_in(self, first: date, until: date) -> dict[str, str]:
        """The plan of each tenant for the days from `first` to before `until`.

        It is the one that holds when they begin, or the first after that: a tenant that changes its
        plan within them is on the new one from the next month on.
        """
        plans: dict[str, str] = {}
        for customer in sorted(self.customers, key=lambda one: one.effective_from or date.min):
            starts, ends = customer.effective_from, customer.effective_until
            if (starts is None or starts < until) and (ends is None or first < ends):
                plans.setdefault(customer.tenant, customer.plan_id)
        return plans


class NotSold(NamedTuple):
    """What costs us something and is sold to nobody.

    `attributes` are those that keep it out of what its meter is sold as; mostly there are none.
    """

    provider: str
    meter: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sold:
    """A tenant's charges, and what costs us something and its plan does not sell."""

    charges: tuple[Charge, ...]
    not_sold: frozenset[NotSold]


class PriceTerms:
    """What a plan of a price book makes of usage."""

    def __init__(
        self, plan: Plan, price_card: RateCard, cost_card: RateCard, cost_plan: str, book: PriceBook
    ) -> None:
        """Put a plan's terms together.

        Args:
            plan: of a price book.
            price_card: `book_card` of the plan; no other rate is a price.
            cost_card: what providers charge us, for what is sold at a markup.
            cost_plan: the id of our plan.
            book: what is sold as what.
        """
        self.plan = plan
        self._price_card = price_card
        self._cost_card = cost_card
        self._cost_plan = cost_plan
        self._sold_as = sorted(
            (one for one in book.sold_as if one.provider == plan.provider),
            key=lambda one: -len(one.attributes),
        )
        self._markups = sorted(
            (one for one in book.markups if one.plan_id == plan.plan_id),
            key=lambda one: one.rank,
            reverse=True,
        )

    def charges(self, usages: Iterable[Usage], hosting: str) -> Sold:
        """A job's usage as its tenant is charged for it.

        Raises:
            RateError: no such hosting, or quantities too far apart in size to be added exactly.
        """
        own: list[Usage] = []
        marked_up: dict[Markup, list[Usage]] = defaultdict(list)
        left_out: list[Usage] = []
        for together in _wholes_with_parts(usages, self._cost_card.meters):
            those = [usage for _, usage in together]
            if sold := list(self._as_sold(together)):
                own += sold
            elif any(self._has_own_rate(usage, hosting) for usage in those):
                own += those
            elif markup := self._markup(those[0]):
                marked_up[markup] += those
            else:
                left_out += those
        plan_id = self.plan.plan_id
        made = rate(own, self._price_card, hosting=hosting, plan=plan_id, book=PRICE_BOOK)
        for markup, some in marked_up.items():
            cost = rate(some, self._cost_card, hosting=hosting, plan=self._cost_plan)
            made += [markup.on(charge) for charge in cost]
        cost = rate(left_out, self._cost_card, hosting=hosting, plan=self._cost_plan)
        return Sold(tuple(made), frozenset(self._not_sold(cost)))

    def _not_sold(self, cost: Iterable[Charge]) -> Iterator[NotSold]:
        """What of it costs anything, or nobody knows how much."""
        for charge in cost:
            if charge.list_cost or charge.state is ChargeState.UNRATED:
                has = charge.attributes.items()
                why = {
                    item
                    for one in self._sold_as
                    if one.measured == charge.meter
                    for excluded in one.excluding
                    if excluded.items() <= has
                    for item in excluded.items()
                }
                yield NotSold(charge.provider, charge.meter, tuple(sorted(why)))

    def _as_sold(self, together: list[tuple[int, Usage]]) -> Iterator[Usage]:
        """Those of them that are sold as something; their parts are in them."""
        sold_at = None
        for depth, usage in together:
            if sold_at is not None and depth > sold_at:
                return
            way = next((one for one in self._sold_as if one.fits(usage)), None)
            if way is not None:
                sold_at = depth
                yield replace(usage, provider=way.provider, meter=way.meter, model="")

    def _has_own_rate(self, usage: Usage, hosting: str) -> bool:
        if usage.provider == self.plan.provider:
            return True
        finding = self._price_card.find(usage, self.plan.plan_id, hosting)
        return bool(finding.rates) or finding.unpriced is not None

    def _markup(self, usage: Usage) -> Markup | None:
        return next((one for one in self._markups if one.covers(usage)), None)


def book_card(card: RateCard, plan: Plan) -> RateCard:
    """The rates that are prices on a plan: those that name it.

    What a provider charges us is never by itself what a tenant pays.
    """
    return RateCard(
        tuple(one for one in card.rates if one.plan == plan.plan_id),
        tuple(one for one in card.unpriced if one.plan == plan.plan_id),
        card.models,
        [meter for name, meter in card.meters.items() if name not in core_meters()],
    )


def _wholes_with_parts(
    usages: Iterable[Usage], meters: Mapping[str, Meter]
) -> Iterator[list[tuple[int, Usage]]]:
    """Usage that is priced together, the wholes first: a part is never sold beside its whole.

    Each with how many wholes it is inside of.
    """
    found: dict[tuple[str, str, str, str], list[tuple[int, Usage]]] = defaultdict(list)
    for usage in usages:
        root, depth, meter = usage.meter, 0, meters.get(usage.meter)
        while meter is not None and meter.part_of is not None:
            root, depth, meter = meter.part_of, depth + 1, meters.get(meter.part_of)
        key = usage.instance_id, usage.provider, usage.model, root
        found[key].append((depth, usage))
    for together in found.values():
        yield sorted(together, key=lambda item: item[0])
