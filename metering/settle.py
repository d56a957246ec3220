"""From a journal to a stored, rated record: the one way in, whoever settles.

The job does it at its end, the sweeper for a job that died, a person by hand. Usage is stored
before anything is priced, so a broken rate file never costs a measurement; and a journal is only
retired once all of it is in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .errors import JournalCorrupt, LedgerError, MeteringError, RateError
from .journal import SUFFIX, retire, try_lock
from .ledger.queries import cost_record, job_usage
from .ledger.store import Ledger
from .pricing.charges import Charge
from .pricing.loading import load_card
from .pricing.rate_card import RateCard
from .pricing.rating import rate
from .record import CostRecord
from .run import Run, Status, read_run
from .settings import MeterSettings
from .usage import Usage

logger = logging.getLogger("tallyroom.metering")

SETTLED_FOLDER = "settled"
QUARANTINE_FOLDER = "unreadable"


async def settle_run(run: Run, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Store a run and rate its job; the same run settled again changes nothing.

    Raises:
        LedgerError: the store cannot take it; nothing of it is stored then.
    """
    is_new = await ledger.store_run(run)
    record = await cost_record(ledger, run.info.job_id)
    if is_new or record.revision == 0:
        record = await rate_job(record, ledger, settings)
    return record


async def rate_job(record: CostRecord, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Rate a job's stored usage by today's rate card, as a new revision beside the old ones.

    With a rate file that cannot be used every charge is unrated and says why.
    """
    revision = None
    while revision is None:
        usages = await job_usage(ledger, record.job_id)
        charges, version = await asyncio.to_thread(_charges, usages, record, settings)
        revision = await ledger.store_rating(
            record.job_id,
            charges,
            rate_card=version,
            hosting=record.hosting,
            plan=record.plan,
            rated_runs=record.run_ids,
        )
        # Where another run of the job was settled meanwhile, this has its usage too.
        record = await cost_record(ledger, record.job_id)
    return record


def _charges(
    usages: Sequence[Usage], record: CostRecord, settings: MeterSettings
) -> tuple[list[Charge], str]:
    try:
        card = load_card(settings.rates)
        return rate(usages, card, hosting=record.hosting, plan=record.plan), card.version
    except RateError as error:
        logger.error("the rates cannot be used, charges stay unrated: %s", error)
        unpriced = rate(usages, RateCard(), hosting=record.hosting, plan=record.plan)
        reason = f"rates cannot be used: {error}"
        return [replace(charge, reason=reason) for charge in unpriced], ""


async def settle_journal(path: Path, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Settle a journal whose lock the caller holds, log its record, and retire it.

    Raises:
        JournalCorrupt: it does not say whose run it is.
        LedgerError: the store cannot take it; the journal stays where it is.
    """
    run = read_run(path)
    record = await settle_run(run, ledger, settings)
    await ledger.drop_journal(run.info.run_id)
    log_record(record)
    retire(path, SETTLED_FOLDER)
    return record


async def settle_in_memory(run: Run, settings: MeterSettings) -> CostRecord:
    """Settle a run that could keep no journal: in the store if that is there, and in the log.

    Where the store is away too, the log line is all that remains of the run, and is told so.
    """
    try:
        async with Ledger(settings.ledger_url) as ledger:
            record = await settle_run(run, ledger, settings)
    except LedgerError as error:
        logger.error("nothing can be stored, this job's record is only in the log: %s", error)
        # Not in a temporary file either: that can be on the same full disk.
        async with Ledger.in_memory() as ledger:
            record = await settle_run(run, ledger, settings)
    log_record(record)
    return record


async def sweep(settings: MeterSettings) -> list[CostRecord]:
    """Settle every journal whose run is dead; returns the records.

    A journal that cannot be read is put aside, one that cannot be stored stays for the next sweep.

    Raises:
        LedgerError: the store cannot be opened.
    """
    records = []
    # Opened even where nothing is due: a new store is then made here, and not by the first job.
    async with Ledger(settings.ledger_url) as ledger:
        for path in sorted(settings.journals_path.glob(f"*{SUFFIX}")):
            if record := await _settle_if_dead(path, ledger, settings):
                records.append(record)
    return records


async def _settle_if_dead(path: Path, ledger: Ledger, settings: MeterSettings) -> CostRecord | None:
    try:
        lock = try_lock(path)
        if lock is None:
            return None
        with lock:
            try:
                return await settle_journal(path, ledger, settings)
            except JournalCorrupt as error:
                kept = retire(path, QUARANTINE_FOLDER)
                logger.error("a journal cannot be read, kept at %s: %s", kept, error)
    except Exception as error:
        # Whatever is wrong with one journal, the others are not kept waiting for it.
        logger.error(
            "a journal cannot be settled yet: %s",
            error if isinstance(error, MeteringError) else f"{path}: {type(error).__name__}",
        )
    return None


def running(settings: MeterSettings) -> list[Run]:
    """The runs of this machine that go on now, as far as their journals tell."""
    runs = []
    for path in sorted(settings.journals_path.glob(f"*{SUFFIX}")):
        try:
            if lock := try_lock(path):
                lock.close()
                continue
            runs.append(read_run(path, alive=True))
        except MeteringError:
            continue
    return [run for run in runs if run.status is Status.RUNNING]


def log_record(record: CostRecord) -> None:
    """The job's one JSON line: the record without usage, names and identities."""
    logger.info("cost_record", extra={"cost_record": record.for_log()})
