"""How time and memory grow with the instances of a job, and with the jobs in a store.

`python -m benchmarks.growth`; `--largest 1000000` takes some minutes, `--quick` shows that it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from metering.billing.period import parse_period
from metering.clock import utc_now
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.reports.statements import state_month
from metering.sweeping import settle_journal

from .jobs import settings, write_journal
from .report import percentile, print_machine, print_table

_REPEATS = 20
_INSTANCES_OF_STORED = 4
_MOST_STATED = 100_000
"""A statement that says what each job cost holds them all."""
_INSTANCES_OF_NEXT = 40
_TABLES = ("jobs", "runs", "usage", "claims", "ratings", "charges")
_OF_EACH_JOB = ("job_id", "run_id", "instance_id")


def sizes_up_to(largest: int) -> list[int]:
    """Powers of ten from 10^3, or the largest alone where that is smaller."""
    sizes = [size for power in range(3, 10) if (size := 10**power) <= largest]
    return sizes or [largest]


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status: this needs Linux")


async def settle(folder: Path, journal: Path) -> None:
    """Settle a journal on a store that is opened for it."""
    mine = settings(folder)
    async with Ledger(mine.ledger_url) as ledger:
        await settle_journal(journal, ledger, mine)


def settle_one(folder: Path, size: int) -> dict[str, float]:
    """In a process of its own: settle a job of so many instances."""
    before = peak_bytes()
    began = time.perf_counter()
    asyncio.run(settle(folder, folder / "journals" / "run_1.journal"))
    return {"seconds": time.perf_counter() - began, "before": before, "peak": peak_bytes()}


def show_one(folder: Path, size: int) -> dict[str, float]:
    """In a process of its own: read the whole record of that job, every instance on it."""

    async def show() -> int:
        async with Ledger(settings(folder).ledger_url) as ledger:
            return len((await cost_record(ledger, "AJ_1")).usage)

    before = peak_bytes()
    began = time.perf_counter()
    found = asyncio.run(show())
    if found != size:
        raise RuntimeError(f"{found} of {size} instances are on the record")
    return {"seconds": time.perf_counter() - began, "before": before, "peak": peak_bytes()}


def use_store(folder: Path, size: int) -> dict[str, float]:
    """In a process of its own: settle the next jobs of a store with so many, and list them."""
    mine = settings(folder)
    repeats = min(_REPEATS, size)
    journals = [write_journal(folder, -1 - n, _INSTANCES_OF_NEXT) for n in range(repeats)]

    async def measure() -> dict[str, float]:
        async with Ledger(mine.ledger_url) as ledger:
            settling = iter(journals)

            async def settle_next() -> object:
                return await settle_journal(next(settling), ledger, mine)

            return {
                "settle": await _median(repeats, settle_next),
                "list": await _median(repeats, lambda: list_jobs(ledger)),
                "show": await _median(repeats, lambda: cost_record(ledger, "AJ_1")),
            }

    before = peak_bytes()
    return asyncio.run(measure()) | {"before": before, "peak": peak_bytes()}


def state_one(folder: Path, size: int) -> dict[str, float]:
    """In a process of its own: state the month of a store with so many jobs, job by job."""
    mine = settings(folder)

    async def state() -> int:
        async with Ledger(mine.ledger_url) as ledger:
            stated = await state_month(ledger, mine, parse_period(f"{utc_now():%Y-%m}", "UTC"))
        return len(stated.statement.bill.jobs) if stated.statement else 0

    before = peak_bytes()
    began = time.perf_counter()
    found = asyncio.run(state())
    return {
        "seconds": time.perf_counter() - began,
        "jobs": found,
        "before": before,
        "peak": peak_bytes(),
    }


async def _median(repeats: int, work: Callable[[], Awaitable[object]]) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - began)
    return percentile(seconds, 50)


def fill(folder: Path, size: int) -> None:
    """A store with so many jobs: one that was settled, and copies of its rows under other ids."""
    asyncio.run(settle(folder, write_journal(folder, 1, _INSTANCES_OF_STORED)))
    numbers = "WITH RECURSIVE copies(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM copies"
    numbers += f" WHERE n < {size})" if size > 1 else " LIMIT 0)"
    with closing(sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None)) as store:
        store.execute("BEGIN")
        for table in _TABLES:
            names = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            values = [_copied(name) for name in names]
            columns = ", ".join(f'"{name}"' for name in names)
            store.execute(
                f"INSERT INTO {table} ({columns}) {numbers}"
                f" SELECT {', '.join(values)} FROM copies, {table} WHERE job_id = 'AJ_1'"
            )
        store.execute("COMMIT")
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copied(name: str) -> str:
    if name in _OF_EACH_JOB:
        return f"\"{name}\" || '-' || n"
    if name in ("started_at", "ended_at"):
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', \"{name}\", '-' || n || ' seconds')"
    return f'"{name}"'


_IN_CHILD = {"settle": settle_one, "show": show_one, "use": use_store, "state": state_one}


def in_child(what: str, folder: Path, size: int) -> dict[str, float]:
    """Do one of the above in a new process, whose peak of memory is its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--child", what]
    command += ["--folder", str(folder), "--largest", str(size)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(ended.stdout)
    return measured


def measure_instances(folder: Path, sizes: list[int]) -> list[list[str]]:
    """A row for each size of job."""
    rows = []
    for size in sizes:
        place = folder / f"instances-{size}"
        journal = write_journal(place, 1, size)
        journal_bytes = journal.stat().st_size
        settled = in_child("settle", place, size)
        shown = in_child("show", place, size)
        rows.append(
            [
                f"{size:,}",
                f"{journal_bytes / 1e6:,.1f} MB",
                f"{settled['seconds']:,.2f} s",
                f"{settled['seconds'] / size * 1e6:,.0f} us",
                _grown(settled),
                f"{shown['seconds']:,.2f} s",
                _grown(shown),
            ]
        )
    return rows


def measure_jobs(folder: Path, sizes: list[int]) -> list[list[str]]:
    """A row for each size of store."""
    rows = []
    for size in sizes:
        place = folder / f"jobs-{size}"
        fill(place, size)
        used = in_child("use", place, size)
        rows.append(
            [
                f"{size:,}",
                f"{(place / 'ledger.sqlite3').stat().st_size / 1e6:,.0f} MB",
                *(f"{used[what] * 1000:,.1f} ms" for what in ("settle", "list", "show")),
                _grown(used),
                *_stated(place, size),
            ]
        )
    return rows


def _stated(place: Path, size: int) -> list[str]:
    if size > _MOST_STATED:
        return ["-", "-"]
    stated = in_child("state", place, size)
    return [f"{stated['seconds']:,.1f} s", _grown(stated)]


def _grown(measured: dict[str, Any]) -> str:
    peak, before = measured["peak"] / 1e6, measured["before"] / 1e6
    return f"{peak:,.0f} MB (+{peak - before:,.0f})"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=10**5, help="instances, and jobs")
    parser.add_argument("--quick", action="store_true", help="small sizes: only that it runs")
    parser.add_argument("--child", choices=_IN_CHILD, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    logging.getLogger("tallyroom.metering").setLevel(logging.ERROR)
    if asked.child:
        print(json.dumps(_IN_CHILD[asked.child](asked.folder, asked.largest)))
        return
    sizes = [20, 40] if asked.quick else sizes_up_to(asked.largest)
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as name:
        folder = Path(name)
        print_machine(folder=folder)
        print_table(
            "one job, a process each: journal read, stored, rated; and its whole record read",
            ["instances", "journal", "settled in", "per instance", "peak", "record in", "peak"],
            measure_instances(folder, sizes),
        )
        print_table(
            f"jobs of {_INSTANCES_OF_STORED} instances in one SQLite store; medians of"
            f" {min(_REPEATS, sizes[0])}: the next job of {_INSTANCES_OF_NEXT} settled, the newest"
            " 50 listed, one shown",
            ["jobs", "store", "settle", "list", "show", "peak", "month stated", "its peak"],
            measure_jobs(folder, sizes),
        )


if __name__ == "__main__":
    main()
