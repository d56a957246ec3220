"""A machine that is lost costs the seconds since its last piece; one that comes back, nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from metering.journal import JournalWriter
from metering.ledger.queries import cost_record, lost_runs, shipped_journal
from metering.ledger.store import Ledger
from metering.settings import MeterSettings
from metering.shipping import settle_lost, ship_journals
from metering.sweeping import sweep
from tests.unit.metering.samples import beat, end, info, opening, settings


@pytest.fixture
def mine(tmp_path: Path, store_url: str) -> MeterSettings:
    return settings(tmp_path, database_url=store_url)


@pytest.fixture
async def ledger(mine: MeterSettings) -> AsyncIterator[Ledger]:
    async with Ledger(mine.ledger_url) as ledger:
        yield ledger


class Job:
    """A running job: its journal, and how far its clock has come."""

    def __init__(self, mine: MeterSettings) -> None:
        path = mine.journals_path / "run_test.journal"
        self.journal = JournalWriter(path, beat=lambda: (), heartbeat_seconds=3600)
        self.journal.append(info().to_entry())
        self.journal.append(opening())

    def live_until(self, seconds: int) -> None:
        self.journal.append(beat(seconds * 1_000_000))

    def pause(self) -> None:
        """Everything so far is on disk; the lock is still held."""
        self.journal.finish()


async def test_pieces_make_up_the_journal(ledger: Ledger, mine: MeterSettings) -> None:
    job = Job(mine)
    job.pause()
    assert await ship_journals(ledger, mine) == 1
    assert await ship_journals(ledger, mine) == 0
    with job.journal.path.open("ab") as file:
        file.write(b"00000000 a torn line without its end")
    assert await ship_journals(ledger, mine) == 0
    with job.journal.path.open("ab") as file:
        file.write(b"\n")
    assert await ship_journals(ledger, mine) == 1
    assert await shipped_journal(ledger, "run_test") == job.journal.path.read_bytes()
    job.journal.release()


async def test_a_lost_machines_job_is_settled_from_what_it_shipped(
    ledger: Ledger, mine: MeterSettings
) -> None:
    job = Job(mine)
    job.live_until(30)
    job.pause()
    await ship_journals(ledger, mine)
    assert await settle_lost(ledger, mine) == []
    (record,) = await settle_lost(ledger, mine, lost_seconds=-1)
    assert (record.job_id, record.status) == ("AJ_test", "recovered")
    (session,) = record.usage
    assert (session.quantity, session.certainty) == (Decimal(30), "bounded")
    assert await settle_lost(ledger, mine, lost_seconds=-1) == []
    job.journal.release()


async def test_a_machine_that_comes_back_is_not_counted_twice(
    ledger: Ledger, mine: MeterSettings
) -> None:
    job = Job(mine)
    job.live_until(30)
    job.live_until(40)
    job.journal.append(end(40_000_000))
    job.pause()
    whole = job.journal.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    await ledger.keep_journal_part("run_test", 0, b"".join(lines[:3]).decode())
    (lost,) = await settle_lost(ledger, mine, lost_seconds=-1)
    assert [item.quantity for item in lost.usage] == [Decimal(30)]
    job.journal.release()
    (back,) = await sweep(mine)
    assert back.job_id == lost.job_id
    usage = (await cost_record(ledger, lost.job_id)).usage
    assert [item.quantity for item in usage] == [Decimal(40)]
    assert back.revision == 2


async def test_what_is_settled_is_shipped_no_more(ledger: Ledger, mine: MeterSettings) -> None:
    job = Job(mine)
    job.journal.append(end(10_000_000))
    job.pause()
    await ship_journals(ledger, mine)
    job.journal.release()
    await sweep(mine)
    assert await shipped_journal(ledger, "run_test") == b""
    assert (await cost_record(ledger, "AJ_test")).status == "complete"
    assert await lost_runs(ledger, (await cost_record(ledger, "AJ_test")).ended_at) == []


async def test_what_cannot_be_read_keeps_no_other_waiting(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await ledger.keep_journal_part("run_a_corrupt", 0, "00000000 {}\n")
    job = Job(mine)
    job.live_until(5)
    job.pause()
    await ship_journals(ledger, mine)
    assert [record.job_id for record in await settle_lost(ledger, mine, lost_seconds=-1)] == [
        "AJ_test"
    ]
    job.journal.release()
