"""A backup back in its place, and what was unsettled in it settled.

Everything is unpacked and checked beside the data before any of it is put there; what was there is
never deleted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from ..clock import utc_now
from ..errors import BackupError
from ..journal import SUFFIX, try_lock
from ..ledger.store import Ledger
from ..settings import MeterSettings
from ..sweeping import sweep
from .archive import JOURNALS, OUTBOX, STORE, Manifest, unpack
from .backup import store_path


class Restored(BaseModel):
    """What was restored, how many journals were settled then, and where the former data is."""

    counts: dict[str, int]
    settled: int
    moved_to: str | None


async def restore(settings: MeterSettings, path: Path, *, force: bool = False) -> Restored:
    """Restore a backup into the data folder, and settle what had not been settled in it.

    A journal whose run the store already has is settled without changing anything. With `force`
    what is in the way is moved into a folder of its own first.

    Raises:
        BackupError: the backup cannot be read or is not what it says it is, data are in the way, or
            a job runs here.
        LedgerError: its store is damaged or of a newer version, or cannot be written.
    """
    data = settings.data_path
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restore.", dir=data) as folder:
            staged = Path(folder)
            manifest = await asyncio.to_thread(unpack, path, staged)
            in_the_way = _in_the_way(settings, manifest, staged)
            if in_the_way and not force:
                raise BackupError(
                    f"{in_the_way[0]} is there already: restore into an empty TALLYROOM_DATA_DIR,"
                    " or with --force, which moves it away"
                )
            if (staged / STORE).exists():
                # Brings it to this version's schema, or refuses it, while nothing is in place yet.
                async with Ledger(f"sqlite+aiosqlite:///{staged / STORE}"):
                    pass
            moved_to = _move_away(data, in_the_way)
            await asyncio.to_thread(_place, settings, staged)
    except OSError as error:
        raise BackupError(f"cannot restore into {data}: {error.strerror or error}") from error
    records = await sweep(settings)
    return Restored(
        counts=manifest.counts,
        settled=len(records),
        moved_to=None if moved_to is None else str(moved_to),
    )


def _in_the_way(settings: MeterSettings, manifest: Manifest, staged: Path) -> list[Path]:
    """What must be moved before the backup can take its place."""
    for journal in settings.journals_path.glob(f"*{SUFFIX}"):
        lock = try_lock(journal)
        if lock is None:
            raise BackupError(f"{journal} is being written: stop the worker and its jobs first")
        lock.close()
    store = store_path(settings)
    places = [settings.journals_path, settings.outbox_path]
    if manifest.schema_revision is not None:
        if store is None:
            raise BackupError(
                "the backup holds a SQLite store, and TALLYROOM_DATABASE_URL names another"
                " database: unset it, or name a SQLite file"
            )
        if not (staged / STORE).exists():
            raise BackupError("the backup's manifest tells of a store that is not in it")
        places += [store.with_name(f"{store.name}{suffix}") for suffix in ("", "-wal", "-shm")]
    return [place for place in places if place.is_file() or any(_files(place))]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _move_away(data: Path, places: list[Path]) -> Path | None:
    if not places:
        return None
    aside = data / f"before-restore-{utc_now():%Y%m%dT%H%M%S%f}Z"
    aside.mkdir()
    for place in places:
        shutil.move(place, aside / place.name)
    return aside


def _place(settings: MeterSettings, staged: Path) -> None:
    for name, target in (
        (JOURNALS, settings.journals_path),
        (OUTBOX, settings.outbox_path),
    ):
        for path in list(_files(staged / name)):
            place = target / path.relative_to(staged / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    store = store_path(settings)
    if store is not None and (staged / STORE).exists():
        # Last, so that a restore that was cut short has no store that looks whole; and by another
        # name first, because it can be on another disk.
        store.parent.mkdir(parents=True, exist_ok=True)
        part = store.with_name(f"{store.name}.part")
        shutil.move(staged / STORE, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(store)
