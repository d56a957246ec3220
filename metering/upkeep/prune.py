"""Old journals and old usage, let go of on purpose: what they came to stays.

A settled journal is a second copy of what the store has. Usage is what a job's charges were made
from: without it they can be read and added up, and no longer made again.
"""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel

from ..errors import JournalCorrupt, JournalError
from ..journal import SUFFIX, EntryLines
from ..ledger.store import Ledger
from ..ledger.upkeep import old_usage, prune_usage, run_ends, shipped_heads
from ..run import RunInfo
from ..settings import MeterSettings
from ..sweeping import SETTLED_FOLDER

_JOURNALS_AT_ONCE = 500


class What(StrEnum):
    """What is let go of."""

    JOURNALS = "journals"
    USAGE = "usage"
    ALL = "all"


class Kept(BaseModel):
    """Something that is old enough and must stay all the same: which, and why."""

    where: str
    why: str


class Pruned(BaseModel):
    """What was removed, or would be: journals, and the instances of how many jobs."""

    before: date
    dry_run: bool
    journals: int = 0
    jobs: int = 0
    instances: int = 0
    kept: list[Kept] = []


async def prune(
    settings: MeterSettings, before: date, *, what: What = What.ALL, dry_run: bool = False
) -> Pruned:
    """Remove settled journals, and usage of rated jobs, that ended before a UTC day.

    A journal goes only where its run is in the store; usage only where its job has been rated since
    it ended, and nothing of the job is still to be settled. The job stays, with its charges and its
    claims. With `dry_run` nothing is removed.

    Raises:
        JournalError: a journal cannot be read or removed; what was removed before it stays so.
        LedgerError: the store cannot be read or written; likewise.
    """
    pruned = Pruned(before=before, dry_run=dry_run)
    moment = datetime.combine(before, time.min, UTC)
    async with Ledger(settings.ledger_url) as ledger:
        if what is not What.JOURNALS:
            await _prune_usage(pruned, ledger, settings, moment)
        if what is not What.USAGE:
            await _prune_journals(pruned, ledger, settings, moment)
    return pruned


async def _prune_usage(
    pruned: Pruned, ledger: Ledger, settings: MeterSettings, moment: datetime
) -> None:
    busy = await asyncio.to_thread(_unsettled_jobs, settings)
    busy |= {info.job_id for head in await shipped_heads(ledger) if (info := told_by(head))}
    after = ""
    while page := await old_usage(ledger, moment, after=after):
        after = page[-1].job_id
        for old in page:
            why = old.kept_because
            if old.job_id in busy:
                why = "it has a journal that is not settled"
            if why:
                pruned.kept.append(Kept(where=old.job_id, why=why))
                continue
            removed = old.instances
            if not pruned.dry_run:
                removed = await prune_usage(ledger, old.job_id, moment)
            pruned.jobs += removed > 0
            pruned.instances += removed


async def _prune_journals(
    pruned: Pruned, ledger: Ledger, settings: MeterSettings, moment: datetime
) -> None:
    folder = settings.journals_path / SETTLED_FOLDER
    paths = iter(sorted(folder.glob(f"*{SUFFIX}")))
    while some := list(itertools.islice(paths, _JOURNALS_AT_ONCE)):
        heads = await asyncio.to_thread(
            lambda paths: [(path, journal_head(path)) for path in paths], some
        )
        ends = await run_ends(ledger, [info.run_id for _, info in heads if info])
        for path, info in heads:
            if info is None:
                pruned.kept.append(Kept(where=path.name, why="it does not say whose run it is"))
            elif info.run_id not in ends:
                if info.started_at < moment:
                    pruned.kept.append(Kept(where=path.name, why="its run is not in the store"))
            elif ends[info.run_id] < moment:
                pruned.journals += 1
                if not pruned.dry_run:
                    _remove(path)


def _unsettled_jobs(settings: MeterSettings) -> set[str]:
    """The jobs whose journals, of living runs or dead ones, still wait to be settled."""
    return {
        info.job_id
        for path in settings.journals_path.glob(f"*{SUFFIX}")
        if (info := journal_head(path)) is not None
    }


def journal_head(path: Path) -> RunInfo | None:
    """Whose journal it is, or None where it does not say or is gone.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _first(EntryLines(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}") from error


def told_by(content: str) -> RunInfo | None:
    """Whose journal begins so, or None where it does not say."""
    return _first(EntryLines(io.BytesIO(content.encode())))


def _first(lines: EntryLines) -> RunInfo | None:
    entries: Iterator[dict[str, object]] = iter(lines)
    try:
        head = next(entries, None)
        return RunInfo.from_entry(head) if head else None
    except JournalCorrupt:
        return None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise JournalError(f"cannot remove journal {path}: {error.strerror}") from error
