"""The entries of a card, chosen and written out: what `rates` lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ..usage import format_decimal
from .model_match import resolve
from .rate_card import Entry, NoPrice, NotBilled, Rate, RateCard


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFilter:
    """Which entries are asked for; what is left None is any.

    `model` is also found under the name that it resolves to. `day` asks for what holds then.
    """

    provider: str | None = None
    model: str | None = None
    meter: str | None = None
    plan: str | None = None
    day: date | None = None

    def passes(self, entry: Entry, card: RateCard) -> bool:
        """Whether an entry of the card is asked for."""
        if self.model is not None:
            name = self.model.lower()
            if entry.model not in {name, resolve(card.models, entry.provider, name)}:
                return False
        return (
            self.provider in (None, entry.provider)
            and self.meter in (None, entry.meter)
            and self.plan in (None, entry.plan)
            and (self.day is None or entry.holds_on(self.day))
        )


def list_entries(card: RateCard, wanted: RateFilter) -> Iterator[Entry]:
    """The entries asked for, by provider, model, meter and date; the owner's come last."""
    entries: list[Entry] = [*card.rates, *card.unpriced]
    found = [entry for entry in entries if wanted.passes(entry, card)]
    yield from sorted(found, key=_order)


def _order(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.provider,
        entry.model,
        entry.meter,
        entry.plan or "",
        entry.hosting or "",
        sorted(entry.attributes.items()),
        entry.layer,
        entry.effective_from or date.min,
        entry.place,
    )


def entry_kind(entry: Entry) -> str:
    """The section of a rate file that an entry of this kind is written in."""
    if isinstance(entry, NotBilled):
        return "not_billed"
    return "unrated" if isinstance(entry, NoPrice) else "rate"


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON values; prices and quantities are strings of exact decimals.

    `increment` and `minimum` are in the meter's base unit, all else in `pricing_unit`.
    """
    about: dict[str, Any] = {
        "kind": entry_kind(entry),
        "provider": entry.provider,
        "model": entry.model,
        "meter": entry.meter,
        "attributes": dict(sorted(entry.attributes.items())),
        "plan": entry.plan,
        "hosting": entry.hosting,
        "effective_from": _day(entry.effective_from),
        "effective_until": _day(entry.effective_until),
        "source": entry.source,
        "checked": _day(entry.checked),
        "from": "owner" if entry.layer else "catalog",
        "place": entry.place,
        "add_on": entry.add_on,
    }
    if isinstance(entry, Rate):
        return about | _rate(entry)
    reason = entry.reason if isinstance(entry, (NotBilled, NoPrice)) else ""
    return about | {"reason": reason}


def _rate(rate: Rate) -> dict[str, Any]:
    dispute = rate.dispute
    return {
        "rate_id": rate.rate_id,
        "charge_model": str(rate.charge_model),
        "unit_price": format_decimal(rate.unit_price),
        "pricing_unit": rate.pricing_unit,
        "currency": rate.currency,
        "tiers": [
            {"over": format_decimal(tier.over), "unit_price": format_decimal(tier.unit_price)}
            for tier in rate.tiers
        ],
        "package": rate.package
        and {
            "size": format_decimal(rate.package.size),
            "price": format_decimal(rate.package.price),
        },
        "included": format_decimal(rate.included),
        "increment": _amount(rate.increment),
        "minimum": _amount(rate.minimum),
        "basis": rate.basis,
        "request_input_over": rate.request_input_over,
        "disputed": dispute
        and {
            "reason": dispute.reason,
            "basis": dispute.basis,
            "meter": dispute.meter or rate.meter,
            "unit_price": _amount(dispute.price),
        },
    }


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format_decimal(value)


def _day(value: date | None) -> str | None:
    return None if value is None else value.isoformat()
