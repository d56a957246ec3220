"""What a row may say, and what is meant where it says nothing."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeVar

from ..errors import UsageError
from ..pricing.hosting import ROOM_METERS, room_provider
from ..record import RecordUsage
from ..settings import Hosting
from ..units import unit
from ..usage import NO_ATTRIBUTES, Certainty, Meter, Usage, check_quantity, format_stamp
from .problems import Fault, RowRefused
from .rows import Number

SOURCE = "import"
"""What a usage's source says, whatever its row did."""

USAGE_FIELDS = tuple(RecordUsage.model_fields)
JOB_FIELDS = (
    "job_id",
    "dispatch_id",
    "room_name",
    "room_sid",
    "agent_name",
    "tenant",
    "title",
    "tags",
    "hosting",
    "plan",
)
FIELDS = (*JOB_FIELDS, *USAGE_FIELDS)

_QUANTITIES = ("quantity", "quantity_lower", "quantity_upper", "provider_stated")
_LONGEST_TEXT = 500
_MOST_ITEMS = 100
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
# Decimal() would also take underscores, spaces and the digits of every script.
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_UNSAFE = frozenset({"Cc", "Cs"})
# They make the text after them read in another order than it is written in.
_REORDERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SLUG = re.compile(r"[a-z0-9]+([._:-][a-z0-9]+)*", re.ASCII)
_COUNTED = frozenset({"token", "character"})
_CLOCKED = ("_connection", "_session")
_CLOCK_SLACK = timedelta(seconds=1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """What rows are held against, and what is meant of a job that does not say."""

    meters: Mapping[str, Meter]
    plans: frozenset[str]
    defaults: dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One instance, and what its row says of its job.

    `usage.instance_id` is empty where the row names none.
    """

    job_id: str
    said: Mapping[str, Any]
    usage: Usage


def read_fields(row: Mapping[str, Any], known: Known) -> Row:
    """One row as usage.

    Args:
        row: its fields that are not empty, as a file's format has them.
        known: which meters and plans there are, and what is meant by default.

    Raises:
        RowRefused: with everything that is wrong with it.
    """
    return _Reader(row, known).read()


class _Reader:
    def __init__(self, row: Mapping[str, Any], known: Known) -> None:
        self._row = row
        self._known = known
        self._faults: list[Fault] = []

    def read(self) -> Row:
        said = self._job()
        meter = self._take("meter", self._meter)
        if "meter" not in self._row:
            self._fault("meter", "is missing")
        quantities = {name: self._take(name, _quantity) for name in _QUANTITIES}
        if "quantity" not in self._row:
            self._fault("quantity", "is missing")
        values: dict[str, Any] = {
            "instance_id": self._take("instance_id", _text) or "",
            "model": (self._take("model", _text) or "").lower(),
            "participant": self._take("participant", _text),
            "purpose": self._take("purpose", _text) or "",
            "provider_ref": self._take("provider_ref", _text),
            "attributes": self._take("attributes", _attributes) or NO_ATTRIBUTES,
            "certainty": self._take("certainty", _certainty) or Certainty.EXACT,
            "source": SOURCE,
        }
        if meter is not None:
            self._check_unit(meter)
            values["provider"] = self._provider(meter, said)
            if meter.part_of is not None and not values["instance_id"]:
                advice = f"is missing: {meter.name} is part of {meter.part_of}; give both the same"
                self._fault("instance_id", advice)
            if meter.unit in _COUNTED:
                self._check_counts(meter, quantities)
        values |= self._times(meter, quantities["quantity"])
        self._check_bounds(quantities)
        if self._faults or meter is None:
            raise RowRefused(*self._faults)
        try:
            usage = Usage(**values | quantities, meter=meter.name, unit=meter.unit)
        except UsageError as error:
            raise RowRefused(Fault("", None, str(error))) from None
        job_id = said.pop("job_id", None)
        if not job_id:
            job_id = _made_up_job(self._known.defaults | said, usage.started_at)
        return Row(job_id, MappingProxyType(said), usage)

    def _job(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name in JOB_FIELDS:
            if name not in self._row:
                continue
            if name == "tags":
                said[name] = self._take(name, _tags)
            elif name == "hosting":
                said[name] = self._take(name, _hosting)
            elif name == "plan":
                said[name] = self._take(name, self._plan)
            else:
                said[name] = self._take(name, _text)
        return said

    def _take(self, name: str, read: Callable[[Any], T]) -> T | None:
        value = self._row.get(name)
        if value is None:
            return None
        try:
            return read(value)
        except UsageError as error:
            self._fault(name, str(error))
            return None

    def _fault(self, name: str, advice: str) -> None:
        self._faults.append(Fault(name, self._row.get(name), advice))

    def _meter(self, value: object) -> Meter:
        name = _text(value)
        try:
            return self._known.meters[name]
        except KeyError:
            close = get_close_matches(name, self._known.meters, n=1)
            meant = f"did you mean {close[0]}? Else " if close else ""
            raise UsageError(
                f"unknown meter; {meant}add it to your rate file as [[meter]]"
            ) from None

    def _plan(self, value: object) -> str:
        name = _text(value)
        if name not in self._known.plans:
            raise UsageError(f"unknown plan; use one of {', '.join(sorted(self._known.plans))}")
        return name

    def _check_unit(self, meter: Meter) -> None:
        name = self._row.get("unit")
        if name is None or name == meter.unit:
            return
        advice = f"{meter.name} is measured in {meter.unit}"
        try:
            given = unit(_text(name))
        except UsageError:
            self._fault("unit", advice)
            return
        if given.base == meter.unit:
            advice += f"; multiply the quantity by {given.factor}"
        self._fault("unit", advice)

    def _provider(self, meter: Meter, said: dict[str, Any]) -> str:
        provider = self._take("provider", _provider_slug)
        if provider:
            return provider
        if meter.name in ROOM_METERS and "provider" not in self._row:
            hosting = said.get("hosting") or self._known.defaults.get("hosting")
            if hosting is not None:
                # From here on it is said: another row of the job must not say another.
                said["hosting"] = hosting
                return room_provider(hosting)
            if "hosting" not in self._row:
                self._fault("provider", "is missing; say it, or the job's hosting (--hosting)")
        elif "provider" not in self._row:
            self._fault("provider", "is missing")
        return ""

    def _times(self, meter: Meter | None, quantity: Decimal | None) -> dict[str, datetime]:
        started_at, ended_at = (self._take(name, _stamp) for name in ("started_at", "ended_at"))
        for name in ("started_at", "ended_at"):
            if name in self._row:
                continue
            other = "ended_at" if name == "started_at" else "started_at"
            if other not in self._row:
                self._fault(name, f"is missing, and so is {other}; say one of them")
                return {}
        if started_at is None and ended_at is None:
            return {}
        # A second of a clock takes a second; when the tokens of a request were counted is a moment.
        lasted = timedelta(0)
        if meter is not None and meter.unit == "second" and quantity is not None:
            try:
                lasted = timedelta(milliseconds=int(quantity * 1000))
                if started_at is None and ended_at is not None:
                    started_at = ended_at - lasted
                elif ended_at is None and started_at is not None:
                    ended_at = started_at + lasted
            except OverflowError:
                self._fault("quantity", "is no plausible measurement: longer than a calendar")
                return {}
        if started_at is None:
            started_at = ended_at
        if ended_at is None:
            ended_at = started_at
        if started_at is None or ended_at is None:
            return {}
        if ended_at < started_at:
            self._fault("ended_at", f"is before its start, {format_stamp(started_at)}")
        elif (
            meter is not None
            and meter.name.endswith(_CLOCKED)
            and lasted > ended_at - started_at + _CLOCK_SLACK
        ):
            there_are = (ended_at - started_at).total_seconds()
            advice = f"is more than the {there_are:g} seconds from started_at to ended_at"
            self._fault("quantity", advice)
        return {"started_at": started_at, "ended_at": ended_at}

    def _check_counts(self, meter: Meter, quantities: Mapping[str, Decimal | None]) -> None:
        for name, quantity in quantities.items():
            if quantity is not None and quantity % 1:
                self._fault(name, f"is no whole number; {meter.name} counts {meter.unit}s")

    def _check_bounds(self, quantities: Mapping[str, Decimal | None]) -> None:
        quantity, lower, upper, _ = (quantities[name] for name in _QUANTITIES)
        if quantity is not None and lower is not None and lower > quantity:
            self._fault("quantity_lower", f"is above the quantity, {quantity}")
        if quantity is not None and upper is not None and upper < quantity:
            self._fault("quantity_upper", f"is below the quantity, {quantity}")


def _text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise UsageError("must be text")
    if len(value) > _LONGEST_TEXT:
        raise UsageError(f"has {len(value)} characters; {_LONGEST_TEXT} are the most")
    for char in value:
        if unicodedata.category(char) in _UNSAFE:
            raise UsageError(f"has {char!a}: a control character, or bytes that are no UTF-8")
        if char in _REORDERS:
            raise UsageError(f"has {char!a}, which changes the order that text is read in")
    return value


def _provider_slug(value: object) -> str:
    text = _text(value)
    if text and not _SLUG.fullmatch(text):
        raise UsageError("must be a lowercase slug as the rates have it, as deepgram or my-host")
    return text


def _quantity(value: object) -> Decimal:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise UsageError("must be a decimal number in plain digits, as 12.5")
    quantity = Decimal(value)
    try:
        check_quantity("usage", "quantity", quantity)
    except UsageError:
        raise UsageError("must be finite, not negative, and of a plausible size") from None
    return quantity


def _stamp(value: object) -> datetime:
    text = _text(value)
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("is no RFC 3339 stamp, as 2026-11-20T09:00:00Z") from None
    if stamp.tzinfo is None:
        raise UsageError("has no time zone; for UTC write it with a Z")
    try:
        is_plausible = _EARLIEST <= stamp < _LATEST
    except OverflowError:
        is_plausible = False
    if not is_plausible:
        raise UsageError("is not between the years 2000 and 2099")
    return stamp.astimezone(UTC)


def _certainty(value: object) -> Certainty:
    try:
        return Certainty(_text(value))
    except ValueError:
        raise UsageError(f"must be one of {', '.join(Certainty)}") from None


def _hosting(value: object) -> str:
    try:
        return str(Hosting(_text(value)))
    except ValueError:
        raise UsageError(f"must be one of {', '.join(Hosting)}") from None


def _attributes(value: object) -> Mapping[str, str]:
    """An object; in a cell also as `language=en;diarization=true`."""
    if isinstance(value, str) and not isinstance(value, Number):
        value = _from_cell(value, "{", lambda cell: dict(_pairs(cell)))
    if not isinstance(value, dict) or len(value) > _MOST_ITEMS:
        raise UsageError('must be an object of texts, as {"language": "en"} or language=en')
    return MappingProxyType({_text(name): _text(text) for name, text in value.items()})


def _pairs(cell: str) -> Iterable[tuple[str, str]]:
    for pair in cell.split(";"):
        name, separator, text = pair.partition("=")
        if not separator:
            raise UsageError("must be pairs, as language=en;diarization=true")
        yield name.strip(), text.strip()


def _tags(value: object) -> list[str]:
    """A list; in a cell also as `weekly;sales`."""
    if isinstance(value, str) and not isinstance(value, Number):
        value = _from_cell(value, "[", lambda cell: [tag.strip() for tag in cell.split(";")])
    if not isinstance(value, list) or len(value) > _MOST_ITEMS:
        raise UsageError('must be a list of texts, as ["weekly", "sales"] or weekly;sales')
    return [_text(tag) for tag in value]


def _from_cell(cell: str, opens: str, split: Callable[[str], T]) -> Any:
    if not cell.lstrip().startswith(opens):
        return split(cell)
    try:
        return json.loads(cell, parse_float=Number, parse_int=Number)
    except (ValueError, RecursionError):
        raise UsageError("is no JSON") from None


def _made_up_job(said: Mapping[str, Any], started_at: datetime) -> str:
    """Rows that name no job are one by UTC day and by everything else that is said of it."""
    key = json.dumps([f"{started_at:%Y-%m-%d}", dict(said)], sort_keys=True)
    return f"import_{hashlib.sha256(key.encode('utf-8')).hexdigest()[:16]}"
