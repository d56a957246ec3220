"""Stores and journals that an older version left behind, kept as they were.

Each folder in `upgrades/` is named after the version that wrote it: `ledger.sql`, a store with a
job in it, dumped by sqlite3; a journal of a job that was killed; `records.json`, the cost records
as that version showed them; and `statement.json`, a statement as it was issued. A later version may
add fields to either, and change none.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from metering.billing import parse_period
from metering.billing.statement_json import statement_to_json
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.reports.issuing import issue_month
from metering.reports.statement_record import read_statement
from metering.reports.statements import state_month
from metering.sweeping import sweep
from metering.upkeep.verify import verify
from tests.unit.metering.samples import settings

VERSIONS = sorted((Path(__file__).parent / "upgrades").iterdir())


def put_back(old: Path, data: Path) -> None:
    """A data folder as the older version left it."""
    (data / "journals").mkdir()
    with sqlite3.connect(data / "ledger.sqlite3") as store:
        store.executescript((old / "ledger.sql").read_text("utf-8"))
    store.close()
    for journal in old.glob("*.journal"):
        shutil.copy(journal, data / "journals")


async def upgraded(old: Path, data: Path) -> list[dict[str, Any]]:
    """The records that this version shows of what an older one left, by job."""
    put_back(old, data)
    mine = settings(data)
    await sweep(mine)
    async with Ledger(mine.ledger_url) as ledger:
        jobs = sorted(job.job_id for job in await list_jobs(ledger))
        records = [(await cost_record(ledger, job)).model_dump(mode="json") for job in jobs]
    assert (await verify(mine)).discrepancies == []
    return records


@pytest.mark.parametrize("old", VERSIONS, ids=lambda old: str(old.name))
async def test_what_an_older_version_left_is_read_as_it_was(old: Path, tmp_path: Path) -> None:
    expected = json.loads((old / "records.json").read_text("utf-8"))
    records = await upgraded(old, tmp_path)
    assert len(records) == len(expected) == 2
    for record, then in zip(records, expected, strict=True):
        # By the card of today: an old store's own ratings keep theirs.
        rated_now = {"rate_card"} if record["status"] == "recovered" else set()
        for field in then.keys() - rated_now:
            assert record[field] == then[field]


@pytest.mark.parametrize("old", VERSIONS, ids=lambda old: str(old.name))
async def test_a_month_that_an_older_version_left_can_be_issued(old: Path, tmp_path: Path) -> None:
    put_back(old, tmp_path)
    mine = settings(tmp_path)
    november = parse_period("2026-11")
    async with Ledger(mine.ledger_url) as ledger:
        issued = await issue_month(
            ledger, mine, november, now=november.end, plan_id="livekit/ship", early=True
        )
        assert issued.statement is not None
        assert issued.statement.status == "issued"
        assert issued.statement.bill.base_fee == 50
        assert (await state_month(ledger, mine, november)).text == issued.text


def kept(then: Any, now: Any) -> bool:
    """Whether everything that was said then is said now."""
    if isinstance(then, dict):
        return then.keys() <= now.keys() and all(kept(then[key], now[key]) for key in then)
    if isinstance(then, list):
        return len(then) == len(now) and all(map(kept, then, now))
    return bool(then == now)


@pytest.mark.parametrize("old", VERSIONS, ids=lambda old: str(old.name))
def test_a_statement_that_an_older_version_issued_is_read_as_it_was(old: Path) -> None:
    text = (old / "statement.json").read_text("utf-8")
    then = json.loads(text)
    assert (then["status"], len(then["corrections"])) == ("issued", 1)
    assert kept(then, statement_to_json(read_statement(text)))
    then["lines"][0]["cost"] = "1"
    assert not kept(then, statement_to_json(read_statement(text)))
