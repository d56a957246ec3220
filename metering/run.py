"""What a journal says of its run: who ran, what was measured, how it ended.

The journal is folded into one `Run`, the same way for a run that ended well, for one that was
killed, and for one that still goes on. What was still open at the journal's end is closed at the
last heartbeat, and says how far it can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from .clock import seconds
from .errors import JournalCorrupt, UsageError
from .journal import FORMAT_VERSION, HEARTBEAT_SECONDS, Entry, read_entries
from .usage import Certainty, Usage, check_quantity, format_stamp, parse_decimal

_LONGEST_RUN_US = 10 * 366 * 86_400 * 10**6
"""Ten years; a later moment is nobody's, and would not fit a calendar when it is large enough."""


class Status(StrEnum):
    """How a job stands; the worst of its runs."""

    RUNNING = "running"
    COMPLETE = "complete"
    RECOVERED = "recovered"
    FAILED = "failed"
    DECLINED = "declined"


class Ending(StrEnum):
    """What becomes of a running clock when its run is killed."""

    WITH_RUN = "with_run"
    """It stops with the process: a socket of ours, our own session."""
    UNSEEN = "unseen"
    """It goes on without us, and nobody sees its end: somebody else's connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Whose run this is; written as the journal's first line."""

    run_id: str
    job_id: str
    started_at: datetime
    dispatch_id: str = ""
    room_name: str = ""
    room_sid: str = ""
    agent_name: str = ""
    tenant: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    hosting: str = "self"
    plan: str = "none"

    def to_entry(self) -> Entry:
        """The journal's head."""
        data = asdict(self) | {"tags": list(self.tags), "started_at": format_stamp(self.started_at)}
        return {"kind": "run", "format": FORMAT_VERSION, "run": data}

    @classmethod
    def from_entry(cls, entry: Entry) -> RunInfo:
        """The inverse of `to_entry`.

        Raises:
            JournalCorrupt: not a head of ours, or of a newer format.
        """
        if entry.get("kind") != "run":
            raise JournalCorrupt(f"journal begins with {entry.get('kind')!r}, not with its run")
        if entry.get("format") != FORMAT_VERSION:
            raise JournalCorrupt(
                f"journal has format {entry.get('format')!r}, this version reads {FORMAT_VERSION};"
                " settle it with the version that wrote it"
            )
        try:
            data: dict[str, Any] = dict(entry["run"])
            data["tags"] = tuple(data.get("tags", ()))
            data["started_at"] = datetime.fromisoformat(data["started_at"])
            if data["started_at"].tzinfo is None:
                raise ValueError(f"started_at {data['started_at']} has no time zone")
            return cls(**data)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalCorrupt(f"journal's head cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as its journal tells it.

    `people` maps the identities that its usage names to the names they went by; both stay out of
    the ledger's usage. `damaged_lines` counts what could not be read.
    """

    info: RunInfo
    status: Status
    ended_at: datetime
    usages: tuple[Usage, ...]
    people: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    damaged_lines: int = 0


def read_run(path: Path, *, alive: bool = False) -> Run:
    """Fold a journal file; `alive` says that its process still writes it.

    Raises:
        JournalError: the file cannot be read.
        JournalCorrupt: it does not say whose run it is.
    """
    entries, damaged = read_entries(path)
    return fold(entries, alive=alive, damaged_lines=damaged)


def fold(entries: Iterable[Entry], *, alive: bool = False, damaged_lines: int = 0) -> Run:
    """Fold a journal's entries into the run they tell.

    Raises:
        JournalCorrupt: there is no head to say whose run it is.
    """
    remaining = iter(entries)
    head = next(remaining, None)
    if head is None:
        raise JournalCorrupt("journal has no line that can be read")
    folder = _Folder(RunInfo.from_entry(head))
    for entry in remaining:
        try:
            folder.take(entry)
        except (UsageError, KeyError, TypeError, ValueError, ArithmeticError):
            damaged_lines += 1
    return folder.run(alive=alive, damaged_lines=damaged_lines)


@dataclass(slots=True)
class _Open:
    usage: Usage
    opened_us: int
    ending: Ending
    is_clock: bool
    counted: Decimal = Decimal(0)


def _counted(text: object) -> Decimal:
    counted = parse_decimal(text, "count")
    check_quantity("beat", "count", counted)
    return counted or Decimal(0)


class _Folder:
    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._open: dict[tuple[str, str], _Open] = {}
        self._closed: dict[tuple[str, str], Usage] = {}
        self._people: dict[str, str] = {}
        self._last_us = 0
        self._end: tuple[Status, str] | None = None

    def take(self, entry: Entry) -> None:
        kind = entry["kind"]
        last_us = max(self._last_us, int(entry.get("at", 0)))
        if last_us > _LONGEST_RUN_US:
            raise UsageError(f"{kind} at {last_us} us is later than a run can last")
        if kind == "beat":
            counts = [
                (self._open.get((instance_id, meter)), _counted(counted))
                for instance_id, meter, counted in entry.get("counts", ())
            ]
            for opened, counted in counts:
                # Whose opening line is lost has lost only itself, not the beat of all the others.
                if opened is not None:
                    opened.counted = counted
        elif kind == "open":
            usage = Usage.from_json(entry["usage"])
            self._open[usage.instance_id, usage.meter] = _Open(
                usage, int(entry["at"]), Ending(entry["ending"]), bool(entry["clock"])
            )
        elif kind == "usage":
            usage = Usage.from_json(entry["usage"])
            key = usage.instance_id, usage.meter
            self._open.pop(key, None)
            self._closed.setdefault(key, usage)
        elif kind == "describe":
            changes: dict[str, Any] = {
                name: str(entry[name]) for name in ("tenant", "title", "room_sid") if name in entry
            }
            if "tags" in entry:
                changes["tags"] = tuple(str(tag) for tag in entry["tags"])
            self._info = replace(self._info, **changes)
        elif kind == "person":
            self._people[str(entry["identity"])] = str(entry["name"])
        elif kind == "end":
            self._end = Status(entry["status"]), str(entry.get("error", ""))
        self._last_us = last_us

    def run(self, *, alive: bool, damaged_lines: int) -> Run:
        usages = list(self._closed.values())
        usages += [self._cut_short(opened, alive) for opened in self._open.values()]
        return Run(
            info=self._info,
            status=self._status(alive),
            ended_at=self._info.started_at + timedelta(microseconds=self._last_us),
            usages=tuple(usages),
            people=self._people,
            error=self._end[1] if self._end else "",
            damaged_lines=damaged_lines,
        )

    def _status(self, alive: bool) -> Status:
        if self._end is not None:
            return self._end[0]
        return Status.RUNNING if alive else Status.RECOVERED

    def _cut_short(self, opened: _Open, alive: bool) -> Usage:
        usage = opened.usage
        ended_at = max(
            usage.started_at, self._info.started_at + timedelta(microseconds=self._last_us)
        )
        if opened.is_clock:
            quantity = usage.quantity + seconds(self._last_us - opened.opened_us)
        else:
            quantity = max(usage.quantity, opened.counted)
        if alive:
            return replace(usage, quantity=quantity, ended_at=ended_at)
        if opened.ending is Ending.UNSEEN:
            return replace(
                usage,
                quantity=quantity,
                quantity_lower=quantity,
                ended_at=ended_at,
                certainty=Certainty.PARTIAL,
            )
        # What a second holds at most: a clock runs a second, sound is sent no faster than it is
        # spoken for long. The heartbeat that never came can hide no more than that, twice over.
        slack = Decimal(str(2 * HEARTBEAT_SECONDS))
        return replace(
            usage,
            quantity=quantity,
            quantity_lower=quantity,
            quantity_upper=quantity + slack if usage.unit == "second" else None,
            ended_at=ended_at,
            certainty=Certainty.BOUNDED if usage.unit == "second" else Certainty.PARTIAL,
        )
