"""Parts inside wholes: from what a provider reported to quantities that do not overlap.

A request reports 1,000 input tokens of which 800 came from the cache. Where the cached ones have a
rate they are priced on their own and the other 200 as input; where they have none, all 1,000 are
input and the part is not charged beside them. What is priced always adds up to the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..usage import Certainty, Meter, Usage
from .exact import EXACT, ZERO
from .rate_card import Finding

WORSE = {
    Certainty.EXACT: 0,
    Certainty.BOUNDED: 1,
    Certainty.PARTIAL: 2,
    Certainty.ESTIMATED: 3,
}
"""Certainties from the best to the worst."""


@dataclass(slots=True)
class Share:
    """What one usage of a request is rated for, once the others have had theirs."""

    usage: Usage
    finding: Finding
    quantity: Decimal
    unit: str
    certainty: Certainty
    contained_in: str = ""
    """The whole that prices this part, where the part has no rate of its own."""
    note: str = ""

    def worsen(self, certainty: Certainty) -> None:
        """Take over a certainty that is worse."""
        if WORSE[certainty] > WORSE[self.certainty]:
            self.certainty = certainty


def disjoint(shares: Sequence[Share], meters: Mapping[str, Meter]) -> list[Share]:
    """The shares of one request, made disjoint in place.

    A part that is larger than what is left of its whole is cut to it and noted: the provider
    contradicts itself, and no charge may be negative.
    """
    arranged = arrange(shares, meters)
    for share, wholes in arranged:
        if wholes:
            _take_out(share, wholes)
    return [share for share, _ in arranged]


def arrange(
    shares: Sequence[Share], meters: Mapping[str, Meter]
) -> list[tuple[Share, list[Share]]]:
    """In which order shares are made disjoint, and out of which wholes each is to be taken.

    Whatever their quantities are. A part that has no rate of its own is `contained_in` its whole.
    """
    arranged: list[tuple[Share, list[Share]]] = []
    by_meter: dict[str, list[Share]] = {}
    for share in sorted(shares, key=lambda share: _order(share, meters)):
        wholes = [] if share.usage.unreported else _wholes(share, by_meter, meters)
        if wholes and not share.finding.settled:
            share.contained_in = wholes[0].usage.meter
            wholes = []
        elif not share.usage.unreported:
            by_meter.setdefault(share.usage.meter, []).append(share)
        arranged.append((share, wholes))
    return arranged


def _wholes(
    share: Share, by_meter: Mapping[str, list[Share]], meters: Mapping[str, Meter]
) -> list[Share]:
    """The shares of the nearest meter that this one is a part of and that was reported."""
    for meter in _ancestors(share.usage.meter, meters):
        if meter in by_meter:
            return by_meter[meter]
    return []


def _take_out(part: Share, wholes: list[Share]) -> None:
    wanted = part.quantity
    taken = ZERO
    for whole in wholes:
        share = min(EXACT.subtract(wanted, taken), whole.quantity)
        whole.quantity = EXACT.subtract(whole.quantity, share)
        whole.worsen(part.certainty)
        taken = EXACT.add(taken, share)
    if taken < wanted:
        name = wholes[0].usage.meter
        part.note = f"more was reported than {name} had left; cut to that"
        part.worsen(Certainty.ESTIMATED)
        part.quantity = taken


def _ancestors(name: str, meters: Mapping[str, Meter]) -> Iterator[str]:
    meter = meters.get(name)
    while meter is not None and meter.part_of is not None:
        yield meter.part_of
        meter = meters.get(meter.part_of)


def _order(share: Share, meters: Mapping[str, Meter]) -> tuple[object, ...]:
    usage = share.usage
    depth = sum(1 for _ in _ancestors(usage.meter, meters))
    attributes = sorted(usage.attributes.items())
    return (depth, usage.meter, attributes, usage.started_at, usage.ended_at, usage.quantity)
