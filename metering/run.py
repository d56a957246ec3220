"""What a journal says of its run: who ran, what was measured, how it ended.

The journal is folded into one `Run`, the same way for a run that ended well, for one that was
killed, and for one that still goes on. What was still open at the journal's end is closed at the
last heartbeat, and says how far it can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from typing_extensions import override

from .clock import seconds
from .errors import JournalCorrupt, JournalError, UsageError
from .journal import FORMAT_VERSION, HEARTBEAT_SECONDS, Entry, EntryLines, read_entries
from .usage import Certainty, Usage, check_quantity, format_stamp, parse_decimal

_HELD_USAGES = 1000
"""A journal of more is read a second time rather than held in memory; few have as many."""

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


@dataclass(frozen=True, kw_only=True)
class AnyRun:
    """One run as its journal tells it, wherever its usages are held.

    `usages` can be gone through more than once. `people` maps the identities that its usage names
    to the names they went by; both stay out of the ledger's usage. `damaged_lines` counts what
    could not be read. `participants` are those that the usages name, where that is known without
    going through them. `announced` says that others were told of the job's beginning.
    """

    info: RunInfo
    status: Status
    ended_at: datetime
    usages: Iterable[Usage]
    participants: frozenset[str] | None = field(default=None, compare=False)
    people: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    damaged_lines: int = 0
    announced: bool = False


@dataclass(frozen=True, kw_only=True)
class Run(AnyRun):
    """One run, held in memory."""

    usages: tuple[Usage, ...]


class JournalUsages(Iterable[Usage]):
    """What a journal that nobody writes any more has measured, read anew each time.

    So that a run of a million instances takes no more memory than one of ten. An instance that
    stands in it twice comes twice; the first is the one that counts. While it is gone through:

    Raises:
        JournalError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def __iter__(self) -> Iterator[Usage]:
        try:
            with self._path.open("rb") as file:
                entries = iter(EntryLines(file))
                folder = _begin(entries)
                for usage, _ in folder.take_all(entries):
                    if usage is not None:
                        yield usage
        except OSError as error:
            raise JournalError(f"cannot read journal {self._path}: {error.strerror}") from error
        yield from folder.cut_short(alive=False)


def read_run(path: Path, *, alive: bool = False) -> Run:
    """Fold a journal file; `alive` says that its process still writes it.

    Raises:
        JournalError: the file cannot be read.
        JournalCorrupt: it does not say whose run it is.
    """
    entries, damaged = read_entries(path)
    return fold(entries, alive=alive, damaged_lines=damaged)


def scan_run(path: Path) -> AnyRun:
    """Fold the journal of a run that has ended; where its usages are many they stay in the file.

    Raises:
        JournalError: the file cannot be read.
        JournalCorrupt: it does not say whose run it is.
    """
    try:
        with path.open("rb") as file:
            lines = EntryLines(file)
            entries = iter(lines)
            folder = _begin(entries)
            refused = 0
            closed: list[Usage] | None = []
            for usage, is_refused in folder.take_all(entries):
                refused += is_refused
                if usage is not None and closed is not None:
                    closed.append(usage)
                    if len(closed) > _HELD_USAGES:
                        closed = None
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}") from error
    return AnyRun(
        usages=JournalUsages(path) if closed is None else (*closed, *folder.cut_short(alive=False)),
        **folder.told(alive=False, damaged_lines=lines.damaged + refused),
    )


def fold(entries: Iterable[Entry], *, alive: bool = False, damaged_lines: int = 0) -> Run:
    """Fold a journal's entries into the run they tell.

    Raises:
        JournalCorrupt: there is no head to say whose run it is.
    """
    remaining = iter(entries)
    folder = _begin(remaining)
    closed: dict[tuple[str, str], Usage] = {}
    for usage, is_refused in folder.take_all(remaining):
        damaged_lines += is_refused
        if usage is not None:
            closed.setdefault((usage.instance_id, usage.meter), usage)
    return Run(
        usages=(*closed.values(), *folder.cut_short(alive=alive)),
        **folder.told(alive=alive, damaged_lines=damaged_lines),
    )


def _begin(entries: Iterator[Entry]) -> _Folder:
    head = next(entries, None)
    if head is None:
        raise JournalCorrupt("journal has no line that can be read")
    return _Folder(RunInfo.from_entry(head))


@dataclass(slots=True)
class _Open:
    usage: Usage
    opened_us: int
    ending: Ending
    is_clock: bool
    exposure: Decimal = Decimal(0)
    counted: Decimal = Decimal(0)


def _counted(text: object) -> Decimal:
    counted = parse_decimal(text, "count")
    check_quantity("beat", "count", counted)
    return counted or Decimal(0)


class _Folder:
    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._open: dict[tuple[str, str], _Open] = {}
        self._people: dict[str, str] = {}
        self._participants: set[str] = set()
        self._last_us = 0
        self._end: tuple[Status, str] | None = None
        self._announced = False

    def take_all(self, entries: Iterable[Entry]) -> Iterator[tuple[Usage | None, bool]]:
        """The instance that each entry completes, if any, and whether the entry was refused."""
        for entry in entries:
            try:
                yield self._take(entry), False
            except (UsageError, KeyError, TypeError, ValueError, ArithmeticError):
                yield None, True

    def _take(self, entry: Entry) -> Usage | None:
        completed: Usage | None = None
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
                usage,
                int(entry["at"]),
                Ending(entry["ending"]),
                bool(entry["clock"]),
                _counted(entry.get("exposure", "0")),
            )
            self._note(usage)
        elif kind == "usage":
            completed = Usage.from_json(entry["usage"])
            self._open.pop((completed.instance_id, completed.meter), None)
            if "instead_of" in entry:
                self._open.pop((str(entry["instead_of"]), completed.meter), None)
            self._note(completed)
        elif kind == "withdrawn":
            for meter in entry["meters"]:
                self._open.pop((str(entry["instance_id"]), str(meter)), None)
        elif kind == "describe":
            changes: dict[str, Any] = {
                name: str(entry[name]) for name in ("tenant", "title", "room_sid") if name in entry
            }
            if "tags" in entry:
                changes["tags"] = tuple(str(tag) for tag in entry["tags"])
            self._info = replace(self._info, **changes)
        elif kind == "person":
            self._people[str(entry["identity"])] = str(entry["name"])
        elif kind == "announced":
            self._announced = True
        elif kind == "end":
            self._end = Status(entry["status"]), str(entry.get("error", ""))
        self._last_us = last_us
        return completed

    def _note(self, usage: Usage) -> None:
        if usage.participant:
            self._participants.add(usage.participant)

    def told(self, *, alive: bool, damaged_lines: int) -> dict[str, Any]:
        """A run's fields, but for its usages."""
        return {
            "info": self._info,
            "status": self._status(alive),
            "ended_at": self._info.started_at + timedelta(microseconds=self._last_us),
            "participants": frozenset(self._participants),
            "people": self._people,
            "error": self._end[1] if self._end else "",
            "damaged_lines": damaged_lines,
            "announced": self._announced,
        }

    def cut_short(self, *, alive: bool) -> Iterator[Usage]:
        """What was still open when the journal ended."""
        for opened in self._open.values():
            yield self._cut_short(opened, alive)

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
        if alive or usage.certainty is Certainty.ESTIMATED:
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
            quantity_upper=quantity + slack + opened.exposure if usage.unit == "second" else None,
            ended_at=ended_at,
            certainty=Certainty.BOUNDED if usage.unit == "second" else Certainty.PARTIAL,
        )
