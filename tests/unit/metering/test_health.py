"""When metering itself fails, a metric says so, and a line in the log."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from metering import health, sweeper
from metering.backlog import Backlog, look
from metering.health import Operation
from metering.journal import JournalWriter
from metering.settings import MeterSettings
from tests.unit.metering.old import journal_of, old_run
from tests.unit.metering.samples import settings
from tests.unit.metering.test_settings import VARIABLES

IN_A_JOB = """
from metering import health
from metering.health import Operation
health.failed(Operation.JOURNAL)
health.failed(Operation.JOURNAL)
"""
PAGE = """
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from metering import health
from metering.backlog import Backlog
health.publish(Backlog(unsettled=3, unsettled_seconds=70), swept=True)
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeterSettings:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    return settings(tmp_path)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tallyroom_{name}", labels) or 0


def failures(operation: Operation) -> float:
    return metric("metering_failures_total", operation=operation.value)


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def backlog_of(mine: MeterSettings) -> Backlog:
    return look(mine.journals_path, mine.journals_path / "unreadable")


def test_failures_are_counted_by_operation() -> None:
    before = {operation: failures(operation) for operation in Operation}
    health.failed(Operation.JOURNAL)
    after = {operation: failures(operation) for operation in Operation}
    assert after == before | {Operation.JOURNAL: before[Operation.JOURNAL] + 1}


def test_every_operation_is_there_from_the_start() -> None:
    health.publish(Backlog(), swept=False)
    for operation in Operation:
        labels = {"operation": operation.value}
        found = REGISTRY.get_sample_value("tallyroom_metering_failures_total", labels)
        assert found is not None


def test_nothing_to_see(mine: MeterSettings) -> None:
    assert backlog_of(mine) == Backlog()
    assert Backlog().complaint == ""


def test_what_waits_is_seen(mine: MeterSettings) -> None:
    aged(journal_of(old_run(run_id="a"), mine.journals_path), 1000)
    aged(journal_of(old_run(run_id="b"), mine.journals_path), 400)
    journal_of(old_run(run_id="c"), mine.journals_path / "unreadable")
    journal_of(old_run(run_id="d"), mine.journals_path / "settled")
    found = backlog_of(mine)
    assert (found.unsettled, found.stalled, found.unreadable) == (2, 0, 1)
    assert 1000 <= found.unsettled_seconds < 1060
    assert found.complaint.startswith("2 journals are not settled, the oldest for 10")


@pytest.mark.parametrize(("silent", "stalled"), [(0, 0), (60, 1)])
def test_a_living_job_whose_journal_stands_still(
    mine: MeterSettings, silent: float, stalled: int
) -> None:
    journal = JournalWriter(mine.journals_path / "a.journal", beat=tuple)
    journal.finish()
    try:
        aged(journal.path, silent)
        found = backlog_of(mine)
        assert (found.unsettled, found.stalled) == (0, stalled)
        told = "1 journals of living jobs are not being written" if stalled else ""
        assert found.complaint == told
    finally:
        journal.release()


def test_what_waits_is_published() -> None:
    health.publish(
        Backlog(unsettled=3, unsettled_seconds=70.5, stalled=2, unreadable=1), swept=False
    )
    assert metric("unsettled_journals") == 3
    assert metric("unsettled_journal_age_seconds") == 70.5
    assert metric("stalled_journals") == 2
    assert metric("unreadable_journals") == 1
    before = time.time()
    health.publish(Backlog(), swept=True)
    assert metric("unsettled_journals") == 0
    assert metric("last_sweep_timestamp_seconds") >= before


def test_what_cannot_be_counted_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(health, "_metrics", fail)
    health.failed(Operation.SETTLE)
    health.publish(Backlog(), swept=True)


def test_what_jobs_count_is_on_the_workers_page(tmp_path: Path) -> None:
    """As livekit-agents serves it where PROMETHEUS_MULTIPROC_DIR is set."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def told(code: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    told(IN_A_JOB)
    told(IN_A_JOB)
    page = told(PAGE).splitlines()
    assert 'tallyroom_metering_failures_total{operation="journal"} 4.0' in page
    assert 'tallyroom_metering_failures_total{operation="settle"} 0.0' in page
    assert "tallyroom_unsettled_journals 3.0" in page
    assert "tallyroom_unsettled_journal_age_seconds 70.0" in page


def test_the_client_is_loaded_only_when_it_is_needed() -> None:
    code = "import metering.health, sys; print('prometheus_client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


async def test_the_sweeper_says_how_it_goes(
    mine: MeterSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is corrupt, and one that is there again."""
    caplog.set_level(logging.WARNING, "tallyroom.metering")
    aged(journal_of(old_run(), mine.journals_path), 1000)
    store = mine.data_path / "ledger.sqlite3"
    store.write_bytes(b"a letter to my mother\n" * 100)
    before = failures(Operation.SETTLE)
    sweeps: asyncio.Queue[bool] = asyncio.Queue()
    loop, publish = asyncio.get_running_loop(), health.publish

    def published(backlog: Backlog, *, swept: bool) -> None:
        publish(backlog, swept=swept)
        loop.call_soon_threadsafe(sweeps.put_nowait, swept)

    monkeypatch.setattr(health, "publish", published)
    sweeping = asyncio.create_task(sweeper.sweep_forever(0.01))
    try:
        for _ in range(3):
            assert not await sweeps.get()
        assert failures(Operation.SETTLE) >= before + 2
        assert metric("unsettled_journals") == 1
        assert metric("unsettled_journal_age_seconds") >= 1000
        store.unlink()
        while not await sweeps.get():
            pass
        assert metric("unsettled_journals") == 0
        await sweeps.get()  # By now the one before has said what it had to.
    finally:
        sweeping.cancel()
    said = [record.getMessage() for record in caplog.records if "metering" in record.getMessage()]
    assert [line.partition(":")[0] for line in said] == [
        "metering is failing",
        "metering cannot settle now",
        "metering works again",
        "metering can settle again",
    ]
    assert "corrupt" in said[1]


async def test_the_sweeper_goes_on_whatever_is_raised(
    mine: MeterSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps: asyncio.Queue[None] = asyncio.Queue()

    async def fail(*_: object, **__: object) -> None:
        sweeps.put_nowait(None)
        raise RuntimeError("somebody's words")

    monkeypatch.setattr("metering.sweeping.sweep", fail)
    sweeping = asyncio.create_task(sweeper.sweep_forever(0.01))
    try:
        for _ in range(3):
            await sweeps.get()
    finally:
        sweeping.cancel()
    assert caplog.text.count("metering cannot settle now: RuntimeError") == 1
    assert "somebody" not in caplog.text
