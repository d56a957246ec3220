"""What is wrong with a card for the models in use: prices missing, old, or disputed.

A price that nobody has looked at for months is a guess, and one that is missing is found out from
an invoice. Both can be known today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from ..usage import NO_ATTRIBUTES
from .rate_card import Entry, Finding, Rate, RateCard


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """Something that is used, or is about to be; `instances` says how often it was.

    An empty `meter` is a model of which no meter is known.
    """

    provider: str
    model: str
    meter: str
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    plan: str
    hosting: str
    instances: int = 0


@dataclass(frozen=True, slots=True)
class Missing:
    """Something in use that has no price, and why."""

    use: InUse
    reason: str


@dataclass(frozen=True, slots=True)
class Stale:
    """An entry that was last checked so many days ago; None is never, though it has a source."""

    entry: Entry
    days: int | None


@dataclass(frozen=True, slots=True)
class RateCheck:
    """What a check found; `entries` are those that it looked at."""

    entries: tuple[Entry, ...]
    missing: tuple[Missing, ...]
    stale: tuple[Stale, ...]
    disputed: tuple[Rate, ...]


def check_card(
    card: RateCard,
    uses: Iterable[InUse],
    *,
    day: date,
    older_than: int,
    whole_card: bool = False,
) -> RateCheck:
    """Check the prices that hold on a day.

    Args:
        card: the rates.
        uses: what has to have a price.
        day: the day.
        older_than: an entry checked more days ago than this is stale.
        whole_card: look for stale and disputed entries among all that hold on the day, and not only
            among those that price what is in use.
    """
    looked_at: dict[int, Entry] = {}
    missing = []
    for use in uses:
        finding = _find(card, use, use.meter, day)
        for entry in _entries(finding):
            looked_at[id(entry)] = entry
        if not finding.settled and not _in_a_priced_whole(card, use, day):
            nothing = f"no rate for {use.provider} {use.model}"
            missing.append(Missing(use, finding.reason if use.meter else nothing))
        missing += [Missing(use, feature.reason) for feature in finding.unpriced_add_ons]
    if whole_card:
        everything: list[Entry] = [*card.rates, *card.unpriced]
        looked_at = {id(entry): entry for entry in everything if entry.holds_on(day)}
    entries = tuple(looked_at.values())
    found = [Stale(entry, _age(entry, day)) for entry in entries if _can_go_stale(entry)]
    return RateCheck(
        entries=entries,
        missing=tuple(missing),
        stale=tuple(one for one in found if one.days is None or one.days > older_than),
        disputed=tuple(one for one in entries if isinstance(one, Rate) and one.disputed),
    )


def uses_of(card: RateCard, named: InUse, day: date) -> list[InUse]:
    """A model that is only named: every meter of it that the card knows what to say about.

    Where it knows none, the model itself, so that it is found missing.
    """
    settled = [
        name
        for name, meter in sorted(card.meters.items())
        if not meter.not_billed and _find(card, named, name, day).settled
    ]
    return [
        InUse(
            provider=named.provider,
            model=named.model,
            meter=meter,
            plan=named.plan,
            hosting=named.hosting,
        )
        for meter in settled
    ] or [named]


def _find(card: RateCard, use: InUse, meter: str, day: date) -> Finding:
    return card.look_up(meter, use.provider, use.model, use.attributes, day, use.plan, use.hosting)


def _in_a_priced_whole(card: RateCard, use: InUse, day: date) -> bool:
    """Whether it is a part of what has a price: then it is counted there."""
    meter = card.meters.get(use.meter)
    while meter is not None and meter.part_of is not None:
        if _find(card, use, meter.part_of, day).settled:
            return True
        meter = card.meters.get(meter.part_of)
    return False


def _entries(finding: Finding) -> list[Entry]:
    found: list[Entry] = [*finding.rates]
    for tiers in finding.add_ons:
        found += tiers
    found += finding.unpriced_add_ons
    return found if finding.unpriced is None else [*found, finding.unpriced]


def _can_go_stale(entry: Entry) -> bool:
    """A price that cites a source; an owner's own word needs no check, and no price gets old."""
    return isinstance(entry, Rate) and bool(entry.checked or entry.source)


def _age(entry: Entry, day: date) -> int | None:
    return None if entry.checked is None else (day - entry.checked).days
