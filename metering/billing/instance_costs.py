"""A record's charges to the instances that they were made of; the parts add up to the record.

A charge is of many instances and does not say what each has cost. So each instance is rated by
itself, and the charge is shared in proportion to what came out: where prices are still what they
were then, that is what each has cost, to the last digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from ..pricing.charges import Charge
from ..pricing.exact import EXACT, ZERO
from ..pricing.rate_card import RateCard
from ..pricing.rating import rate
from ..record import CostRecord, RecordCharge, RecordUsage
from ..usage import Usage
from .sharing import share

_Line = tuple[str, ...]
"""What a charge and the instances in it have in common."""


@dataclass(frozen=True, slots=True)
class InstanceCost:
    """What one instance adds to a charge.

    `usage` is None where nobody can say which instances the charge was made of: they were pruned.
    `list_cost` is in the charge's currency, and None where the charge is unrated.
    """

    charge: RecordCharge
    usage: RecordUsage | None
    list_cost: Decimal | None


def instance_costs(record: CostRecord, card: RateCard) -> list[InstanceCost]:
    """What each instance of a record adds to its charges, but for what is not billed.

    Args:
        record: with its usage.
        card: today's rates, to weigh instances by; what the record says stays what it cost.

    Raises:
        RateError: quantities too far apart in size to be added exactly.
    """
    weighed = _weighed(record, card)
    costs = []
    for charge in record.charges:
        if charge.state == "not_billed":
            continue
        usages, weights = _instances(charge, record.usage, weighed)
        if not usages:
            costs.append(InstanceCost(charge, None, charge.list_cost))
        elif charge.list_cost is None:
            costs += [InstanceCost(charge, usage, None) for usage in usages]
        else:
            shares = share(charge.list_cost, weights)
            costs += [
                InstanceCost(charge, usage, list_cost)
                for usage, list_cost in zip(usages, shares, strict=True)
            ]
    return costs


_Weighed = Mapping[_Line, list[tuple[RecordUsage, Decimal]]]


def _weighed(record: CostRecord, card: RateCard) -> _Weighed:
    """The instances in each line, as closely as the line is known, by what they cost alone."""
    weighed: defaultdict[_Line, list[tuple[RecordUsage, Decimal]]] = defaultdict(list)

    def request(usage: RecordUsage) -> tuple[str, str, str]:
        return usage.instance_id, usage.provider, usage.model

    for _, group in groupby(sorted(record.usage, key=request), key=request):
        usages = list(group)
        measured = [
            Usage(**{name: getattr(usage, name) for name in RecordUsage.model_fields})
            for usage in usages
        ]
        for charge in rate(measured, card, hosting=record.hosting, plan=record.plan):
            usage = next((one for one in usages if one.meter == charge.meter), usages[0])
            weighed[_exact_line(charge)].append((usage, charge.list_cost or ZERO))
    return weighed


def _instances(
    charge: RecordCharge, usages: Sequence[RecordUsage], weighed: _Weighed
) -> tuple[Sequence[RecordUsage], list[Decimal]]:
    """The instances of a charge, and how much of it is each one's due."""
    found = weighed.get(_exact_line(charge))
    if not found:
        # Prices have changed since: all that is known is what was measured.
        found = [(usage, ZERO) for usage in usages if _line(usage) == _line(charge)]
    weights = [weight for _, weight in found]
    if not any(weights):
        weights = [usage.quantity for usage, _ in found]
    if not any(weights):
        weights = [Decimal(1)] * len(found)
    return [usage for usage, _ in found], weights


def _line(of: Charge | RecordCharge | RecordUsage) -> _Line:
    attributes = (f"{name}={value}" for name, value in sorted(of.attributes.items()))
    return (of.meter, of.provider, of.model, *attributes)


def _exact_line(charge: Charge | RecordCharge) -> _Line:
    return (str(charge.state), charge.rate_id or "", charge.reason, *_line(charge))


def total(costs: Iterable[InstanceCost]) -> dict[str, Decimal]:
    """What they come to, in each currency; what is unrated is in none of them."""
    sums: dict[str, Decimal] = {}
    for cost in costs:
        if cost.list_cost is not None and cost.charge.currency is not None:
            before = sums.get(cost.charge.currency, ZERO)
            sums[cost.charge.currency] = EXACT.add(before, cost.list_cost)
    return sums
