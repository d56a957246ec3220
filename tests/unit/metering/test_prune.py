"""Old journals and usage can go; what they came to stays, and is never counted again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from metering.errors import LedgerError
from metering.journal import JournalWriter
from metering.ledger import schema
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.ledger.upkeep import prune_usage, pruned_at, refuse_pruned
from metering.ledger.usage_queries import job_usage
from metering.run import Run
from metering.settings import MeterSettings
from metering.settle import settle_run
from metering.sweeping import sweep
from metering.upkeep.prune import Pruned, What, prune
from metering.upkeep.verify import verify
from tests.unit.metering.old import OLD, journal_of, old_run, old_usage
from tests.unit.metering.samples import settings

THE_DAY_AFTER = date(2025, 4, 1)
LATER = date(2025, 5, 1)


@pytest.fixture
def mine(tmp_path: Path, store_url: str) -> MeterSettings:
    return settings(tmp_path, database_url=store_url)


@pytest.fixture
async def ledger(mine: MeterSettings) -> AsyncIterator[Ledger]:
    async with Ledger(mine.ledger_url) as ledger:
        yield ledger


async def settled(mine: MeterSettings, one: Run) -> Path:
    """Settle a run by its journal; returns where that journal is then."""
    path = journal_of(one, mine.journals_path)
    (record,) = await sweep(mine)
    assert record.job_id == one.info.job_id
    return path.parent / "settled" / path.name


async def stored_usage(ledger: Ledger) -> int:
    query = select(func.count()).select_from(schema.usage)
    return await ledger.read(lambda connection: connection.scalar(query) or 0)


def told(pruned: Pruned) -> tuple[int, int, int]:
    return pruned.journals, pruned.jobs, pruned.instances


async def test_usage_goes_and_what_it_came_to_stays(ledger: Ledger, mine: MeterSettings) -> None:
    journal = await settled(mine, old_run(old_usage(), old_usage(instance_id="b")))
    before = await cost_record(ledger, "AJ_test")
    assert told(await prune(mine, LATER, what=What.USAGE)) == (0, 1, 2)
    assert journal.exists()
    assert await stored_usage(ledger) == 0
    after = await cost_record(ledger, "AJ_test")
    assert after == before.model_copy(update={"usage": []})
    assert await pruned_at(ledger, "AJ_test") is not None
    verdict = await verify(mine)
    assert (verdict.jobs, verdict.journals, verdict.pruned) == (1, 1, 1)
    assert verdict.discrepancies == []


async def test_a_second_time_there_is_nothing_left(ledger: Ledger, mine: MeterSettings) -> None:
    await settled(mine, old_run())
    assert told(await prune(mine, LATER)) == (1, 1, 1)
    assert await prune(mine, LATER) == Pruned(before=LATER, dry_run=False)


@pytest.mark.parametrize(
    ("what", "removed"),
    [(What.JOURNALS, (1, 0, 0)), (What.USAGE, (0, 1, 1)), (What.ALL, (1, 1, 1))],
)
async def test_what_goes_is_what_was_said(
    ledger: Ledger, mine: MeterSettings, what: What, removed: tuple[int, int, int]
) -> None:
    journal = await settled(mine, old_run())
    dry = await prune(mine, LATER, what=what, dry_run=True)
    assert told(dry) == removed
    assert journal.exists()
    assert await stored_usage(ledger) == 1
    assert told(await prune(mine, LATER, what=what)) == removed
    assert journal.exists() == (removed[0] == 0)
    assert await stored_usage(ledger) == (removed[1] == 0)
    assert (await verify(mine)).discrepancies == []


@pytest.mark.parametrize(("lasting", "removed"), [(119.999, (1, 1, 1)), (120, (0, 0, 0))])
async def test_a_day_ends_at_midnight_utc(
    ledger: Ledger, mine: MeterSettings, lasting: float, removed: tuple[int, int, int]
) -> None:
    """The run began two minutes before."""
    await settled(mine, old_run(lasting=lasting))
    assert told(await prune(mine, THE_DAY_AFTER)) == removed


async def test_an_instance_that_was_pruned_is_not_counted_again(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await settled(mine, old_run())
    await prune(mine, LATER)
    late = await settle_run(old_run(run_id="run_2", job_id="AJ_2"), ledger, mine)
    assert late.charges == []
    assert await job_usage(ledger, "AJ_2") == []
    assert (await verify(mine)).discrepancies == []


async def test_an_instance_that_nobody_pays_for_is_still_found(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await settled(mine, old_run())
    await prune(mine, LATER)
    await settle_run(old_run(old_usage(instance_id="b"), job_id="AJ_2", run_id="r"), ledger, mine)
    await ledger.write(
        lambda connection: connection.execute(
            schema.claims.delete().where(schema.claims.c.instance_id == "b")
        )
    )
    found = [item.where for item in (await verify(mine)).discrepancies]
    assert found == ["b", "AJ_2"]


async def test_what_a_late_run_adds_is_named_and_stays(ledger: Ledger, mine: MeterSettings) -> None:
    """Its machine was away for a month; the store has forgotten what it was the second run of."""
    await settled(mine, old_run())
    await prune(mine, LATER)
    await ledger.store_run(old_run(old_usage(), old_usage(instance_id="b"), run_id="run_2"))
    (found,) = (await verify(mine)).discrepancies
    assert found.where == "AJ_test"
    assert found.what == "1 instances were reported after its usage was pruned: in no rating"
    (kept,) = (await prune(mine, LATER)).kept
    assert kept.where == "AJ_test"
    assert await stored_usage(ledger) == 2


async def test_a_late_run_that_adds_nothing_is_pruned_too(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await settled(mine, old_run())
    await prune(mine, LATER)
    await ledger.store_run(old_run(run_id="run_2"))
    assert (await verify(mine)).discrepancies == []
    assert told(await prune(mine, LATER)) == (0, 1, 1)


async def test_a_pruned_job_is_not_rated_again(ledger: Ledger, mine: MeterSettings) -> None:
    await settled(mine, old_run())
    await refuse_pruned(ledger, "AJ_test")
    await prune(mine, LATER)
    with pytest.raises(LedgerError, match=r"^usage of job 'AJ_test' was pruned at 20\S+Z: its"):
        await refuse_pruned(ledger, "AJ_test")


async def test_what_was_never_rated_stays(ledger: Ledger, mine: MeterSettings) -> None:
    await ledger.store_run(old_run())
    (kept,) = (await prune(mine, LATER)).kept
    assert (kept.where, kept.why) == (
        "AJ_test",
        "it was never rated by a rate card: rerate it first",
    )
    assert await stored_usage(ledger) == 1


async def test_what_a_broken_rate_file_has_rated_stays(
    ledger: Ledger, mine: MeterSettings, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("[[rate]]\nmeter = 3\n")
    broken = mine.model_copy(update={"rates": tmp_path / "mine.toml"})
    await settle_run(old_run(), ledger, broken)
    (kept,) = (await prune(mine, LATER)).kept
    assert kept.why == "it was never rated by a rate card: rerate it first"


async def test_a_job_that_has_had_a_run_since_it_was_rated_stays(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await settle_run(old_run(), ledger, mine)
    ratings = schema.ratings
    await ledger.write(lambda connection: connection.execute(ratings.update().values(rated_at=OLD)))
    await ledger.store_run(old_run(old_usage(instance_id="b"), run_id="run_2"))
    (kept,) = (await prune(mine, LATER)).kept
    assert kept.why == "it was last rated before it ended: rerate it first"
    assert await prune_usage(ledger, "AJ_test", OLD.replace(month=5)) == 0
    assert await stored_usage(ledger) == 2


async def test_a_job_that_runs_again_stays(ledger: Ledger, mine: MeterSettings) -> None:
    await settled(mine, old_run())
    again = old_run(run_id="run_2")
    journal = JournalWriter(mine.journals_path / "run_2.journal", beat=tuple)
    journal.append(again.info.to_entry())
    journal.finish()
    try:
        (kept,) = (await prune(mine, LATER)).kept
    finally:
        journal.release()
    assert (kept.where, kept.why) == ("AJ_test", "it has a journal that is not settled")
    assert journal.path.exists()
    assert await stored_usage(ledger) == 1


async def test_a_job_that_runs_on_another_machine_stays(
    ledger: Ledger, mine: MeterSettings, tmp_path: Path
) -> None:
    await settled(mine, old_run())
    again = journal_of(old_run(run_id="run_2"), tmp_path / "elsewhere")
    await ledger.keep_journal_part("run_2", 0, again.read_text("ascii"))
    pruned = await prune(mine, LATER, what=What.USAGE)
    assert [item.where for item in pruned.kept] == ["AJ_test"]


async def test_a_journal_whose_run_is_not_in_the_store_stays(mine: MeterSettings) -> None:
    path = journal_of(old_run(), mine.journals_path / "settled")
    path.with_name("torn.journal").write_bytes(b"no head\n")
    pruned = await prune(mine, LATER)
    assert [(item.where, item.why) for item in pruned.kept] == [
        ("run_test.journal", "its run is not in the store"),
        ("torn.journal", "it does not say whose run it is"),
    ]
    assert path.exists()


async def test_unsettled_and_unreadable_journals_stay(mine: MeterSettings) -> None:
    unsettled = journal_of(old_run(), mine.journals_path)
    unreadable = journal_of(old_run(run_id="r"), mine.journals_path / "unreadable")
    assert told(await prune(mine, LATER)) == (0, 0, 0)
    assert unsettled.exists()
    assert unreadable.exists()


async def test_many_jobs(ledger: Ledger, mine: MeterSettings) -> None:
    """More than one page of them."""
    for number in range(205):
        used = old_usage(instance_id=f"i{number}", quantity=Decimal(number))
        await settle_run(old_run(used, run_id=f"r{number}", job_id=f"AJ_{number}"), ledger, mine)
    assert told(await prune(mine, LATER)) == (0, 205, 205)
    verdict = await verify(mine)
    assert (verdict.jobs, verdict.pruned, verdict.discrepancies) == (205, 205, [])


async def test_a_late_run_does_not_change_what_was_rated(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await settled(mine, old_run())
    await prune(mine, LATER)
    before = await cost_record(ledger, "AJ_test")
    late = old_run(old_usage(instance_id="b"), run_id="run_2")
    record = await settle_run(late, ledger, mine)
    assert (record.revision, record.charges) == (before.revision, before.charges)
