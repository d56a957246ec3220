"""The words everything else speaks: what was counted, once, and how sure we are of it.

This module is imported inside the job, so it is light: no SQL, no prices, no pydantic.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import Any

from .errors import UsageError

_LARGEST = Decimal(10) ** 18
_MOST_DECIMALS = 64
"""Written out as digits, `1e999999999` would take all memory there is."""

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class Certainty(StrEnum):
    """How far a quantity can be trusted."""

    EXACT = "exact"
    """Measured from beginning to end, or stated by the provider."""
    BOUNDED = "bounded"
    """The end was not seen; the truth lies between `quantity_lower` and `quantity_upper`."""
    ESTIMATED = "estimated"
    """Never reported; derived from what is known, with bounds where there are any."""
    PARTIAL = "partial"
    """Only a part of what is billed can be seen from here."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Something that is counted.

    `unit` is the base unit of its usage; `part_of` names the meter whose quantity contains this
    one's, so that pricing both would charge it twice. `not_billed` is why nobody bills it.
    """

    name: str
    unit: str
    part_of: str | None = None
    description: str = ""
    not_billed: str = ""


@functools.cache
def core_meters() -> Mapping[str, Meter]:
    """The meters that Tallyroom knows, by name, from `meter_registry.toml`."""
    text = resources.files(__package__).joinpath("meter_registry.toml").read_text("utf-8")
    entries: list[dict[str, str]] = tomllib.loads(text)["meter"]
    return MappingProxyType({entry["name"]: Meter(**entry) for entry in entries})


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One measured instance: one connection, one request, one session. Never a sum.

    `instance_id` is what makes two reports the same instance, whoever reports it. `quantity` and
    its bounds are in the meter's base unit, unrounded. `participant` is an identity inside the job
    and a pseudonym in the ledger. `provider_stated` is the provider's own figure for the same
    instance, `provider_ref` its id of the request or session, to be found again in its logs.

    Raises:
        UsageError: a quantity or bound that is negative, not finite or beyond all measure, bounds
            that do not hold the quantity, a stamp without a zone, an end before the start.
    """

    instance_id: str
    meter: str
    provider: str
    quantity: Decimal
    unit: str
    started_at: datetime
    ended_at: datetime
    model: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    participant: str | None = None
    purpose: str = ""
    certainty: Certainty = Certainty.EXACT
    quantity_lower: Decimal | None = None
    quantity_upper: Decimal | None = None
    provider_stated: Decimal | None = None
    provider_ref: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("quantity", "quantity_lower", "quantity_upper", "provider_stated"):
            check_quantity(self.meter, name, getattr(self, name))
        for name in ("started_at", "ended_at"):
            stamp = getattr(self, name)
            if stamp.tzinfo is None:
                raise UsageError(f"{self.meter}: {name} {stamp} has no time zone; use UTC")
        if self.ended_at < self.started_at:
            raise UsageError(
                f"{self.meter}: ends at {self.ended_at}, before its start {self.started_at}"
            )
        lower, upper = self.quantity_lower, self.quantity_upper
        if lower is not None and lower > self.quantity:
            raise UsageError(f"{self.meter}: lower bound {lower} is above {self.quantity}")
        if upper is not None and upper < self.quantity:
            raise UsageError(f"{self.meter}: upper bound {upper} is below {self.quantity}")

    @property
    def unreported(self) -> bool:
        """True where something happened whose size nobody reported: it has no price, not $0."""
        return self.certainty is Certainty.ESTIMATED and self.quantity_upper is None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, under the cost record's names; decimals and stamps as strings."""
        return {item.name: _to_json(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Usage:
        """The inverse of `to_json`.

        Raises:
            UsageError: a field that is missing, of the wrong type, or cannot be true.
        """
        try:
            values = dict(data)
            for name in ("quantity", "quantity_lower", "quantity_upper", "provider_stated"):
                values[name] = parse_decimal(values.get(name), name)
            for name in ("started_at", "ended_at"):
                values[name] = datetime.fromisoformat(values[name])
            values["certainty"] = Certainty(values.get("certainty", Certainty.EXACT))
            values["attributes"] = MappingProxyType(dict(values.get("attributes") or {}))
            return cls(**values)
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not a usage: {error}") from error


def parse_decimal(value: object, name: str) -> Decimal | None:
    """A Decimal from a JSON string, or None from None; numbers are refused, they may be floats."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"{name} {value!r} must be a decimal in a string")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise UsageError(f"{name} {value!r} is not a decimal number") from None


def format_decimal(value: Decimal) -> str:
    """A Decimal as plain digits, without exponent or trailing zeros: equal values, equal text."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def format_stamp(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as every stamp in JSON and in the store."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_json(value: object) -> Any:
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, datetime):
        return format_stamp(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


def check_quantity(meter: str, name: str, value: object) -> None:
    """Refuse what no meter can have measured; None passes, except for a quantity itself.

    Raises:
        UsageError: not a Decimal, not finite, negative, or of a magnitude that is no measurement.
    """
    if value is None and name != "quantity":
        return
    if not isinstance(value, Decimal):
        raise UsageError(f"{meter}: {name} {value!r} must be a Decimal, not {type(value).__name__}")
    if not value.is_finite() or value < 0:
        raise UsageError(f"{meter}: {name} {value} must be finite and not negative")
    exponent = value.as_tuple().exponent
    if value > _LARGEST or not isinstance(exponent, int) or abs(exponent) > _MOST_DECIMALS:
        raise UsageError(f"{meter}: {name} {value} is no plausible measurement")
