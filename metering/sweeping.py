"""From a machine's journals to records: whoever comes first settles a run that has ended.

A journal whose lock is free is anybody's to settle. A dead job's is, and that of a job which ends
and stands in line: where hundreds end in the same second, whoever's turn it is settles many of them
in one go, and the others find theirs done. A journal is retired once all of it is in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from .errors import JournalCorrupt, MeteringError
from .health import Operation, failed
from .journal import SUFFIX, JournalWriter, retire, try_lock
from .ledger.store import Ledger
from .line import Turn
from .record import CostRecord
from .run import AnyRun, Run, Status, read_run, scan_run
from .settings import MeterSettings
from .settle import log_record, settle_runs
from .webhooks.events import owe_records

logger = logging.getLogger("tallyroom.metering")

SETTLED_FOLDER = "settled"
QUARANTINE_FOLDER = "unreadable"
_TURN_SECONDS = 30.0
"""How long a job waits for others to be settled before it tries all the same."""

_AT_ONCE = 64
_AT_ONCE_BYTES = 2 << 20
"""How much is settled in one go: what it keeps in memory, and what is done again if it fails."""


class _Taken(NamedTuple):
    """A journal, and the lock that makes it ours."""

    path: Path
    lock: IO[bytes]


async def settle_journal(path: Path, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Settle a journal whose lock the caller holds, log its record, and retire it.

    It is read bit by bit: a journal of any length takes the same memory.

    Raises:
        JournalCorrupt: it does not say whose run it is.
        JournalError: it is settled, and cannot be moved.
        LedgerError: the store cannot take it; the journal stays where it is.
        OutboxError: it is settled, and nobody could be told; the journal stays where it is.
    """
    run = await asyncio.to_thread(scan_run, path)
    (record,) = await _settle([(path, run)], ledger, settings)
    retire(path, SETTLED_FOLDER)
    return record


def settle_at_end(journal: JournalWriter, settings: MeterSettings) -> None:
    """Settle the journal of a job that ends; blocks until it is done, by us or by another.

    For a thread of its own: other shutdown callbacks run meanwhile. Where many jobs of a machine
    end at once, each waits in line for its turn, or until it is settled in somebody else's.

    Raises:
        JournalCorrupt: it does not say whose run it is.
        LedgerError: the store cannot take it; the journal stays where it is.
        OutboxError: it is settled, and nobody could be told; the journal stays where it is.
    """
    turn = Turn(journal.path.parent)
    try:
        if not turn.is_ours:
            journal.hand_over()
            turn.wait(_TURN_SECONDS)
            if not journal.take_back():
                return
        room_bytes = _AT_ONCE_BYTES - journal.path.stat().st_size
        others = _take(deque(_journals(settings)), room_bytes)
        try:
            asyncio.run(_settle_with_others(journal.path, others, settings))
        finally:
            _give_back(others)
    finally:
        turn.give_up()


async def _settle_with_others(path: Path, others: list[_Taken], settings: MeterSettings) -> None:
    async with Ledger(settings.ledger_url) as ledger:
        runs = [(path, await asyncio.to_thread(scan_run, path)), *await _scan(others)]
        try:
            await _settle(runs, ledger, settings)
        except Exception:
            if len(runs) == 1:
                raise
            # Whichever of them it was, the others' turn comes too.
            del runs[1:]
            await _settle(runs, ledger, settings)
        _retire(runs)


async def sweep(settings: MeterSettings) -> list[CostRecord]:
    """Settle every journal whose run is dead; returns the jobs' records, without their usage.

    A journal that cannot be read is put aside, one that cannot be stored stays for the next sweep.

    Raises:
        LedgerError: the store cannot be opened.
    """
    records = []
    # Opened even where nothing is due: a new store is then made here, and not by the first job.
    async with Ledger(settings.ledger_url) as ledger:
        paths = deque(_journals(settings))
        while taken := _take(paths, _AT_ONCE_BYTES):
            try:
                records += await _settle_each(await _scan(taken), ledger, settings)
            finally:
                _give_back(taken)
    return records


def _journals(settings: MeterSettings) -> list[Path]:
    return sorted(settings.journals_path.glob(f"*{SUFFIX}"))


def _take(paths: deque[Path], room_bytes: int) -> list[_Taken]:
    """As many of the next journals that nobody holds as are settled in one go, one at least."""
    taken: list[_Taken] = []
    while paths and len(taken) < _AT_ONCE and room_bytes > 0:
        path = paths.popleft()
        try:
            lock = try_lock(path)
        except MeteringError as error:
            _complain(path, error)
            continue
        if lock is not None:
            taken.append(_Taken(path, lock))
            room_bytes -= os.fstat(lock.fileno()).st_size
    return taken


def _give_back(taken: Iterable[_Taken]) -> None:
    for journal in taken:
        journal.lock.close()


async def _scan(taken: Iterable[_Taken]) -> list[tuple[Path, AnyRun]]:
    """What can be read of some journals; what cannot is put aside."""
    runs = []
    for path, _ in taken:
        try:
            runs.append((path, await asyncio.to_thread(scan_run, path)))
        except JournalCorrupt as error:
            with contextlib.suppress(MeteringError):
                path = retire(path, QUARANTINE_FOLDER)
            failed(Operation.SETTLE)
            logger.error("a journal cannot be read, kept at %s: %s", path, error)
        except Exception as error:
            _complain(path, error)
    return runs


async def _settle_each(
    runs: Sequence[tuple[Path, AnyRun]], ledger: Ledger, settings: MeterSettings
) -> list[CostRecord]:
    """Settle together what can be, so that whatever is wrong with one keeps no other waiting."""
    if not runs:
        return []
    try:
        records = await _settle(runs, ledger, settings)
    except Exception as error:
        if len(runs) == 1:
            _complain(runs[0][0], error)
            return []
        return [record for one in runs for record in await _settle_each([one], ledger, settings)]
    unmoved = _retire(runs)
    return [record for record in records if record.job_id not in unmoved]


async def _settle(
    runs: Sequence[tuple[Path, AnyRun]], ledger: Ledger, settings: MeterSettings
) -> list[CostRecord]:
    records = await settle_runs([run for _, run in runs], ledger, settings)
    # While the journals are still there: whoever dies or fails in here does it again.
    announced = {run.info.job_id for _, run in runs if run.announced}
    await asyncio.to_thread(owe_records, records, settings, announced=announced)
    await ledger.drop_journals([run.info.run_id for _, run in runs])
    for record in records:
        log_record(record)
    return records


def _retire(runs: Iterable[tuple[Path, AnyRun]]) -> set[str]:
    """Move settled journals away; returns the jobs of those that could not be moved."""
    unmoved = set()
    for path, run in runs:
        try:
            retire(path, SETTLED_FOLDER)
        except MeteringError as error:
            _complain(path, error)
            unmoved.add(run.info.job_id)
    return unmoved


def _complain(path: Path, error: Exception) -> None:
    failed(Operation.SETTLE)
    told = error if isinstance(error, MeteringError) else f"{path}: {type(error).__name__}"
    logger.error("a journal cannot be settled yet: %s", told)


def running(settings: MeterSettings) -> list[Run]:
    """The runs of this machine that go on now, as far as their journals tell."""
    runs = []
    for path in _journals(settings):
        try:
            if lock := try_lock(path):
                lock.close()
                continue
            runs.append(read_run(path, alive=True))
        except MeteringError:
            continue
    return [run for run in runs if run.status is Status.RUNNING]
