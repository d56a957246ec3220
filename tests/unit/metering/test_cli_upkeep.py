"""`backup`, `restore` and `prune`, and what the other commands say of a job that was pruned."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from metering.ledger.store import Ledger
from metering.settle import settle_run
from tests.unit.metering.old import old_run, old_usage
from tests.unit.metering.samples import settings
from tests.unit.metering.test_cli import asked, call, environment, refused

__all__ = ["environment"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar.gz"


def settled(folder: Path) -> None:
    async def work() -> None:
        mine = settings(folder)
        async with Ledger(mine.ledger_url) as ledger:
            used = old_usage(participant="alice")
            await settle_run(old_run(used, people={"alice": "Alice"}), ledger, mine)

    asyncio.run(work())


def test_backup_and_restore(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(tmp_path)
    before = asked("show", "AJ_test")
    counts = "0 unsettled, 0 settled, 0 unreadable, 1 jobs, 1 runs, 1 usage, 0 outbox"
    assert call("backup", str(archive)).stdout == f"{archive}: {counts}\n"
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path / "other"))
    assert call("restore", str(archive)).stdout == f"restored {counts}; 0 settled now\n"
    assert asked("show", "AJ_test") == before
    assert call("verify").stdout == "1 jobs, 0 journals, 0 discrepancies\n"
    assert "is there already" in refused("restore", str(archive))
    again = asked("restore", str(archive), "--force")
    assert again["moved_to"].startswith(str(tmp_path / "other" / "before-restore-"))
    assert (again["counts"]["jobs"], again["settled"]) == (1, 0)


def test_backup_as_json(tmp_path: Path, archive: Path) -> None:
    settled(tmp_path)
    manifest = asked("backup", str(archive))
    assert manifest.keys() == {"format", "made_at", "schema_revision", "counts", "files"}
    (file,) = manifest["files"]
    assert file["name"] == "ledger.sqlite3"
    assert len(file["sha256"]) == 64


def test_a_backup_that_cannot_be_made(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no store at" in refused("backup", str(archive))
    settled(tmp_path)
    archive.write_text("mine")
    assert "exists: name another" in refused("backup", str(archive))
    monkeypatch.setenv("TALLYROOM_DATABASE_URL", "postgresql://user@127.0.0.1:1/base")
    message = refused("backup", str(tmp_path / "b"))
    assert "pg_dump" in message
    assert "--journals-only" in message
    assert call("backup", str(tmp_path / "b"), "--journals-only").exit_code == 0


def test_a_restore_that_cannot_be_done(archive: Path) -> None:
    assert "No such file" in refused("restore", str(archive))
    archive.write_text("a letter to my mother")
    assert "no backup of ours" in refused("restore", str(archive))


def test_prune(tmp_path: Path) -> None:
    settled(tmp_path)
    before = asked("show", "AJ_test")
    assert "usage_pruned_at" not in before
    dry = call("prune", "--before", "2026-01-01", "--dry-run").stdout
    assert dry == "would remove 0 journals and the usage of 1 jobs (1 instances)\n"
    assert asked("show", "AJ_test") == before
    pruned = asked("prune", "--before", "2026-01-01", "--what", "usage")
    assert pruned == {
        "before": "2026-01-01",
        "dry_run": False,
        "journals": 0,
        "jobs": 1,
        "instances": 1,
        "kept": [],
    }
    after = asked("show", "AJ_test")
    assert after.pop("usage_pruned_at").endswith("Z")
    assert after == before | {"usage": []}
    shown = call("show", "AJ_test", "--usage").stdout
    assert "participant_connection" in shown
    assert "its usage was pruned on 20" in shown
    assert "cannot be rated again" in refused("rerate", "AJ_test")
    verified = call("verify")
    assert verified.exit_code == 0
    assert verified.stdout == (
        "1 jobs, 0 journals, 0 discrepancies\n"
        "1 pruned: their charges multiply out, and cannot be rerated\n"
    )


def test_what_is_kept_is_named(tmp_path: Path) -> None:
    async def store() -> None:
        async with Ledger(settings(tmp_path).ledger_url) as ledger:
            await ledger.store_run(old_run())

    asyncio.run(store())
    told = call("prune", "--before", "2026-01-01").stdout
    assert told == (
        "kept AJ_test: it was never rated by a rate card: rerate it first\n"
        "removed 0 journals and the usage of 0 jobs (0 instances)\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("backup",),
        ("restore",),
        ("prune",),
        ("prune", "--before", "yesterday"),
        ("prune", "--before", "2025-02-30"),
        ("prune", "--before", "9999-01-01"),
        ("prune", "--before", "2025-01-01", "--what", "everything"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("backup", "{}/b"), ("prune", "--before", "2025-01-01"), ("verify",)]
)
def test_a_store_that_is_corrupt(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"a letter to my mother\n" * 100)
    assert "corrupt" in refused(*(argument.format(tmp_path) for argument in arguments))
