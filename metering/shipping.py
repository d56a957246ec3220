"""A living run's journal, shipped to the store piece by piece: disks can go with their machine.

A container that is lost takes its journals along. Where a store is shared, each worker ships what
its jobs' journals have grown by every few seconds; when nothing has come of a run for a while and
nobody has settled it, any other worker settles what there is of it. Should the machine come back
after all, its journal is settled as well: it saw the same instances, for longer, and they are still
paid once.
"""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from .clock import utc_now
from .errors import JournalCorrupt, MeteringError
from .health import Operation, failed
from .journal import SUFFIX, decode_lines, try_lock
from .ledger.queries import lost_runs, shipped_journal, shipped_length
from .ledger.store import Ledger
from .record import CostRecord
from .run import fold
from .settings import MeterSettings
from .settle import log_record, settle_run
from .webhooks.events import owe_records

logger = logging.getLogger("tallyroom.metering")

SHIP_SECONDS = 5.0
LOST_SECONDS = 90.0
"""Of a run that lives something comes every few seconds: this is many of them, and two clocks."""

_SHIPPED = "/shipped"


async def ship_journals(ledger: Ledger, settings: MeterSettings) -> int:
    """Ship what this machine's living journals have grown by; returns how many have.

    Raises:
        LedgerError: the store cannot take it; the next time goes on from there.
    """
    grown = 0
    for path in sorted(settings.journals_path.glob(f"*{SUFFIX}")):
        if lock := try_lock(path):
            lock.close()
            continue
        run_id = path.name.removesuffix(SUFFIX)
        start = await shipped_length(ledger, run_id)
        if content := _whole_lines(path, start):
            await ledger.keep_journal_part(run_id, start, content)
            grown += 1
    return grown


def _whole_lines(path: Path, start: int) -> str:
    """What a journal has after a position, up to the last line that is complete."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            grown = file.read()
    except FileNotFoundError:
        return ""
    # A torn line can hold any bytes; what cannot be text was not ours to begin with.
    return grown[: grown.rfind(b"\n") + 1].decode("ascii", errors="replace").replace("\x00", "?")


async def settle_lost(
    ledger: Ledger, settings: MeterSettings, *, lost_seconds: float = LOST_SECONDS
) -> list[CostRecord]:
    """Settle the runs of machines that have gone, from what they have shipped.

    Raises:
        LedgerError: the store cannot be read or written.
    """
    records = []
    for run_id in await lost_runs(ledger, utc_now() - timedelta(seconds=lost_seconds)):
        entries, damaged = decode_lines(io.BytesIO(await shipped_journal(ledger, run_id)))
        try:
            run = fold(entries, damaged_lines=damaged)
            # Under an id of its own: the machine's own journal, should it turn up, tells more.
            run = replace(run, info=replace(run.info, run_id=f"{run_id}{_SHIPPED}"))
            record = await settle_run(run, ledger, settings)
            announced = {run.info.job_id} if run.announced else set()
            await asyncio.to_thread(owe_records, [record], settings, announced=announced)
        except JournalCorrupt as error:
            failed(Operation.SHIP)
            logger.error("a lost machine's journal cannot be read: %s", error)
        except MeteringError as error:
            failed(Operation.SHIP)
            logger.error("a lost machine's journal cannot be settled yet: %s", error)
            continue
        else:
            log_record(record)
            records.append(record)
        await ledger.drop_journals([run_id])
    return records
