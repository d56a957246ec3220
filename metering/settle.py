"""From a run to a stored, rated record: the one way in, whoever settles.

The job does it at its end, the sweeper for a job that died, a person by hand. Usage is stored
before anything is priced, so a broken rate file never costs a measurement. Runs are settled many at
a time where there are many: what takes the time is how often a database is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal

from .errors import LedgerError, OutboxError, RateError
from .health import Operation, failed
from .ledger.queries import cost_record, cost_records
from .ledger.store import Ledger
from .ledger.upkeep import pruned_among
from .ledger.usage_queries import ToRate, read_to_rate
from .ledger.writing import NewRating
from .pricing.charges import Charge
from .pricing.loading import load_card
from .pricing.rate_card import RateCard
from .pricing.rating import Rating
from .record import CostRecord, RecordCharge
from .run import AnyRun, Run
from .settings import MeterSettings
from .usage import Usage
from .webhooks.events import owe_records

logger = logging.getLogger("tallyroom.metering")


async def settle_runs(
    runs: Sequence[AnyRun], ledger: Ledger, settings: MeterSettings
) -> list[CostRecord]:
    """Store runs and rate their jobs; the same run settled again changes nothing.

    Returns:
        The record of each job, in the order of the runs, without its usage: a job can have more of
        it than fits in memory.

    Raises:
        LedgerError: the store cannot take them; none of them is stored then.
    """
    job_ids = list(dict.fromkeys(run.info.job_id for run in runs))
    new = await ledger.store_runs(runs)
    grown = {run.info.job_id for run in runs if run.info.run_id in new}
    return await rate_grown(job_ids, grown, ledger, settings)


async def rate_grown(
    job_ids: Sequence[str], grown: Set[str], ledger: Ledger, settings: MeterSettings
) -> list[CostRecord]:
    """Rate those of some stored jobs that have `grown` by a run, or were never rated to the end.

    Returns:
        The record of each job, as `settle_runs` does.

    Raises:
        LedgerError: the store cannot take it.
    """
    pruned = await pruned_among(ledger, job_ids)
    for job_id in sorted(set(pruned) & grown):
        # Rated from what is left its total would shrink; `verify` names what is in no rating.
        failed(Operation.SETTLE)
        logger.error("a run of a pruned job is stored and not rated: %s", job_id)
    unchanged = [job_id for job_id in job_ids if job_id not in grown and job_id not in pruned]
    due = set(grown) - set(pruned) | set(await _unfinished(unchanged, ledger, settings))
    await _rate([job_id for job_id in job_ids if job_id in due], ledger, settings)
    return await cost_records(ledger, job_ids)


async def settle_run(run: AnyRun, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Settle one run, as `settle_runs` does; returns its job's whole record.

    Raises:
        LedgerError: the store cannot take it; nothing of it is stored then.
    """
    await settle_runs([run], ledger, settings)
    return await cost_record(ledger, run.info.job_id)


async def _unfinished(job_ids: Sequence[str], ledger: Ledger, settings: MeterSettings) -> list[str]:
    """Jobs that are not rated, or whose rating lacks usage: whoever stored that died before."""
    if not job_ids:
        return []
    rated = await _charges(job_ids, ledger, settings)
    return [
        record.job_id
        for record in await cost_records(ledger, job_ids)
        if not record.revision
        or Counter(map(_measured, rated.charges[record.job_id]))
        != Counter(map(_measured, record.charges))
    ]


def _measured(charge: Charge | RecordCharge) -> tuple[str, str, str, int, Decimal]:
    """What a charge is for, whatever it costs by the rates of its day."""
    return (
        charge.meter,
        charge.provider,
        charge.model,
        charge.instances,
        charge.consumed_quantity,
    )


async def rate_job(job_id: str, ledger: Ledger, settings: MeterSettings) -> CostRecord:
    """Rate a job's stored usage by today's rate card, as a new revision beside the old ones.

    With a rate file that cannot be used every charge is unrated and says why.

    Raises:
        JobNotFound: the store has no such job.
        LedgerError: the store cannot take it.
    """
    await _rate([job_id], ledger, settings)
    return await cost_record(ledger, job_id)


async def _rate(job_ids: Sequence[str], ledger: Ledger, settings: MeterSettings) -> None:
    # Where another run of a job was settled meanwhile, it is done again with its usage too.
    while job_ids:
        rated = await _charges(job_ids, ledger, settings)
        ratings = [
            NewRating(
                job.job_id,
                rated.charges[job.job_id],
                rate_card=rated.rate_card,
                hosting=job.hosting,
                plan=job.plan,
                rated_runs=job.run_ids,
            )
            for job in rated.jobs
        ]
        stored = await ledger.store_ratings(ratings)
        job_ids = [job_id for job_id in job_ids if job_id not in stored]


@dataclass(frozen=True, slots=True)
class _Rated:
    jobs: list[ToRate]
    charges: dict[str, list[Charge]]
    rate_card: str


async def _charges(job_ids: Sequence[str], ledger: Ledger, settings: MeterSettings) -> _Rated:
    try:
        card = await asyncio.to_thread(load_card, settings.rates)
        return await _charges_by(card, card.version, ledger, job_ids)
    except RateError as error:
        failed(Operation.RATE)
        logger.error("the rates cannot be used, charges stay unrated: %s", error)
        unpriced = await _charges_by(RateCard(), "", ledger, job_ids)
        reason = f"rates cannot be used: {error}"
        charges = {
            job_id: [replace(charge, reason=reason) for charge in its_charges]
            for job_id, its_charges in unpriced.charges.items()
        }
        return replace(unpriced, charges=charges)


async def _charges_by(
    card: RateCard, version: str, ledger: Ledger, job_ids: Sequence[str]
) -> _Rated:
    ratings: dict[str, Rating] = {}

    def begin(job: ToRate) -> Callable[[list[Usage]], None]:
        rating = ratings[job.job_id] = Rating(card, job.plan, job.hosting)
        return rating.add

    jobs = await read_to_rate(ledger, job_ids, begin)
    charges = {job_id: rating.charges("cost") for job_id, rating in ratings.items()}
    return _Rated(jobs, charges, version)


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
    announced = {record.job_id} if run.announced else set()
    try:
        await asyncio.to_thread(owe_records, [record], settings, announced=announced)
    except OutboxError as error:
        failed(Operation.DELIVER)
        logger.error("nobody is told what this job has cost: %s", error)
    log_record(record)
    return record


def log_record(record: CostRecord) -> None:
    """The job's one JSON line: the record without usage, names and identities."""
    logger.info("cost_record", extra={"cost_record": record.for_log()})
