from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from metering import sweeping
from metering.errors import JournalCorrupt, JournalError, LedgerError
from metering.job_meter import record_declined
from metering.journal import JournalWriter
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.line import Turn
from metering.record import CostRecord
from metering.run import AnyRun, Status
from metering.settings import MeterSettings
from metering.settle import rate_job, settle_run, settle_runs
from metering.sweeping import running, settle_at_end, settle_journal, sweep
from tests.journals import is_free
from tests.unit.metering.samples import (
    beat,
    closing,
    end,
    info,
    opening,
    run,
    settings,
    usage,
    write_journal,
)
from tests.waiting import until

SECOND = 1_000_000
MY_PRICE = """\
[[rate]]
provider = "acme"
meter = "llm_input_tokens"
price = "2"
unit = "million tokens"
"""


@pytest.fixture
def mine(tmp_path: Path, store_url: str) -> MeterSettings:
    return settings(tmp_path, database_url=store_url)


@pytest.fixture
async def ledger(mine: MeterSettings) -> AsyncIterator[Ledger]:
    async with Ledger(mine.ledger_url) as ledger:
        yield ledger


def tokens(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "instance_id": "acme/req-1",
        "meter": "llm_input_tokens",
        "provider": "acme",
        "model": "m-1",
        "unit": "token",
        "quantity": Decimal(1500),
    }
    return usage(**values | changes)


def a_journal(folder: Path, number: int = 1, **head: Any) -> Path:
    """A run that was killed two seconds into somebody's connection."""
    name = f"run_{number}"
    return write_journal(
        folder,
        info(run_id=name, job_id=f"AJ_{number}", **head).to_entry(),
        opening(f"connection-{number}"),
        beat(2 * SECOND),
        name=name,
    )


def an_ended_run(mine: MeterSettings) -> JournalWriter:
    """The finished journal, still locked, of a job that ends: one connection of a minute."""
    journal = JournalWriter(mine.journals_path / "run_test.journal", beat=tuple)
    for entry in (info().to_entry(), closing(usage(), at=60 * SECOND), end(60 * SECOND)):
        journal.append(entry)
    journal.finish()
    return journal


@pytest.fixture
def everyone_waits(mine: MeterSettings, monkeypatch: pytest.MonkeyPatch) -> Turn:
    """Somebody's turn on a machine that gives one at a time."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    mine.journals_path.mkdir(parents=True)
    return Turn(mine.journals_path)


@contextlib.contextmanager
def refusing(job_id: str) -> Iterator[None]:
    """The store has no room for one job."""
    real = settle_runs

    async def fail(runs: Sequence[AnyRun], *rest: Any) -> list[CostRecord]:
        if any(run.info.job_id == job_id for run in runs):
            raise LedgerError("disk is full")
        return await real(runs, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweeping, "settle_runs", fail)
        yield


async def test_a_run_is_stored_rated_and_returned(ledger: Ledger, mine: MeterSettings) -> None:
    record = await settle_run(run(usage()), ledger, mine)
    assert record == await cost_record(ledger, "AJ_test")
    assert record.revision == 1
    (charge,) = record.charges
    assert (charge.state, charge.provider) == ("priced", "self-hosted")
    assert charge.list_cost == 0
    assert record.rate_card


async def test_the_same_run_settled_again_changes_nothing(
    ledger: Ledger, mine: MeterSettings
) -> None:
    first = await settle_run(run(usage()), ledger, mine)
    assert await settle_run(run(usage(), usage(instance_id="b")), ledger, mine) == first


async def test_a_second_run_of_a_job_is_a_new_rating_of_both(
    ledger: Ledger, mine: MeterSettings
) -> None:
    await settle_run(run(usage()), ledger, mine)
    record = await settle_run(run(usage(instance_id="b"), run_id="run_2"), ledger, mine)
    assert record.revision == 2
    (charge,) = record.charges
    assert charge.instances == 2


async def test_a_second_run_that_was_stored_and_not_rated_is_rated_when_settled_again(
    ledger: Ledger, mine: MeterSettings
) -> None:
    """Whoever settled it was killed between the two."""
    await settle_run(run(tokens()), ledger, mine)
    second = run(tokens(instance_id="acme/req-2"), run_id="run_2")
    assert await ledger.store_run(second)
    record = await settle_run(second, ledger, mine)
    assert record.revision == 2
    assert [charge.instances for charge in record.charges] == [2]
    assert (await settle_run(second, ledger, mine)).revision == 2


async def test_what_was_stored_and_not_rated_is_rated_when_settled_again(
    ledger: Ledger, mine: MeterSettings
) -> None:
    """The process was killed between the two."""
    await ledger.store_run(run(usage()))
    assert (await settle_run(run(usage()), ledger, mine)).revision == 1


async def test_what_has_no_rate_is_unrated_and_never_zero(
    ledger: Ledger, mine: MeterSettings
) -> None:
    record = await settle_run(run(tokens()), ledger, mine)
    (charge,) = record.charges
    assert (charge.state, charge.list_cost, charge.unit_price) == ("unrated", None, None)
    (missing,) = record.unrated
    assert (missing.provider, missing.model, missing.quantity) == ("acme", "m-1", Decimal(1500))


@pytest.mark.parametrize("broken", ["[[rate]", '[[rate]]\nprovider = "acme"\n', None])
async def test_a_broken_rate_file_costs_no_measurement(
    tmp_path: Path, ledger: Ledger, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    rates = tmp_path / "mine.toml"
    if broken is not None:
        rates.write_text(broken)
    mine = settings(tmp_path, rates=rates)
    record = await settle_run(run(usage(), tokens()), ledger, mine)
    assert [charge.state for charge in record.charges] == ["unrated", "unrated"]
    assert all(charge.reason.startswith("rates cannot be used: ") for charge in record.charges)
    assert all("mine.toml" in charge.reason for charge in record.charges)
    assert len(record.unrated) == len(record.usage) == 2
    assert (record.revision, record.rate_card) == (1, "")
    assert "the rates cannot be used, charges stay unrated" in caplog.text

    rates.write_text(MY_PRICE)
    repaired = await rate_job(record.job_id, ledger, mine)
    assert repaired.revision == 2
    assert repaired.unrated == []
    costs = {charge.meter: charge.list_cost for charge in repaired.charges}
    assert costs == {"participant_connection": 0, "llm_input_tokens": Decimal("0.003")}
    assert repaired.list_cost == Decimal("0.003")
    assert repaired.rate_card


async def test_a_journal_is_settled_logged_and_retired(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tallyroom.metering")
    hostile = "../x\n\x1b[31m🦄"
    path = write_journal(
        tmp_path,
        info(room_name=hostile, title=hostile, tags=(hostile,)).to_entry(),
        {"kind": "person", "identity": hostile, "name": hostile},
        opening(usage().instance_id, participant=hostile),
        closing(usage(participant=hostile), at=60 * SECOND),
        end(60 * SECOND),
    )
    await settle_journal(path, ledger, mine)
    record = await cost_record(ledger, "AJ_test")
    assert record.status is Status.COMPLETE
    assert (record.room_name, record.title, record.tags) == (hostile, hostile, [hostile])
    assert record.usage[0].participant == hostile
    assert not path.exists()
    assert (path.parent / "settled" / path.name).exists()
    (logged,) = [line for line in caplog.records if line.getMessage() == "cost_record"]
    line = vars(logged)["cost_record"]
    assert line == record.for_log()
    assert hostile not in str(line)
    assert "x1b" not in str(line)


async def test_a_job_that_ends_is_settled_on_a_thread(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings
) -> None:
    journal = an_ended_run(mine)
    await asyncio.to_thread(settle_at_end, journal, mine)
    assert not journal.path.exists()
    record = await cost_record(ledger, "AJ_test")
    assert (record.revision, len(record.usage), len(record.charges)) == (1, 1, 1)


async def test_a_job_that_ends_settles_those_who_wait(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings
) -> None:
    waiting = [a_journal(tmp_path, number) for number in (1, 2)]
    await asyncio.to_thread(settle_at_end, an_ended_run(mine), mine)
    assert not any(path.exists() for path in waiting)
    for job_id in ("AJ_test", "AJ_1", "AJ_2"):
        record = await cost_record(ledger, job_id)
        assert (record.revision, len(record.usage), len(record.charges)) == (1, 1, 1)


async def test_a_job_that_waits_is_done_once_another_has_settled_it(
    ledger: Ledger, mine: MeterSettings, everyone_waits: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tallyroom.metering")
    journal = an_ended_run(mine)
    waiting = asyncio.create_task(asyncio.to_thread(settle_at_end, journal, mine))
    # It has handed its journal over by the time that somebody can settle it.
    await until(lambda: is_free(journal.path))
    assert [record.job_id for record in await sweep(mine)] == ["AJ_test"]
    assert not waiting.done()
    everyone_waits.give_up()
    await waiting
    assert [line.getMessage() for line in caplog.records].count("cost_record") == 1
    assert (await cost_record(ledger, "AJ_test")).revision == 1


async def test_a_job_that_waits_settles_itself_when_its_turn_comes(
    ledger: Ledger, mine: MeterSettings, everyone_waits: Turn
) -> None:
    journal = an_ended_run(mine)
    waiting = asyncio.create_task(asyncio.to_thread(settle_at_end, journal, mine))
    await until(lambda: is_free(journal.path))
    everyone_waits.give_up()
    await waiting
    assert not journal.path.exists()
    assert (await cost_record(ledger, "AJ_test")).revision == 1


async def test_who_waits_for_a_job_is_in_nobodys_way(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """One that cannot be read is put aside; one that cannot be stored waits for its own turn."""
    corrupt = write_journal(tmp_path, beat(1), name="corrupt")
    poisoned = a_journal(tmp_path, 1)
    with refusing("AJ_1"):
        await asyncio.to_thread(settle_at_end, an_ended_run(mine), mine)
    assert (await cost_record(ledger, "AJ_test")).revision == 1
    assert (corrupt.parent / "unreadable" / corrupt.name).exists()
    assert poisoned.exists()
    assert [record.job_id for record in await sweep(mine)] == ["AJ_1"]


async def test_two_runs_of_a_job_are_settled_as_one_rating(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings
) -> None:
    for name in ("run_1", "run_2"):
        write_journal(
            tmp_path,
            info(run_id=name).to_entry(),
            closing(usage(instance_id=name), at=SECOND),
            end(SECOND),
            name=name,
        )
    (settled,) = await sweep(mine)
    assert (settled.revision, settled.run_ids) == (1, ["run_1", "run_2"])
    (charge,) = settled.charges
    assert charge.instances == 2


async def test_a_sweep_has_records_without_their_usage(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings
) -> None:
    a_journal(tmp_path)
    (record,) = await sweep(mine)
    whole = await cost_record(ledger, "AJ_1")
    assert (record.usage, len(whole.usage)) == ([], 1)
    assert record.for_log() == whole.for_log()


async def test_a_dead_jobs_journal_is_swept_as_recovered(
    tmp_path: Path, mine: MeterSettings
) -> None:
    a_journal(tmp_path)
    (record,) = await sweep(mine)
    assert (record.job_id, record.status) == ("AJ_1", Status.RECOVERED)
    async with Ledger(mine.ledger_url) as ledger:
        (connection,) = (await cost_record(ledger, "AJ_1")).usage
    assert (connection.quantity, connection.certainty) == (Decimal(2), "bounded")
    assert (connection.quantity_lower, connection.quantity_upper) == (Decimal(2), Decimal(4))
    assert await sweep(mine) == []


async def test_sweeping_nothing_makes_the_store(mine: MeterSettings) -> None:
    assert await sweep(mine) == []
    async with Ledger(mine.ledger_url) as ledger:
        assert await list_jobs(ledger) == []


async def test_a_living_run_is_not_swept(tmp_path: Path, mine: MeterSettings) -> None:
    journal = JournalWriter(mine.journals_path / "run_test.journal", beat=tuple)
    journal.append(info().to_entry())
    a_journal(tmp_path)
    assert [record.job_id for record in await sweep(mine)] == ["AJ_1"]
    assert journal.path.exists()
    journal.finish()
    assert await sweep(mine) == []
    journal.release()
    assert [record.job_id for record in await sweep(mine)] == ["AJ_test"]


async def test_a_journal_of_nobody_is_put_aside(
    tmp_path: Path, mine: MeterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    corrupt = write_journal(tmp_path, beat(1), name="a_corrupt")
    empty = write_journal(tmp_path, name="b_empty")
    a_journal(tmp_path)
    assert [record.job_id for record in await sweep(mine)] == ["AJ_1"]
    for path in (corrupt, empty):
        assert not path.exists()
        assert (path.parent / "unreadable" / path.name).exists()
    assert caplog.text.count("a journal cannot be read, kept at") == 2
    assert await sweep(mine) == []


async def test_one_journal_that_cannot_be_opened_keeps_no_other_waiting(
    tmp_path: Path, mine: MeterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    (mine.journals_path / "a_folder.journal").mkdir(parents=True)
    a_journal(tmp_path)
    assert [record.job_id for record in await sweep(mine)] == ["AJ_1"]
    assert "a journal cannot be settled yet: cannot open journal" in caplog.text


async def test_one_journal_that_cannot_be_stored_stays_and_keeps_no_other_waiting(
    tmp_path: Path,
    mine: MeterSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, _ = a_journal(tmp_path, 1), a_journal(tmp_path, 2)
    with refusing("AJ_1"):
        assert [record.job_id for record in await sweep(mine)] == ["AJ_2"]
    assert kept.exists()
    assert "a journal cannot be settled yet: disk is full" in caplog.text
    assert [record.job_id for record in await sweep(mine)] == ["AJ_1"]


async def test_what_no_database_can_hold_is_replaced(tmp_path: Path, mine: MeterSettings) -> None:
    """Half of a surrogate pair and NUL are text to JSON and to Python."""
    a_journal(tmp_path, 1, title="a\ud800b\x00c")
    (record,) = await sweep(mine)
    assert record.title == "a\ufffdb\ufffdc"


async def test_a_surprise_in_one_journal_keeps_no_other_waiting(
    tmp_path: Path,
    mine: MeterSettings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poisoned = a_journal(tmp_path, 1, title="poison")
    a_journal(tmp_path, 2)
    store_runs = Ledger.store_runs

    async def surprise(ledger: Ledger, runs: Sequence[AnyRun]) -> set[str]:
        if any(run.info.title == "poison" for run in runs):
            raise RuntimeError("a driver's own")
        return await store_runs(ledger, runs)

    monkeypatch.setattr(Ledger, "store_runs", surprise)
    assert [record.job_id for record in await sweep(mine)] == ["AJ_2"]
    assert poisoned.exists()
    assert "a journal cannot be settled yet" in caplog.text


async def test_a_settled_journal_that_cannot_be_moved_is_counted_once(
    tmp_path: Path, mine: MeterSettings, caplog: pytest.LogCaptureFixture
) -> None:
    path = a_journal(tmp_path)
    (path.parent / "settled").write_text("no folder")
    for _ in range(2):
        assert await sweep(mine) == []
    assert "cannot move journal" in caplog.text
    async with Ledger(mine.ledger_url) as ledger:
        record = await cost_record(ledger, "AJ_1")
        assert record.revision == 1
        assert len(record.usage) == 1


async def test_without_a_store_every_journal_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    mine = settings(
        tmp_path, database_url=f"sqlite+aiosqlite:///{tmp_path}/file/data/ledger.sqlite3"
    )
    path = a_journal(tmp_path)
    with pytest.raises(LedgerError, match="Not a directory"):
        await sweep(mine)
    assert path.exists()
    assert [record.job_id for record in await sweep(settings(tmp_path))] == ["AJ_1"]


async def test_a_journal_that_names_nobody_is_not_settled(
    tmp_path: Path, ledger: Ledger, mine: MeterSettings
) -> None:
    path = write_journal(tmp_path, beat(1))
    with pytest.raises(JournalCorrupt):
        await settle_journal(path, ledger, mine)
    assert path.exists()


async def test_a_declined_job_has_a_record_that_says_why(mine: MeterSettings) -> None:
    await record_declined(info(), "'title' is longer than 200 characters", settings=mine)
    async with Ledger(mine.ledger_url) as ledger:
        record = await cost_record(ledger, "AJ_test")
    assert (record.status, record.error) == (
        Status.DECLINED,
        "'title' is longer than 200 characters",
    )
    assert record.started_at == record.ended_at
    assert (record.usage, record.charges, record.unrated) == ([], [], [])


async def test_a_declined_job_is_kept_while_the_store_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    away = settings(
        tmp_path, database_url=f"sqlite+aiosqlite:///{tmp_path}/file/data/ledger.sqlite3"
    )
    await record_declined(info(), "no", settings=away)
    assert "a declined job is not settled yet" in caplog.text
    (record,) = await sweep(settings(tmp_path))
    assert record.status is Status.DECLINED


async def test_a_declined_job_that_cannot_even_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot create journal"):
        await record_declined(info(), "no", settings=settings(tmp_path / "file" / "data"))


async def test_only_what_lives_is_running(tmp_path: Path, mine: MeterSettings) -> None:
    assert running(mine) == []
    a_journal(tmp_path)
    (mine.journals_path / "folder.journal").mkdir()
    journals = []
    for name, ended in (("run_a", False), ("run_b", True)):
        journal = JournalWriter(mine.journals_path / f"{name}.journal", beat=tuple)
        journals.append(journal)
        journal.append(info(run_id=name, job_id=f"AJ_{name}").to_entry())
        if ended:
            journal.append(end(SECOND))
        journal.finish()
    JournalWriter(mine.journals_path / "unbegun.journal", beat=tuple).finish()
    (found,) = running(mine)
    assert (found.info.job_id, found.status) == ("AJ_run_a", Status.RUNNING)
    for journal in journals:
        journal.release()
    assert running(mine) == []


async def test_no_rating_is_lost_by_rating_again(ledger: Ledger, mine: MeterSettings) -> None:
    record = await settle_run(run(usage()), ledger, mine)
    again = await rate_job(record.job_id, ledger, mine)
    assert again.revision == 2
    assert again.charges == record.charges
    async with ledger.reading() as connection:
        kept = await connection.execute(text("SELECT revision FROM ratings ORDER BY revision"))
        assert [revision for (revision,) in kept] == [1, 2]
