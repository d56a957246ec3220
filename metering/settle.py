"""From a journal to a stored, rated record: the one way in, whoever settles.

The job does it at its end, the sweeper for a job that died, a person by hand. Usage is stored
before anything is priced, so a broken rate file never costs a measurement; and a journal is only
retired once all of it is in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from .errors import JournalCorrupt, LedgerError, MeteringError, RateError
from .health import Operation, failed
from .journal import SUFFIX, retire, try_lock
from .ledger.queries import ToRate, cost_record, read_to_rate
from .ledger.store import Ledger
from .ledger.upkeep import pruned_at
from .line import Turn
from .pricing.charges import Charge
from .pricing.loading import load_card
from .pricing.rate_card import RateCard
from .pricing.rating import Rating
from .record import CostRecord, RecordCharge
from .run import AnyRun, Run, Status, read_run, scan_run
from .settings import MeterSettings
from .usage import Usage

logger = logging.getLogger("tallyroom.metering")

SETTLED_FOLDER = "settled"
QUARANTINE_FOLDER = "unreadable"
_TURN_SECONDS = 30.0
"""How long a job waits for others to be settled before it tries all the same."""


async def settle_run(
    run: AnyRun, ledger: Ledger, settings: MeterSettings, with_usage: bool = True
) -> CostRecord:
    """Store a run and rate its job; the same run settled again changes nothing.

    The returned record has no usage unless it is asked for `with_usage`: a job can have more of it
    than fits in memory.

    Raises:
        LedgerError: the store cannot take it; nothing of it is stored then.
    """
    job_id = run.info.job_id
    is_new = await ledger.store_run(run)
    is_pruned = await pruned_at(ledger, job_id) is not None
    if is_new and is_pruned:
        # Rated from what is left its total would shrink; `verify` names what is in no rating.
        failed(Operation.SETTLE)
        logger.error("a run of a pruned job is stored and not rated: %s", job_id)
    if is_new and not is_pruned:
        return await _rate(job_id, ledger, settings, with_usage)
    record = await cost_record(ledger, job_id, with_usage=with_usage)
    if is_pruned or (record.revision and not await _misses_usage(record, ledger, settings)):
        return record
    return await _rate(job_id, ledger, settings, with_usage)


async def _misses_usage(record: CostRecord, ledger: Ledger, settings: MeterSettings) -> bool:
    """Whether its rating lacks usage that is stored: whoever stored that died before rating it."""
    charges, _, _ = await _charges(ledger, record.job_id, settings)
    return Counter(map(_measured, charges)) != Counter(map(_measured, record.charges))


def _measured(charge: Charge | RecordCharge) -> tuple[str, str, str, int, Decimal]:
    """What a charge is for, whatever it costs by the rates of its day."""
    return (
        charge.meter,
        charge.provider,
        charge.model,
        charge.instances,
        charge.consumed_quantity,
    )


async def rate_job(record: CostRecord, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Rate a job's stored usage by today's rate card, as a new revision beside the old ones.

    With a rate file that cannot be used every charge is unrated and says why.
    """
    return await _rate(record.job_id, ledger, settings, with_usage=True)


async def _rate(
    job_id: str, ledger: Ledger, settings: MeterSettings, with_usage: bool
) -> CostRecord:
    revision = None
    # Where another run of the job was settled meanwhile, it is done again with its usage too.
    while revision is None:
        charges, version, rated = await _charges(ledger, job_id, settings)
        revision = await ledger.store_rating(
            job_id,
            charges,
            rate_card=version,
            hosting=rated.hosting,
            plan=rated.plan,
            rated_runs=rated.run_ids,
        )
    return await cost_record(ledger, job_id, with_usage=with_usage)


async def _charges(
    ledger: Ledger, job_id: str, settings: MeterSettings
) -> tuple[list[Charge], str, ToRate]:
    try:
        card = await ledger.off_loop(load_card, settings.rates)
        charges, rated = await _charges_by(card, ledger, job_id)
        return charges, card.version, rated
    except RateError as error:
        failed(Operation.RATE)
        logger.error("the rates cannot be used, charges stay unrated: %s", error)
        unpriced, rated = await _charges_by(RateCard(), ledger, job_id)
        reason = f"rates cannot be used: {error}"
        return [replace(charge, reason=reason) for charge in unpriced], "", rated


async def _charges_by(card: RateCard, ledger: Ledger, job_id: str) -> tuple[list[Charge], ToRate]:
    rating: Rating | None = None

    def begin(found: ToRate) -> Callable[[list[Usage]], None]:
        nonlocal rating
        rating = Rating(card, found.plan, found.hosting)
        return rating.add

    rated = await read_to_rate(ledger, job_id, begin)
    assert rating is not None
    return rating.charges("cost"), rated


async def settle_journal(
    path: Path, ledger: Ledger, settings: MeterSettings, *, with_usage: bool = True
) -> CostRecord:
    """Settle a journal whose lock the caller holds, log its record, and retire it.

    It is read bit by bit; where the returned record need not be `with_usage`, a journal of any
    length takes the same memory.

    Raises:
        JournalCorrupt: it does not say whose run it is.
        LedgerError: the store cannot take it; the journal stays where it is.
    """
    run = await ledger.off_loop(scan_run, path)
    record = await settle_run(run, ledger, settings, with_usage)
    await ledger.drop_journal(run.info.run_id)
    log_record(record)
    retire(path, SETTLED_FOLDER)
    return record


def settle_at_end(path: Path, settings: MeterSettings) -> None:
    """Settle the journal of a job that ends, whose lock the caller holds; blocks until it is done.

    For a thread of its own: other shutdown callbacks run meanwhile. Where many jobs of a machine
    end at once, each waits in line for its turn.

    Raises:
        JournalCorrupt: it does not say whose run it is.
        LedgerError: the store cannot take it; the journal stays where it is.
    """

    async def settle() -> None:
        async with Ledger(settings.ledger_url, blocking=True) as ledger:
            await settle_journal(path, ledger, settings, with_usage=False)

    turn = Turn(path.parent)
    try:
        turn.wait(_TURN_SECONDS)
        asyncio.run(settle())
    finally:
        turn.give_up()


async def settle_in_memory(run: Run, settings: MeterSettings) -> CostRecord:
    """Settle a run that could keep no journal: in the store if that is there, and in the log.

    Where the store is away too, the log line is all that remains of the run, and is told so.
    """
    try:
        async with Ledger(settings.ledger_url) as ledger:
            record = await settle_run(run, ledger, settings)
    except LedgerError as error:
        failed(Operation.SETTLE)
        logger.error("nothing can be stored, this job's record is only in the log: %s", error)
        # Not in a temporary file either: that can be on the same full disk.
        async with Ledger.in_memory() as ledger:
            record = await settle_run(run, ledger, settings)
    log_record(record)
    return record


async def sweep(settings: MeterSettings, *, with_usage: bool = True) -> list[CostRecord]:
    """Settle every journal whose run is dead; returns the records, their usage if it is asked for.

    A journal that cannot be read is put aside, one that cannot be stored stays for the next sweep.

    Raises:
        LedgerError: the store cannot be opened.
    """
    records = []
    # Opened even where nothing is due: a new store is then made here, and not by the first job.
    async with Ledger(settings.ledger_url) as ledger:
        for path in sorted(settings.journals_path.glob(f"*{SUFFIX}")):
            if record := await _settle_if_dead(path, ledger, settings, with_usage):
                records.append(record)
    return records


async def _settle_if_dead(
    path: Path, ledger: Ledger, settings: MeterSettings, with_usage: bool
) -> CostRecord | None:
    try:
        lock = try_lock(path)
        if lock is None:
            return None
        with lock:
            try:
                return await settle_journal(path, ledger, settings, with_usage=with_usage)
            except JournalCorrupt as error:
                kept = retire(path, QUARANTINE_FOLDER)
                failed(Operation.SETTLE)
                logger.error("a journal cannot be read, kept at %s: %s", kept, error)
    except Exception as error:
        # Whatever is wrong with one journal, the others are not kept waiting for it.
        failed(Operation.SETTLE)
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
