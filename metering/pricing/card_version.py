"""A rate card's version: it changes whenever any of its content does, and with nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..usage import Meter, format_decimal

if TYPE_CHECKING:
    from .model_match import PricedModel
    from .rate_card import Entry

_DERIVED = ("place", "month_terms")

# Left out where they say nothing: a card from before there were charge models keeps its version.
_LATER: dict[str, Any] = {
    "charge_model": "unit",
    "tiers": [],
    "included": "0",
    "package": None,
    "snapshot": "",
}


def card_version(
    entries: Iterable[Entry], models: Iterable[PricedModel], meters: Iterable[Meter]
) -> str:
    """The day the newest entry was checked, and a digest of everything."""
    entries = list(entries)
    lines = [json.dumps(_canonical(entry), sort_keys=True) for entry in entries]
    lines.sort()
    lines += [json.dumps([model.provider, model.model, model.match]) for model in models]
    lines += sorted(json.dumps([m.name, m.unit, m.part_of]) for m in meters)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    checked = max((entry.checked for entry in entries if entry.checked is not None), default=None)
    return f"{checked}+{digest}" if checked is not None else f"undated+{digest}"


def _canonical(entry: Entry) -> dict[str, Any]:
    content = {
        item.name: _plain(getattr(entry, item.name))
        for item in fields(entry)
        if item.name not in _DERIVED
    }
    said = {key: value for key, value in content.items() if value != _LATER.get(key, object())}
    if not entry.add_on and type(entry).__name__ != "Rate":
        del said["add_on"]  # Once only rates could be add-ons.
    return {"kind": type(entry).__name__, **said}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, item.name)) for item in fields(value)]
    return value
