"""What is backed up while jobs run is whole, and can be put back."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from metering.errors import BackupError, LedgerError
from metering.journal import JournalWriter
from metering.ledger.queries import cost_record, job_ids, run_quantities
from metering.ledger.store import Ledger
from metering.outbox import Outbox
from metering.settings import MeterSettings
from metering.sweeping import sweep
from metering.upkeep.backup import backup
from metering.upkeep.restore import restore
from metering.upkeep.verify import verify
from tests.unit.metering.old import journal_of, old_run, old_usage
from tests.unit.metering.samples import beat, opening, settings

POSTGRES = "postgresql://user@127.0.0.1:1/base"

KEEPS_STORING = """
import asyncio, sys
from pathlib import Path
from metering.ledger.store import Ledger
from metering.sweeping import settle_journal
from metering.journal import try_lock
from tests.unit.metering.old import journal_of, old_run, old_usage
from tests.unit.metering.samples import settings

async def work():
    mine = settings(Path(sys.argv[1]))
    async with Ledger(mine.ledger_url) as ledger:
        number = 0
        while True:
            used = [old_usage(instance_id=f"i{number}-{n}", participant="p") for n in range(5)]
            one = old_run(*used, run_id=f"run_{number}", job_id=f"AJ_{number}")
            path = journal_of(one, mine.journals_path)
            with try_lock(path):
                await settle_journal(path, ledger, mine)
            print(number, flush=True)
            number += 1

asyncio.run(work())
"""


@pytest.fixture
def mine(tmp_path: Path) -> MeterSettings:
    return settings(tmp_path / "data")


@pytest.fixture
def other(tmp_path: Path) -> MeterSettings:
    return settings(tmp_path / "other")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar.gz"


async def settled(mine: MeterSettings, number: int = 1) -> Path:
    used = old_usage(instance_id=f"i{number}", participant="alice")
    one = old_run(used, people={"alice": "Alice"}, run_id=f"run_{number}", job_id=f"AJ_{number}")
    path = journal_of(one, mine.journals_path)
    assert len(await sweep(mine)) == 1
    return path.parent / "settled" / path.name


async def records(mine: MeterSettings) -> dict[str, str]:
    async with Ledger(mine.ledger_url) as ledger:
        return {
            job: (await cost_record(ledger, job)).model_dump_json() for job in await job_ids(ledger)
        }


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_what_was_backed_up_is_restored(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    for number in range(3):
        await settled(mine, number)
    (mine.journals_path / "unreadable").mkdir()
    (mine.journals_path / "unreadable" / "torn.journal").write_bytes(b"no head\n")
    owed = Outbox(mine.data_path / "outbox")
    owed.put("crm", {"to": "Ada"}, key="1")
    owed.put("crm", {"to": "Bob"}, key="2")
    manifest = backup(mine, archive)
    assert manifest.counts == {
        "unsettled": 0,
        "settled": 3,
        "unreadable": 1,
        "jobs": 3,
        "runs": 3,
        "usage": 3,
        "outbox": 2,
    }
    assert mode(archive) == 0o600
    assert set(files(archive.parent)) - {f"data/{name}" for name in files(mine.data_path)} == {
        archive.name
    }

    restored = await restore(other, archive)
    assert (restored.counts, restored.settled, restored.moved_to) == (manifest.counts, 0, None)
    assert await records(other) == await records(mine)
    assert files(other.journals_path) == files(mine.journals_path)
    assert Outbox(other.data_path / "outbox").waiting("crm") == owed.waiting("crm")
    (found,) = (await verify(other)).discrepancies
    assert found.where == "torn.journal"
    assert not list(other.data_path.glob(".restore*"))


def test_a_store_that_is_written_to_all_the_while(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KEEPS_STORING, str(mine.data_path)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        try:
            for _ in range(5):
                assert writer.stdout.readline()
            manifest = backup(mine, archive)
            for _ in range(2):
                assert writer.stdout.readline()
        finally:
            writer.kill()
    assert manifest.counts["jobs"] >= 5
    restored = asyncio.run(restore(other, archive))
    kept, originals = asyncio.run(records(other)), asyncio.run(records(mine))
    # What it had stored by then; what it was about to settle came in by its journal.
    assert manifest.counts["jobs"] <= len(kept) <= manifest.counts["jobs"] + restored.settled
    assert len(kept) < len(originals)
    assert kept == {job: originals[job] for job in kept}
    assert asyncio.run(verify(other)).discrepancies == []


async def test_a_journal_that_was_settled_meanwhile_is_settled_once(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    """It was copied before it was settled, and the store after."""
    stored = await settled(mine)
    stored.rename(mine.journals_path / stored.name)
    backup(mine, archive)
    restored = await restore(other, archive)
    assert restored.settled == 1
    assert await records(other) == await records(mine)
    assert (await verify(other)).discrepancies == []


async def test_a_dead_run_is_settled_on_restore(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    await settled(mine)
    path = journal_of(
        old_run(old_usage(instance_id="b"), run_id="r2", job_id="AJ_2"), mine.journals_path
    )
    with path.open("ab") as file:
        file.write(b"00000000 a torn line without its end")
    assert backup(mine, archive).counts["unsettled"] == 1
    assert (await restore(other, archive)).settled == 1
    await sweep(mine)
    assert await records(other) == await records(mine)
    assert files(other.journals_path) == files(mine.journals_path)
    assert (await verify(other)).discrepancies == []


async def test_a_living_run_is_settled_as_far_as_it_had_come(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    await settled(mine)
    journal = JournalWriter(mine.journals_path / "run_2.journal", beat=tuple)
    unbegun = JournalWriter(mine.journals_path / "run_3.journal", beat=tuple)
    journal.append(old_run(run_id="run_2", job_id="AJ_2").info.to_entry())
    journal.append(opening("clock"))
    journal.append(beat(7_000_000))
    journal.finish()
    try:
        whole = journal.path.read_bytes()
        with journal.path.open("ab") as file:
            file.write(b"00000000 half a li")
        assert backup(mine, archive).counts["unsettled"] == 1
    finally:
        unbegun.finish()
        unbegun.release()
        journal.release()
    assert (await restore(other, archive)).settled == 1
    assert (other.journals_path / "settled" / "run_2.journal").read_bytes() == whole
    async with Ledger(other.ledger_url) as ledger:
        assert (await cost_record(ledger, "AJ_2")).status == "recovered"
        (quantity,) = (await run_quantities(ledger, "run_2")).values()
    assert quantity == 7
    assert (await verify(other)).discrepancies == []


async def test_an_older_store_is_upgraded(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    await settled(mine)
    async with Ledger(mine.ledger_url) as ledger:
        await ledger.write(_make_it_older)
    assert backup(mine, archive).schema_revision == "0001"
    await restore(other, archive)
    assert len(await records(other)) == 1
    assert (await verify(other)).discrepancies == []


def _make_it_older(connection: Connection) -> None:
    connection.exec_driver_sql("DROP TABLE prunings")
    connection.exec_driver_sql("DROP TABLE statements")
    connection.exec_driver_sql("DROP TABLE stream_leases")
    connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")


async def test_journals_alone(mine: MeterSettings, archive: Path) -> None:
    """As for a store that is a server's."""
    await settled(mine)
    journal_of(old_run(run_id="r2", job_id="AJ_2"), mine.journals_path)
    away = mine.model_copy(update={"database_url": POSTGRES})
    with pytest.raises(BackupError, match="pg_dump"):
        backup(away, archive)
    manifest = backup(away, archive, journals_only=True)
    assert manifest.schema_revision is None
    assert (manifest.counts["settled"], manifest.counts["unsettled"]) == (1, 1)

    # The store is there already, as pg_restore would have brought it back.
    restored = await restore(mine, archive, force=True)
    assert restored.settled == 1
    assert set(await records(mine)) == {"AJ_1", "AJ_2"}
    assert (await verify(mine)).discrepancies == []


@pytest.mark.parametrize(
    "there", ["ledger.sqlite3", "journals/settled/a.journal", "outbox/x/1.json"]
)
async def test_what_is_there_is_never_overwritten(
    mine: MeterSettings, other: MeterSettings, archive: Path, there: str
) -> None:
    await settled(mine)
    backup(mine, archive)
    path = other.data_path / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    (other.data_path / "transcripts").mkdir()
    with pytest.raises(BackupError, match=r"is there already: restore into an empty .* --force"):
        await restore(other, archive)
    assert files(other.data_path) == {there: b"mine"}

    restored = await restore(other, archive, force=True)
    assert restored.moved_to is not None
    assert files(Path(restored.moved_to)) == {there: b"mine"}
    assert await records(other) == await records(mine)


async def test_nothing_is_restored_while_a_job_runs(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    await settled(mine)
    backup(mine, archive)
    journal = JournalWriter(other.journals_path / "run_2.journal", beat=tuple)
    try:
        with pytest.raises(BackupError, match=r"run_2\.journal is being written: stop the worker"):
            await restore(other, archive, force=True)
    finally:
        journal.finish()
        journal.release()


def test_a_backup_overwrites_nothing(mine: MeterSettings, archive: Path) -> None:
    archive.write_bytes(b"mine")
    with pytest.raises(BackupError, match=r"backup\.tar\.gz exists: name another"):
        backup(mine, archive)
    assert archive.read_bytes() == b"mine"


def test_no_store(mine: MeterSettings, archive: Path) -> None:
    with pytest.raises(
        BackupError, match=r"no store at .*ledger\.sqlite3: check TALLYROOM_DATA_DIR"
    ):
        backup(mine, archive)
    assert not archive.exists()


def test_a_store_that_is_corrupt(mine: MeterSettings, archive: Path) -> None:
    mine.data_path.mkdir()
    (mine.data_path / "ledger.sqlite3").write_bytes(b"a letter to my mother\n" * 100)
    with pytest.raises(LedgerError, match="corrupt"):
        backup(mine, archive)
    assert [path.name for path in archive.parent.iterdir()] == ["data"]


async def test_a_folder_that_is_not_there(mine: MeterSettings, tmp_path: Path) -> None:
    await settled(mine)
    with pytest.raises(BackupError, match=r"cannot back up to .*: No such file or directory"):
        backup(mine, tmp_path / "nowhere" / "backup")


async def test_another_database_than_the_backups(mine: MeterSettings, archive: Path) -> None:
    await settled(mine)
    backup(mine, archive)
    server = settings(archive.parent / "other", database_url=POSTGRES)
    with pytest.raises(BackupError, match="TALLYROOM_DATABASE_URL names another database"):
        await restore(server, archive)


def cut_short(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-2000])


def no_archive(archive: Path) -> None:
    archive.write_bytes(b"a letter to my mother\n")


def flipped(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)


def gone(archive: Path) -> None:
    archive.unlink()


def repacked(change: Callable[[dict[str, bytes]], None]) -> Callable[[Path], None]:
    """An archive whose compression and checksums are right, and its contents not."""

    def work(archive: Path) -> None:
        with tarfile.open(archive) as tar:
            contents = {
                member.name: file.read()
                for member in tar
                if (file := tar.extractfile(member)) is not None
            }
        change(contents)
        with tarfile.open(archive, "w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

    return work


def altered(contents: dict[str, bytes]) -> None:
    contents["journals/settled/run_1.journal"] += b"more\n"


def lacking(contents: dict[str, bytes]) -> None:
    del contents["ledger.sqlite3"]


def added(contents: dict[str, bytes]) -> None:
    manifest = contents.pop("manifest.json")
    contents |= {"journals/b.journal": b"", "manifest.json": manifest}


def without_manifest(contents: dict[str, bytes]) -> None:
    del contents["manifest.json"]


def newer(contents: dict[str, bytes]) -> None:
    manifest = json.loads(contents["manifest.json"])
    contents["manifest.json"] = json.dumps(manifest | {"format": 2}).encode()


def nonsense(contents: dict[str, bytes]) -> None:
    contents["manifest.json"] = b'{"files": 3}'


def climbing(contents: dict[str, bytes]) -> None:
    manifest = contents.pop("manifest.json")
    contents |= {"journals/../../escaped": b"", "manifest.json": manifest}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "is no backup of ours, or a damaged one"),
        (no_archive, "is no backup of ours, or a damaged one"),
        (flipped, "a damaged one|cannot unpack|is not what|has no place|has no manifest"),
        (gone, "cannot unpack .*: No such file or directory"),
        (repacked(altered), "'journals/settled/run_1.journal' is not what its manifest says"),
        (repacked(lacking), "'ledger.sqlite3' is in its manifest only"),
        (repacked(added), "'journals/b.journal' is not in its manifest"),
        (repacked(without_manifest), "has no manifest: it was cut short"),
        (repacked(newer), "has format 2, this version reads 1"),
        (repacked(nonsense), "is no backup of ours, or a damaged one"),
        (repacked(climbing), "'journals/../../escaped' has no place in a backup"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_backup_that_is_damaged_restores_nothing(
    mine: MeterSettings,
    other: MeterSettings,
    archive: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    await settled(mine)
    backup(mine, archive)
    damage(archive)
    with pytest.raises(BackupError, match=message):
        await restore(other, archive)
    assert files(other.data_path) == {}
    assert not (archive.parent / "escaped").exists()


async def test_a_store_of_a_newer_version(
    mine: MeterSettings, other: MeterSettings, archive: Path
) -> None:
    await settled(mine)
    async with Ledger(mine.ledger_url) as ledger:
        await ledger.write(
            lambda connection: connection.exec_driver_sql(
                "UPDATE alembic_version SET version_num = '9999'"
            )
        )
    backup(mine, archive)
    with pytest.raises(LedgerError, match="the store has schema '9999'"):
        await restore(other, archive)
    assert files(other.data_path) == {}
