"""How long after a job's last event its record is durable, for one job and for 600 at once.

`python -m benchmarks.end_of_job`; `--quick` only shows that it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import secrets
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from metering.journal import SUFFIX
from metering.ledger.queries import cost_record, job_ids
from metering.ledger.store import Ledger
from metering.sweeping import SETTLED_FOLDER
from tests.postgres import NoPostgres, cluster

from .crowd import Done, run_crowd
from .jobs import info, instances, settings
from .one_job import hold, warm_up
from .report import percentile, print_machine, print_table

_FIRST_SINGLE = 1_000_000
"""Single jobs have numbers from here on: a crowd's begin at 0."""


@dataclass(frozen=True)
class Sizes:
    """How many jobs end at once, of how many instances each, and how many one after another."""

    jobs: int
    instances: int
    singles: int
    spread: float


@dataclass(frozen=True)
class Measured:
    """One store's figures."""

    name: str
    singles: list[float]
    crowd: Done
    missing: list[str]


def measure(name: str, folder: Path, url: str, sizes: Sizes) -> Measured:
    """One job after another, then all at once, on a store that is there and empty."""
    folder.mkdir()
    asyncio.run(_make_store(folder, url))
    singles = []
    for number in range(sizes.singles):
        command = [sys.executable, "-m", "benchmarks.one_job", "--folder", str(folder)]
        command += ["--number", str(_FIRST_SINGLE + number), "--instances", str(sizes.instances)]
        command += ["--url", url]
        singles.append(float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    # What a process loads once is loaded before anybody forks, by settling one more job.
    hold(folder, url, _FIRST_SINGLE + sizes.singles, sizes.instances)()

    def prepare(number: int) -> Callable[[], None]:
        warm_up(folder, sizes.instances)
        return hold(folder, url, number, sizes.instances)

    crowd = run_crowd(sizes.jobs, prepare, spread=sizes.spread)
    return Measured(name, singles, crowd, asyncio.run(_missing(folder, url, sizes)))


async def _make_store(folder: Path, url: str) -> None:
    async with Ledger(settings(folder, url).ledger_url):
        pass


async def _missing(folder: Path, url: str, sizes: Sizes) -> list[str]:
    """What cannot be found of the jobs: a record, an instance, a rating, a retired journal."""
    mine = settings(folder, url)
    missing = []
    async with Ledger(mine.ledger_url) as ledger:
        known = set(await job_ids(ledger))
        for number in range(sizes.jobs):
            job_id = f"AJ_{number}"
            if job_id not in known:
                missing.append(f"{job_id}: no record")
                continue
            record = await cost_record(ledger, job_id)
            if (record.revision, len(record.usage)) != (1, sizes.instances):
                missing.append(
                    f"{job_id}: {len(record.usage)} instances, {record.revision} ratings"
                )
    settled = {path.name for path in (mine.journals_path / SETTLED_FOLDER).iterdir()}
    missing += [
        f"run_{number}: its journal is not settled"
        for number in range(sizes.jobs)
        if f"run_{number}{SUFFIX}" not in settled
    ]
    return missing


def measure_bare(folder: Path, sizes: Sizes) -> Measured:
    """The peer: the same rows by sqlite3 alone, in one table and one transaction a process.

    No journal, no claims, no prices, no second transaction: what any store on SQLite pays.
    """
    folder.mkdir()
    path = folder / "bare.sqlite3"
    names = list(next(instances(0, 1, info(0).started_at)).to_json())
    with contextlib.closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute(f"CREATE TABLE usage ({', '.join(names)})")

    def prepare(number: int) -> Callable[[], None]:
        rows = [
            tuple(str(value) for value in used.to_json().values())
            for used in instances(number, sizes.instances, info(number).started_at)
        ]

        def end() -> None:
            store = sqlite3.connect(path, timeout=30, isolation_level=None)
            store.execute("PRAGMA journal_mode = WAL")
            store.execute("PRAGMA synchronous = FULL")
            store.execute("BEGIN IMMEDIATE")
            store.executemany(f"INSERT INTO usage VALUES ({', '.join('?' for _ in names)})", rows)
            store.execute("COMMIT")
            store.close()

        return end

    crowd = run_crowd(sizes.jobs, prepare, spread=sizes.spread)
    with contextlib.closing(sqlite3.connect(path)) as store:
        (stored,) = store.execute("SELECT count(*) FROM usage").fetchone()
    expected = sizes.jobs * sizes.instances
    return Measured(
        "bare sqlite3", [], crowd, [] if stored == expected else [f"{expected - stored} rows"]
    )


@contextlib.contextmanager
def _postgres(sizes: Sizes) -> Iterator[str]:
    """A database of its own, on a cluster that syncs its commits."""
    with cluster(fsync=True, max_connections=sizes.jobs + 20) as url:
        name = f"bench_{secrets.token_hex(4)}"
        with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        yield url.format(name)


def main() -> int:
    """Print the table; returns 1 where a job was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=600, help="how many end in the same second")
    parser.add_argument(
        "--instances", type=int, default=40, help="in each job; 40 is a minute with six people"
    )
    parser.add_argument("--singles", type=int, default=30, help="jobs one after another")
    parser.add_argument("--spread", type=float, default=1.0, help="seconds in which all end")
    parser.add_argument("--quick", action="store_true", help="small sizes: only that it runs")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    asked = parser.parse_args()
    sizes = Sizes(asked.jobs, asked.instances, asked.singles, asked.spread)
    if asked.quick:
        sizes = Sizes(jobs=8, instances=8, singles=1, spread=0.1)
    logging.getLogger("tallyroom.metering").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as name:
        folder = Path(name)
        print_machine(folder=folder)
        measured = [
            measure("Tallyroom on SQLite", folder / "sqlite", "", sizes),
            measure_bare(folder / "bare", sizes),
        ]
        if not asked.no_postgres:
            try:
                with _postgres(sizes) as url:
                    measured.append(
                        measure("Tallyroom on PostgreSQL", folder / "postgresql", url, sizes)
                    )
            except NoPostgres as error:
                print(f"NOT MEASURED ON POSTGRESQL: {error}", file=sys.stderr)
        _print(measured, sizes)
    return 1 if any(one.missing or one.crowd.lost for one in measured) else 0


def _print(measured: list[Measured], sizes: Sizes) -> None:
    def ms(values: list[float], percent: float) -> str:
        return f"{percentile(values, percent) * 1000:,.0f} ms" if values else "-"

    print_table(
        f"one job of {sizes.instances} instances, in a process that has never settled:"
        f" last event to durable record, n = {sizes.singles}",
        ["store", "p50", "p99", "longest"],
        [
            [one.name, ms(one.singles, 50), ms(one.singles, 99), ms(one.singles, 100)]
            for one in measured
            if one.singles
        ],
    )
    peer = percentile(measured[1].crowd.seconds, 99)
    print_table(
        f"{sizes.jobs} jobs of {sizes.instances} instances, a process each,"
        f" ending within {sizes.spread:g} s",
        [
            "store",
            "p50",
            "p99",
            "longest",
            "CPU each, p50",
            "all done",
            "lost",
            "p99 to bare",
        ],
        [
            [
                one.name,
                ms(one.crowd.seconds, 50),
                ms(one.crowd.seconds, 99),
                ms(one.crowd.seconds, 100),
                ms(one.crowd.cpu, 50),
                f"{one.crowd.elapsed:.1f} s",
                str(len(set(one.crowd.lost)) + len(one.missing)),
                f"{percentile(one.crowd.seconds, 99) / peer:.2f}",
            ]
            for one in measured
        ],
    )
    for one in measured:
        for what in one.missing[:10]:
            print(f"{one.name}: {what}")


if __name__ == "__main__":
    sys.exit(main())
