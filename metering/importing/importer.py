"""From a file to rated jobs: every row is checked, then all of them are stored, then rated."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from ..errors import ImportRefused, MeteringError
from ..ledger.adding import JOBS_AT_ONCE, Added, NewJob, add_jobs
from ..ledger.store import Ledger
from ..pricing.exact import EXACT, ZERO
from ..pricing.loading import load_card
from ..pricing.plans import load_plans
from ..record import CostRecord, Exact, RecordCharge, Stamp
from ..run import AnyRun
from ..settings import Hosting, MeterSettings
from ..settle import rate_grown
from .fields import FIELDS, Known, read_fields
from .problems import Fault, Problems, RowRefused
from .rows import Format, read_rows
from .staging import Staging

NO_PLAN = "none"


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how it is written; `file` may be one that can be read only once."""

    name: str
    file: BinaryIO
    format: Format


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ImportedCharge(_Model):
    """All charges of the file's jobs that are alike; see `metering.record.RecordCharge`."""

    meter: str
    provider: str
    model: str
    state: str
    reason: str
    instances: int
    consumed_quantity: Exact
    consumed_unit: str
    list_cost: Exact | None
    currency: str | None


class CurrencyCost(_Model):
    """What the file's jobs cost in one currency; nothing is added up across currencies."""

    currency: str
    list_cost: Exact


class Imported(_Model):
    """What was imported, or with `dry_run` would be, and what it costs by list.

    `instances` are the file's, `new_instances` those that nobody had reported before, `repeated`
    the rows that said again what an earlier one had. The charges are of the jobs as a whole.
    """

    file: str
    format: Format
    dry_run: bool
    jobs: int
    instances: int
    new_instances: int
    repeated: int
    started_at: Stamp | None
    ended_at: Stamp | None
    list_cost: list[CurrencyCost]
    charges: list[ImportedCharge]
    rate_card: str


async def import_usage(
    source: Source,
    settings: MeterSettings,
    *,
    defaults: Mapping[str, str] | None = None,
    most_problems: int = 50,
    dry_run: bool = False,
) -> Imported:
    """Store a file's usage, and rate its jobs; the same file a second time changes nothing.

    Args:
        source: the file.
        settings: where the ledger and the rates are.
        defaults: `tenant`, `hosting` and `plan` of jobs of which the file does not say them.
        most_problems: how many are told of a file that has very many.
        dry_run: rate it in a store of its own, which is gone afterwards.

    Raises:
        ImportRefused: rows that are wrong; nothing of the file is stored.
        RateError: the rate file cannot be used; nothing is stored.
        LedgerError: the store cannot take it; nothing is stored, or, while it was being rated,
            everything, and to import it again completes it.
    """
    card = load_card(settings.rates)
    plans = frozenset(load_plans(settings.rates)) | {NO_PLAN}
    known = Known(card.meters, plans, dict(defaults or {}))
    problems = Problems(most_problems)
    with (
        tempfile.TemporaryDirectory(prefix="tallyroom-import-") as folder,
        Staging(Path(folder)) as staging,
    ):
        _check(source, staging, known, problems)
        if problems.rows:
            raise ImportRefused(source.name, problems)

        def jobs() -> Iterator[NewJob]:
            return staging.jobs(known.defaults, partial(_job_fields, settings))

        url = f"sqlite:///{folder}/ledger.sqlite3" if dry_run else settings.ledger_url
        async with Ledger(url) as ledger:
            added = await _store(source, jobs, ledger, problems)
            sums = await _rate(jobs(), added, ledger, settings)
        return Imported(
            file=source.name,
            format=source.format,
            dry_run=dry_run,
            jobs=sums.jobs,
            instances=staging.rows,
            new_instances=added.new_instances,
            repeated=staging.repeated,
            started_at=sums.started_at,
            ended_at=sums.ended_at,
            list_cost=sums.list_cost(),
            charges=sums.charges(),
            rate_card=card.version,
        )


def _check(source: Source, staging: Staging, known: Known, problems: Problems) -> None:
    try:
        for line, row in read_rows(source.file, source.format, FIELDS, problems):
            try:
                staging.add(line, read_fields(row, known))
            except RowRefused as refused:
                problems.add(line, refused)
    except OSError as error:
        raise MeteringError(f"cannot read {source.name}: {error.strerror or error}") from error


def _job_fields(settings: MeterSettings, said: dict[str, Any]) -> dict[str, Any]:
    """A job's fields, hosting and plan by the settings where nobody says them."""
    hosting = Hosting(said.get("hosting") or settings.resolved_hosting)
    plan = settings.model_copy(update={"hosting": hosting}).resolved_plan
    fields = {"plan": plan} | said | {"hosting": str(hosting)}
    return fields | {"tags": tuple(said.get("tags", ()))}


async def _store(
    source: Source, jobs: Callable[[], Iterator[NewJob]], ledger: Ledger, problems: Problems
) -> Added:
    def work(connection: Connection) -> Added:
        added = add_jobs(connection, jobs())
        if added.clashes:
            # Raised within the transaction, which so comes to nothing.
            for clash in added.clashes:
                value = clash.job.said.get(clash.field, clash.job.run.info.job_id)
                problems.add(clash.job.line, RowRefused(Fault(clash.field, value, clash.why)))
            raise ImportRefused(source.name, problems)
        return added

    return await ledger.write(work)


async def _rate(
    jobs: Iterator[NewJob], added: Added, ledger: Ledger, settings: MeterSettings
) -> _Sums:
    sums = _Sums()
    while some := list(itertools.islice(jobs, JOBS_AT_ONCE)):
        job_ids = [job.run.info.job_id for job in some]
        for record in await rate_grown(job_ids, added.grown, ledger, settings):
            sums.add(record)
        for job in some:
            sums.add_span(job.run)
    return sums


@dataclass(slots=True)
class _Sum:
    charge: RecordCharge
    instances: int = 0
    consumed: Decimal = ZERO
    cost: Decimal | None = None

    def add(self, charge: RecordCharge) -> None:
        self.instances += charge.instances
        self.consumed = EXACT.add(self.consumed, charge.consumed_quantity)
        if charge.list_cost is not None:
            self.cost = EXACT.add(self.cost or ZERO, charge.list_cost)


@dataclass(slots=True)
class _Sums:
    jobs: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    _lines: dict[tuple[str, ...], _Sum] = field(default_factory=dict)

    def add(self, record: CostRecord) -> None:
        for charge in record.charges:
            key = (
                charge.meter,
                charge.provider,
                charge.model,
                charge.state,
                charge.reason,
                charge.consumed_unit,
                charge.currency or "",
            )
            self._lines.setdefault(key, _Sum(charge)).add(charge)

    def add_span(self, run: AnyRun) -> None:
        self.jobs += 1
        began, ended = run.info.started_at, run.ended_at
        self.started_at = began if self.started_at is None else min(self.started_at, began)
        self.ended_at = ended if self.ended_at is None else max(self.ended_at, ended)

    def charges(self) -> list[ImportedCharge]:
        return [
            ImportedCharge(
                meter=line.charge.meter,
                provider=line.charge.provider,
                model=line.charge.model,
                state=line.charge.state,
                reason=line.charge.reason,
                instances=line.instances,
                consumed_quantity=line.consumed,
                consumed_unit=line.charge.consumed_unit,
                list_cost=line.cost,
                currency=line.charge.currency,
            )
            for _, line in sorted(self._lines.items(), key=itemgetter(0))
        ]

    def list_cost(self) -> list[CurrencyCost]:
        costs: dict[str, Decimal] = {}
        for line in self._lines.values():
            if line.cost is not None and line.charge.currency is not None:
                sum_so_far = costs.get(line.charge.currency, ZERO)
                costs[line.charge.currency] = EXACT.add(sum_so_far, line.cost)
        return [
            CurrencyCost(currency=currency, list_cost=cost)
            for currency, cost in sorted(costs.items())
        ]
