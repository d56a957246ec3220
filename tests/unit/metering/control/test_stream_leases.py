"""The pool in a store: what is said there is kept, and nobody takes another's place."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from metering.control.stream_leases import exchange_in_store, exchange_rows
from metering.control.stream_limiter import StreamLimiter
from metering.control.stream_limits import StreamLimits
from metering.control.stream_pool import LEASE_SECONDS, Answer, Held
from metering.errors import LedgerError
from metering.ledger.schema import stream_leases
from metering.ledger.store import Ledger
from metering.settings import MeterSettings
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[4]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Store:
    """A ledger with a clock of the test's own."""

    def __init__(self, ledger: Ledger, limits: StreamLimits) -> None:
        self.ledger = ledger
        self.limits = limits
        self.now = NOON

    async def say(self, holder: str, *held: Held, provider: str = "assemblyai") -> Answer:
        return await self.ledger.write(
            lambda connection: exchange_rows(
                connection, provider, self.limits, holder, held, self.now
            )
        )

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def lease_ids(self) -> Sequence[str]:
        table = stream_leases.c
        query = select(table.lease_id).order_by(table.lease_id)
        return await self.ledger.read(lambda connection: connection.scalars(query).all())


async def test_a_window_that_several_jobs_share(store_url: str) -> None:
    async with Ledger(store_url) as ledger:
        store = Store(ledger, StreamLimits(new_streams=2))
        assert (await store.say("a", Held("a1", 0.0))).granted == ("a1",)
        store.wait(10.0)
        assert (await store.say("b", Held("b1", 0.0), Held("b2", 0.0))).granted == ("b1",)
        store.wait(0.25)
        answer = await store.say("b", Held("b1", 0.25, 0.25, 0.0), Held("b2", 0.25))
        assert (answer.granted, answer.openings) == ((), (10.25, 0.25))
        # Whoever gave it was killed; that the stream was opened stays true.
        store.wait(LEASE_SECONDS + 30.0)
        assert (await store.say("b", Held("b2", 50.25))).granted == ()
        store.wait(0.75)
        assert (await store.say("b", Held("b2", 51.0))).granted == ("b2",)


async def test_a_killed_jobs_streams_make_room(store_url: str) -> None:
    async with Ledger(store_url) as ledger:
        store = Store(ledger, StreamLimits(concurrent=1))
        assert (await store.say("a", Held("a1", 0.0), Held("a2", 0.0))).granted == ("a1",)
        store.wait(LEASE_SECONDS - 0.001)
        assert (await store.say("b", Held("b1", 0.0))).granted == ()
        store.wait(0.001)
        assert (await store.say("b", Held("b1", 0.001))).granted == ("b1",)
        assert await store.lease_ids() == ["b1"]


async def test_each_provider_has_a_pool_of_its_own(store_url: str) -> None:
    async with Ledger(store_url) as ledger:
        store = Store(ledger, StreamLimits(concurrent=1))
        for provider in ("assemblyai", "livekit"):
            answer = await store.say("a", Held("a1", 0.0), provider=provider)
            assert answer.granted == ("a1",)
        await store.say("a", Held("a1", 1.0, 1.0, 0.0), provider="livekit")
        assert await store.lease_ids() == ["a1"]


@pytest.mark.parametrize(
    ("limits", "granted"),
    [
        (StreamLimits(new_streams=5), 5),
        (StreamLimits(concurrent=7), 7),
        (StreamLimits(new_streams=9, concurrent=6), 6),
    ],
)
async def test_many_who_ask_at_once_get_no_more_than_there_is(
    store_url: str, limits: StreamLimits, granted: int
) -> None:
    async with Ledger(store_url):
        pass

    async def claim(job: int) -> int:
        held = [Held(f"{job}-{number}", 0.0) for number in range(2)]
        # Those who were answered "wait" keep asking, as a job does.
        count = 0
        for _ in range(3):
            answer = await exchange_in_store(store_url, "livekit", limits, f"job{job}", held)
            count += len(answer.granted)
            held = [
                Held(one.lease_id, 1.0, 0.0) if one.lease_id in answer.granted else one
                for one in held
            ]
        return count

    # Each with connections of its own, as processes have.
    assert sum(await asyncio.gather(*(claim(job) for job in range(20)))) == granted


CLAIMS = """\
import asyncio, json, sys
from metering.control.stream_leases import exchange_in_store
from metering.control.stream_limits import StreamLimits
from metering.control.stream_pool import Held

async def main(url, holder):
    sys.stdin.readline()
    held = [Held(f"{holder}-{number}", 0.0) for number in range(4)]
    answer = await exchange_in_store(url, "livekit", StreamLimits(concurrent=5), holder, held)
    print(json.dumps(sorted(answer.granted)))

print("ready", flush=True)
asyncio.run(main(*sys.argv[1:]))
"""


def test_processes_that_ask_at_once_get_no_more_than_there_is(store_url: str) -> None:
    asyncio.run(make(store_url))
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMS, store_url, f"job{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for job in jobs:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
    for job in jobs:
        assert job.stdin is not None
        job.stdin.write("go\n")
        job.stdin.flush()
    granted = [lease_id for job in jobs for lease_id in json.loads(job.communicate(timeout=60)[0])]
    assert len(granted) == len(set(granted)) == 5


async def make(store_url: str) -> None:
    async with Ledger(store_url):
        pass


async def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/ledger.sqlite3"
    with pytest.raises(LedgerError):
        await exchange_in_store(url, "livekit", StreamLimits(concurrent=1), "a", [])


def limiter(store_url: str, limits: StreamLimits) -> StreamLimiter:
    settings = MeterSettings.model_construct(database_url=store_url)
    # A slow machine is no reason to decide alone.
    return StreamLimiter("livekit", limits, settings=settings, patience_seconds=60.0)


async def test_jobs_on_one_store_wait_for_each_other(store_url: str) -> None:
    limits = StreamLimits(concurrent=1)
    one, other = limiter(store_url, limits), limiter(store_url, limits)
    opened = asyncio.Event()

    async def wait() -> None:
        async with other.permit():
            opened.set()

    async with one.permit():
        waiting = asyncio.create_task(wait())
        await until(lambda: other._standing.wanted == 1)
        assert not opened.is_set()
    async with asyncio.timeout(30):
        await waiting
    assert opened.is_set()


async def test_a_silent_stream_of_another_job_is_given_up(store_url: str) -> None:
    limits = StreamLimits(concurrent=1)
    one, other = limiter(store_url, limits), limiter(store_url, limits)
    wanted = asyncio.Event()

    def give_up() -> bool:
        wanted.set()
        return True

    async with asyncio.timeout(60):
        async with one.permit():
            one.lend(give_up)
            waiting = asyncio.create_task(other.permit().__aenter__())
            await wanted.wait()
        await waiting


async def test_a_limiter_says_all_to_the_store_and_then_leaves_it_alone(store_url: str) -> None:
    limits = limiter(store_url, StreamLimits(concurrent=1))
    async with asyncio.timeout(60):
        async with limits.permit():
            pass
        assert limits._pump is not None
        await limits._pump
    async with Ledger(store_url) as ledger:
        assert await Store(ledger, StreamLimits()).lease_ids() == []


def test_sql_comes_with_a_limit_and_not_before() -> None:
    code = (
        "import sys, metering; from metering import StreamLimiter, StreamLimits;"
        "print('sqlalchemy' in sys.modules, 'metering.pricing' in sys.modules);"
        "StreamLimiter.prepare(); print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "False False\nTrue\n"
