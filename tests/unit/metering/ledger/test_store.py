from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select, text

from metering.errors import JobNotFound, LedgerError
from metering.ledger import database, schema, usage_queries, writing
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.ledger.usage_queries import job_usage, read_to_rate
from metering.pricing.charges import Charge, ChargeState, Dispute
from metering.usage import Certainty, Usage, format_decimal
from tests.unit.metering.samples import run, store_rating, usage

OPENS_A_STORE = """
import asyncio, sys
from metering.ledger.store import Ledger
sys.stdin.readline()
async def work():
    async with Ledger(sys.argv[1]):
        pass
asyncio.run(work())
"""


def url_of(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
async def sqlite_ledger(path: Path) -> AsyncIterator[Ledger]:
    async with Ledger(url_of(path)) as ledger:
        yield ledger


@pytest.fixture
async def ledger(store_url: str) -> AsyncIterator[Ledger]:
    async with Ledger(store_url) as ledger:
        yield ledger


def charge(list_cost: str = "0.001") -> Charge:
    return Charge(
        book="cost",
        meter="participant_connection",
        provider="livekit-cloud",
        model="",
        attributes={"kind": "webrtc"},
        state=ChargeState.PRICED,
        reason="",
        instances=2,
        consumed_quantity=Decimal("70.5"),
        consumed_unit="second",
        pricing_quantity=Decimal(2),
        pricing_unit="minute",
        unit_price=Decimal("0.0005"),
        list_cost=Decimal(list_cost),
        currency="USD",
        rate_id="ship/webrtc",
        disputed=Dispute("audio", Decimal("0.5"), "sources disagree"),
    )


async def rows(ledger: Ledger, statement: str) -> list[tuple[object, ...]]:
    async with ledger.reading() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def test_a_run_is_stored_whole(ledger: Ledger) -> None:
    measured = usage(
        attributes={"kind": "webrtc"},
        certainty=Certainty.BOUNDED,
        quantity_lower=Decimal(59),
        quantity_upper=Decimal(61),
        provider_stated=Decimal("60.5"),
        provider_ref="req",
        purpose="captions",
        source="room",
        model="m",
    )
    assert await ledger.store_run(run(measured))
    assert await job_usage(ledger, "AJ_test") == [measured]


async def test_the_same_run_stored_again_is_counted_once(ledger: Ledger) -> None:
    assert await ledger.store_run(run(usage()))
    assert not await ledger.store_run(run(usage(), usage(instance_id="more")))
    assert await job_usage(ledger, "AJ_test") == [usage()]
    assert await rows(ledger, "SELECT count(*) FROM runs") == [(1,)]
    assert await rows(ledger, "SELECT count(*) FROM usage") == [(1,)]


async def test_many_storing_the_same_run_store_it_once(ledger: Ledger) -> None:
    stored = await asyncio.gather(*(ledger.store_run(run(usage())) for _ in range(6)))
    assert sorted(stored) == [False] * 5 + [True]
    assert await rows(ledger, "SELECT count(*) FROM usage") == [(1,)]


async def test_only_the_first_job_to_claim_an_instance_pays(ledger: Ledger) -> None:
    shared, own = usage(), usage(instance_id="own")
    assert await ledger.store_run(run(shared))
    assert await ledger.store_run(run(shared, own, run_id="run_2", job_id="AJ_2"))
    assert await job_usage(ledger, "AJ_test") == [shared]
    assert await job_usage(ledger, "AJ_2") == [own]
    assert await rows(ledger, "SELECT count(*) FROM usage") == [(3,)]


async def test_an_instance_is_claimed_for_each_meter_apart(ledger: Ledger) -> None:
    life, sound = usage(meter="stt_connection"), usage(meter="stt_audio")
    await ledger.store_run(run(life))
    await ledger.store_run(run(life, sound, run_id="run_2", job_id="AJ_2"))
    assert await job_usage(ledger, "AJ_2") == [sound]


async def test_two_runs_of_one_job_both_count(ledger: Ledger) -> None:
    first, second = usage(instance_id="a"), usage(instance_id="b")
    await ledger.store_run(run(first))
    await ledger.store_run(run(second, run_id="run_2"))
    assert await job_usage(ledger, "AJ_test") == [first, second]
    assert (await cost_record(ledger, "AJ_test")).run_ids == ["run_2", "run_test"]


async def test_a_run_without_usage(ledger: Ledger) -> None:
    assert await ledger.store_run(run())
    assert await job_usage(ledger, "AJ_test") == []


@pytest.mark.parametrize(
    "quantity",
    [
        Decimal("0.1") + Decimal("0.2"),
        Decimal("0.1234567890123456789012345678901234567890"),
        Decimal("999999999999999999.000000001"),
        Decimal("1E+3"),
        Decimal(0),
    ],
)
async def test_exact_decimals_survive(ledger: Ledger, quantity: Decimal) -> None:
    await ledger.store_run(run(usage(quantity=quantity)))
    (stored,) = await job_usage(ledger, "AJ_test")
    assert stored.quantity == quantity
    ((kept,),) = await rows(ledger, "SELECT quantity FROM usage")
    assert kept == format_decimal(quantity)


async def test_people_are_pseudonyms(ledger: Ledger) -> None:
    people = {"alice@example.com": "Alice", "bob": "Bob"}
    await ledger.store_run(
        run(
            usage(instance_id="a", participant="alice@example.com"),
            usage(instance_id="b", participant="alice@example.com"),
            usage(instance_id="c", participant="bob"),
            usage(instance_id="d", participant=None),
            people=people,
        )
    )
    await ledger.store_run(
        run(usage(instance_id="e", participant="alice@example.com"), run_id="r2", job_id="AJ_2")
    )
    stored = await rows(ledger, "SELECT participant FROM usage ORDER BY instance_id")
    a, b, c, d, e = (participant for (participant,) in stored)
    assert a == b == e
    assert a != c
    assert d is None
    assert isinstance(a, str)
    assert a.startswith("person_")
    others = [table for table in schema.metadata.tables if table != "people"]
    for table in others:
        content = str(await rows(ledger, f"SELECT * FROM {table}"))
        for private in ("alice", "Alice", "Bob"):
            assert private not in content, table
    assert sorted(await rows(ledger, "SELECT identity, name FROM people")) == [
        ("alice@example.com", "Alice"),
        ("bob", "Bob"),
    ]


async def test_somebody_who_used_nothing_is_remembered_by_name(ledger: Ledger) -> None:
    await ledger.store_run(run(people={"carol": "Carol"}))
    assert await rows(ledger, "SELECT identity, name FROM people") == [("carol", "Carol")]


async def test_names_are_stored_as_they_are(ledger: Ledger) -> None:
    hostile = "../../etc/passwd\n\x1b[31m🦄'; DROP TABLE jobs; --" + "x" * 256
    await ledger.store_run(
        run(usage(participant=hostile), room_name=hostile, title=hostile, people={hostile: hostile})
    )
    record = await cost_record(ledger, "AJ_test")
    assert record.room_name == record.title == record.usage[0].participant == hostile


async def test_a_rating_is_appended_and_never_changed(ledger: Ledger) -> None:
    await ledger.store_run(run(usage()))
    for list_cost, revision in (("0.1", 1), ("0.2", 2)):
        stored = await store_rating(
            ledger,
            "AJ_test",
            [charge(list_cost)],
            rate_card="abc",
            hosting="cloud",
            plan="livekit/ship",
            rated_runs=["run_test"],
        )
        assert stored == revision
    kept = await rows(ledger, "SELECT revision, list_cost FROM charges ORDER BY revision")
    assert kept == [(1, "0.1"), (2, "0.2")]


async def test_ratings_made_at_once_are_each_a_revision(ledger: Ledger) -> None:
    await ledger.store_run(run(usage()))
    revisions = await asyncio.gather(
        *(
            store_rating(
                ledger,
                "AJ_test",
                [],
                rate_card="",
                hosting="self",
                plan="none",
                rated_runs=["run_test"],
            )
            for _ in range(5)
        )
    )
    assert set(revisions) == {1, 2, 3, 4, 5}


async def test_a_rating_of_a_job_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"(?i)foreign key"):
        await store_rating(
            ledger, "AJ_no", [charge()], rate_card="", hosting="self", plan="none", rated_runs=[]
        )
    assert await rows(ledger, "SELECT count(*) FROM charges") == [(0,)]


def in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (writing, usage_queries):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)


async def test_a_run_of_many_batches(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    in_small_batches(monkeypatch)
    measured = [
        usage(instance_id=f"i{number}", participant=f"p{number}", quantity=Decimal(number))
        for number in range(7)
    ]
    again = usage(instance_id="i0", participant="p0", quantity=Decimal(99))
    assert await ledger.store_run(run(*measured, again))
    for table in ("usage", "claims", "people"):
        assert await rows(ledger, f"SELECT count(*) FROM {table}") == [(7,)]
    stored = (await cost_record(ledger, "AJ_test")).usage
    assert {used.participant: used.quantity for used in stored} == {
        f"p{number}": Decimal(number) for number in range(7)
    }


async def test_an_instance_is_rated_whole_however_it_is_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small_batches(monkeypatch)
    meters = ("llm_input_tokens", "llm_cached_input_tokens", "llm_output_tokens")
    measured = [
        usage(instance_id=f"i{number}", meter=meter) for number in range(4) for meter in meters
    ]
    await ledger.store_run(run(*measured))
    better = usage(instance_id="i1", meter=meters[0], quantity=Decimal(61))
    await ledger.store_run(run(better, run_id="run_2"))
    batches: list[list[Usage]] = []
    found = await read_to_rate(ledger, ["AJ_test"], lambda job: batches.append)
    assert found == [("AJ_test", "self", "none", ["run_2", "run_test"])]
    taken = [(used.instance_id, used.meter) for batch in batches for used in batch]
    assert sorted(taken) == sorted((used.instance_id, used.meter) for used in measured)
    for number in range(4):
        assert sum(any(used.instance_id == f"i{number}" for used in one) for one in batches) == 1
    (best,) = [
        used
        for batch in batches
        for used in batch
        if (used.instance_id, used.meter) == ("i1", meters[0])
    ]
    assert best.quantity == Decimal(61)


async def test_nobody_rates_a_job_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(JobNotFound, match="no job 'AJ_no'"):
        await read_to_rate(ledger, ["AJ_no"], lambda job: lambda usages: None)


async def test_storing_a_run_is_all_or_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise LedgerError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(writing, "_usage_row", fail)
        with pytest.raises(LedgerError, match="power cut"):
            await ledger.store_run(run(usage()))
    for table in ("jobs", "runs", "usage", "claims", "people"):
        assert await rows(ledger, f"SELECT count(*) FROM {table}") == [(0,)]
    assert await ledger.store_run(run(usage()))


async def test_it_must_be_open(path: Path) -> None:
    with pytest.raises(LedgerError, match="the store is not open"):
        await Ledger(url_of(path)).store_run(run())


async def test_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "ledger.sqlite3"
    async with Ledger(url_of(path)) as ledger:
        assert ledger.location == str(path)
    async with Ledger(url_of(path)) as ledger:
        assert await ledger.store_run(run(usage()))


async def test_it_waits_for_no_reader(sqlite_ledger: Ledger) -> None:
    assert await rows(sqlite_ledger, "PRAGMA journal_mode") == [("wal",)]
    assert await rows(sqlite_ledger, "PRAGMA foreign_keys") == [(1,)]


async def refused(url: str) -> str:
    """Why a store cannot be opened: one line."""
    with pytest.raises(LedgerError) as caught:
        async with Ledger(url):
            pass
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def letter(path: Path) -> Path:
    path.write_bytes(b"this was a letter to my mother\n" * 100)
    return path


async def test_a_file_that_is_no_store(letter: Path) -> None:
    message = await refused(url_of(letter))
    assert message.startswith(f"store {letter}: corrupt (file is not a database)")
    assert "move the file away" in message


def test_a_file_that_is_no_store_is_left_as_it_is(letter: Path) -> None:
    asyncio.run(refused(url_of(letter)))
    assert letter.read_bytes() == b"this was a letter to my mother\n" * 100


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


async def test_a_damaged_store(path: Path) -> None:
    async with Ledger(url_of(path)) as ledger:
        for number in range(50):
            await ledger.store_run(run(usage(), run_id=f"run_{number}", job_id=f"AJ_{number}"))
    damage(path)

    async def use() -> None:
        async with Ledger(url_of(path)) as ledger:
            await cost_record(ledger, "AJ_1")

    with pytest.raises(LedgerError, match=r"corrupt \(database disk image is malformed\)"):
        await use()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a folder should be: permissions would not hold the superuser back."""
    file = tmp_path / "file"
    file.write_text("")
    return file


async def test_a_folder_that_cannot_be_made(file: Path) -> None:
    path = file / "data" / "ledger.sqlite3"
    assert await refused(url_of(path)) == (
        f"{path.parent} cannot be a folder (Not a directory); set TALLYROOM_DATA_DIR"
    )


async def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    message = await refused(url_of(tmp_path))
    assert message.startswith(f"store {tmp_path}: cannot be written (unable to open database file)")
    assert "permissions" in message


async def test_a_locked_store(
    sqlite_ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        async with Ledger(url_of(path)) as impatient:
            with pytest.raises(LedgerError, match=r"locked by another process for over 0\.05 s"):
                await impatient.store_run(run(usage()))
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert await sqlite_ledger.store_run(run(usage()))


async def test_reading_goes_on_while_another_writes(
    sqlite_ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
    await sqlite_ledger.store_run(run(usage()))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        async with Ledger(url_of(path)) as reader:
            assert (await cost_record(reader, "AJ_test")).job_id == "AJ_test"
    finally:
        other.close()


async def test_a_store_of_a_newer_version(path: Path) -> None:
    async with Ledger(url_of(path)):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    message = await refused(url_of(path))
    assert message.startswith(
        f"the store has schema '9999', which this version (schema {schema.SCHEMA_REVISION})"
        " cannot upgrade"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ledger.sqlite3", "'ledger.sqlite3' is no database URL; use postgresql://"),
        ("sqlite://", "'sqlite://' is no database URL"),
        ("sqlite:///:memory:", "'sqlite:///:memory:' is no database URL"),
        ("postgresql://user:secret@host:port/base", "'host:port/base' is no database URL"),
        ("postgresql//user:secret@host/base", "'host/base' is no database URL"),
        ("oracool://user:secret@host/base", "no driver for it"),
    ],
)
async def test_a_url_that_is_no_store(url: str, message: str) -> None:
    found = await refused(url)
    assert message in found
    assert "secret" not in found


async def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    message = await refused("postgresql+asyncpg://user:secret@host/base")
    assert message.startswith("store postgresql+asyncpg://user:***@host/base: no driver for it")
    assert "asyncpg" in message


async def test_a_new_store_opened_by_many_tasks_is_made_once(store_url: str) -> None:
    async def use(number: int) -> bool:
        async with Ledger(store_url) as ledger:
            return await ledger.store_run(run(run_id=f"run_{number}"))

    assert await asyncio.gather(*(use(number) for number in range(8))) == [True] * 8
    async with Ledger(store_url) as ledger:
        assert await rows(ledger, "SELECT version_num FROM alembic_version") == [
            (schema.SCHEMA_REVISION,)
        ]
        assert await rows(ledger, "SELECT count(*) FROM runs") == [(8,)]


async def test_jobs_that_have_seen_the_same_people_are_stored_at_once(store_url: str) -> None:
    """Twenty agents in one room: each is stored, and each instance is paid for once."""
    seen = [usage(instance_id=f"i{number}", participant=f"p{number}") for number in range(10)]

    async def store_one(number: int) -> bool:
        in_some_order = seen if number % 2 else seen[::-1]
        async with Ledger(store_url) as ledger:
            one = run(*in_some_order, run_id=f"run_{number}", job_id=f"AJ_{number}")
            return await ledger.store_run(one)

    assert await asyncio.gather(*(store_one(number) for number in range(20))) == [True] * 20
    async with Ledger(store_url) as ledger:
        paid = [
            item.instance_id
            for number in range(20)
            for item in await job_usage(ledger, f"AJ_{number}")
        ]
        assert sorted(paid) == sorted(item.instance_id for item in seen)
        assert await rows(ledger, "SELECT count(*) FROM people") == [(10,)]


async def test_a_server_that_is_away() -> None:
    message = await refused("postgresql://user:secret@127.0.0.1:1/base")
    assert message.startswith("store postgresql+psycopg://user:***@127.0.0.1:1/base: connection")


def test_a_new_store_opened_by_many_processes_is_made_once(path: Path) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS_A_STORE, url_of(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ended = [opener.communicate("go\n", timeout=60) for opener in openers]
    assert [
        (opener.returncode, errors) for opener, (_, errors) in zip(openers, ended, strict=True)
    ] == [(0, "")] * 3
    with sqlite3.connect(path) as connection:
        versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    assert versions == [(schema.SCHEMA_REVISION,)]


async def test_a_store_that_is_up_to_date_is_not_migrated(
    ledger: Ledger, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: object) -> None:
        raise AssertionError("migrated")

    monkeypatch.setattr("metering.ledger.store.migrate", fail)
    async with Ledger(store_url) as again, again.reading() as connection:
        assert (await connection.execute(select(schema.jobs))).all() == []
