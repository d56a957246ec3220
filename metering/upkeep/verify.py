"""An auditor's look: is every measured instance in exactly one record, and does each record add up?

It reads journals and ledger and writes nothing. A record that today's rate card has rated must
come out the same to the last digit when it is rated again; one that an older card has rated, or
whose usage was pruned since, must at least multiply out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from pydantic import BaseModel

from ..errors import MeteringError
from ..journal import SUFFIX, try_lock
from ..ledger.queries import cost_records, job_ids, run_quantities, unclaimed
from ..ledger.store import Ledger
from ..ledger.upkeep import claimed_since_pruned, not_paid_by_pruned, pruned_at
from ..ledger.usage_queries import job_usage
from ..pricing.exact import EXACT
from ..pricing.loading import load_card
from ..pricing.rate_card import RateCard
from ..pricing.rating import rate
from ..record import RecordCharge
from ..run import read_run
from ..settings import MeterSettings
from ..sweeping import QUARANTINE_FOLDER, SETTLED_FOLDER


class Discrepancy(BaseModel):
    """Something that does not hold: in which job, journal or instance, and what."""

    where: str
    what: str


class Verdict(BaseModel):
    """What was looked at, and what did not hold; `ok` where all did.

    `pruned` counts the jobs whose usage was pruned: they cannot be rated again.
    """

    jobs: int
    journals: int
    pruned: int
    discrepancies: list[Discrepancy]

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.discrepancies


async def verify(settings: MeterSettings) -> Verdict:
    """Hold journals, ledger and rates against each other.

    Raises:
        LedgerError: the store cannot be read.
        RateError: the rate file cannot be used.
    """
    card = load_card(settings.rates)
    found: list[Discrepancy] = []
    jobs = journals = pruned = 0
    async with Ledger(settings.ledger_url) as ledger:
        for path in sorted((settings.journals_path / SETTLED_FOLDER).glob(f"*{SUFFIX}")):
            journals += 1
            found += [item async for item in _journal_discrepancies(path, ledger)]
        found += _unsettled(settings)
        for instance_id, meter in await not_paid_by_pruned(ledger, await unclaimed(ledger)):
            found.append(Discrepancy(where=instance_id, what=f"{meter} is in no job's record"))
        for job_id in await job_ids(ledger):
            jobs += 1
            is_pruned = await pruned_at(ledger, job_id) is not None
            pruned += is_pruned
            found += [item async for item in _record_discrepancies(job_id, ledger, card, is_pruned)]
    return Verdict(jobs=jobs, journals=journals, pruned=pruned, discrepancies=found)


async def _journal_discrepancies(path: Path, ledger: Ledger) -> AsyncIterator[Discrepancy]:
    try:
        run = read_run(path)
    except MeteringError as error:
        yield Discrepancy(where=path.name, what=str(error))
        return
    stored = await run_quantities(ledger, run.info.run_id)
    if not stored and await pruned_at(ledger, run.info.job_id):
        return
    measured = {(usage.instance_id, usage.meter): usage.quantity for usage in run.usages}
    for (instance_id, meter), quantity in measured.items():
        kept = stored.pop((instance_id, meter), None)
        if kept is None:
            what = f"{meter} of {instance_id} is in the journal and not in the store"
            yield Discrepancy(where=path.name, what=what)
        elif kept != quantity:
            what = f"{meter} of {instance_id} is {quantity} in the journal, {kept} in the store"
            yield Discrepancy(where=path.name, what=what)
    for instance_id, meter in stored:
        what = f"{meter} of {instance_id} is in the store and not in the journal"
        yield Discrepancy(where=path.name, what=what)


def _unsettled(settings: MeterSettings) -> Iterator[Discrepancy]:
    for path in sorted(settings.journals_path.glob(f"*{SUFFIX}")):
        if lock := try_lock(path):
            lock.close()
            yield Discrepancy(where=path.name, what="its run is dead and not settled: recover it")
    for path in sorted((settings.journals_path / QUARANTINE_FOLDER).glob(f"*{SUFFIX}")):
        yield Discrepancy(where=path.name, what="it cannot be read, and stands in no record")


async def _record_discrepancies(
    job_id: str, ledger: Ledger, card: RateCard, is_pruned: bool
) -> AsyncIterator[Discrepancy]:
    (record,) = await cost_records(ledger, [job_id])
    for charge in record.charges:
        if not _multiplies_out(charge):
            what = f"{charge.meter}: {charge.list_cost} is not quantity times price"
            yield Discrepancy(where=job_id, what=what)
    if is_pruned:
        if late := await claimed_since_pruned(ledger, job_id):
            what = f"{late} instances were reported after its usage was pruned: in no rating"
            yield Discrepancy(where=job_id, what=what)
    elif record.rate_card == card.version:
        again = rate(
            await job_usage(ledger, job_id), card, hosting=record.hosting, plan=record.plan
        )
        rated = [RecordCharge.model_validate(charge.to_json()) for charge in again]
        if rated != record.charges:
            what = "rated again by the same rate card it comes out otherwise"
            yield Discrepancy(where=job_id, what=what)
    elif record.charges and not record.rate_card:
        yield Discrepancy(where=job_id, what="it was never rated: rerate it")


def _multiplies_out(charge: RecordCharge) -> bool:
    if charge.pricing_quantity is None or charge.unit_price is None:
        return charge.list_cost is None
    return charge.list_cost == EXACT.multiply(charge.pricing_quantity, charge.unit_price)
