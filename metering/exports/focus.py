"""A month of the ledger as a FOCUS dataset."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from .. import __version__
from ..billing.correction import difference
from ..billing.period import Period
from ..billing.statement import Statement
from ..errors import RateError, UsagePruned
from ..ledger.issued import issued_statements
from ..ledger.schema import safe_text
from ..ledger.store import Ledger
from ..pricing.plans import load_plans
from ..record import Exact, Unrated
from ..reports.statements import Draft, draft_month, of_payer, of_period, read_issued
from ..settings import MeterSettings
from ..usage import format_stamp
from .focus_columns import FocusVersion, columns_of
from .focus_files import FileFormat, write_csv, write_parquet, written_whole
from .focus_rows import JobParts, focus_rows

STANDARD_OUTPUT = "-"
ACCOUNT = "tallyroom"
"""The billing account where nobody says what the provider calls it."""


@dataclass(frozen=True, slots=True)
class FocusMonth:
    """A month's statement and, where it is known, which jobs its lines are made up of."""

    statement: Statement
    parts: JobParts | None
    plan_providers: Mapping[str, str]


class Exported(BaseModel):
    """What was written.

    `by_job` says whether usage is by job and day, or by statement line only. `unrated` is what was
    used and is in no row: it has no price.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    focus_version: FocusVersion
    format: FileFormat
    rows: int
    status: str
    statement_id: str | None
    currency: str
    total: Exact
    by_job: bool
    unrated: list[Unrated]


async def read_focus_month(
    ledger: Ledger,
    settings: MeterSettings,
    period: Period,
    *,
    plan_id: str | None = None,
    tenant: str | None = None,
) -> FocusMonth | None:
    """A month as it was issued, else as it is drafted; None where nothing is due.

    An issued one is by job as long as its jobs still come to what was issued. Where they do not,
    because usage came late or prices changed, its frozen lines are all that is known to be right.

    Raises:
        LedgerError: the store cannot be read.
        RateError: as `state_month`.
    """
    tenant = None if tenant is None else safe_text(tenant)
    plans = {name: plan.provider for name, plan in load_plans(settings.rates).items()}
    issued = [one for one in await issued_statements(ledger) if of_payer(one, tenant)]
    found = of_period(issued, period)
    if found is None or plan_id not in (None, found.plan):
        draft = await draft_month(ledger, settings, period, issued, plan_id, None, tenant)
        if draft.statement is None:
            return None
        return FocusMonth(draft.statement, _parts(draft), plans)
    statement = (await read_issued(ledger, found)).statement
    if statement is None:
        return None
    try:
        again = await draft_month(ledger, settings, period, [], None, None, tenant)
    except (RateError, UsagePruned):
        return FocusMonth(statement, None, plans)
    is_same = (
        again.statement is not None
        and again.statement.terms == statement.terms
        and not difference(again.statement.bill.lines, statement.bill.lines)
    )
    return FocusMonth(statement, _parts(again) if is_same else None, plans)


def _parts(draft: Draft) -> JobParts:
    return JobParts(draft.terms, draft.jobs, draft.days)


def export_focus(
    month: FocusMonth,
    path: str,
    *,
    version: FocusVersion,
    file_format: FileFormat,
    billing_account: str = ACCOUNT,
    now: datetime,
) -> Exported:
    """Write a month to a file, or to standard output.

    Raises:
        ExportError: it cannot be written.
    """
    statement = month.statement
    columns = columns_of(version)
    rows = focus_rows(statement, month.parts, month.plan_providers, billing_account)
    unrated = [
        Unrated(
            meter=item.meter,
            provider=item.provider,
            model=item.model,
            quantity=item.quantity,
            unit=item.unit,
            reason=item.reason,
        )
        for item in statement.bill.unrated
    ]
    metadata = {
        "FocusVersion": version.value,
        "DataGenerator": f"tallyroom {__version__}",
        "CreationDate": format_stamp(now),
        "x_StatementStatus": statement.status,
        "x_Unrated": json.dumps([item.model_dump(mode="json") for item in unrated]),
    }

    def write(out: IO[bytes]) -> int:
        if file_format is FileFormat.PARQUET:
            return write_parquet(out, columns, rows, metadata)
        text = io.TextIOWrapper(out, "utf-8", newline="")
        count = write_csv(text, columns, rows)
        text.flush()
        text.detach()
        return count

    if path == STANDARD_OUTPUT:
        count = write(sys.stdout.buffer)
    else:
        with written_whole(Path(path)) as file:
            count = write(file)
    return Exported(
        file=path,
        focus_version=version,
        format=file_format,
        rows=count,
        status=statement.status,
        statement_id=statement.statement_id or None,
        currency=statement.bill.currency,
        total=statement.bill.total,
        by_job=month.parts is not None,
        unrated=unrated,
    )


def file_name(period: Period, tenant: str | None, version: FocusVersion, how: FileFormat) -> str:
    """What a month's file is called: the version is part of it, CSV has no other place for it."""
    safe = "".join(char if char.isalnum() else "_" for char in tenant or "")[:80]
    of = f"_{safe}" if safe else ""
    return f"focus_{version}_{period.name}{of}.{how}"
