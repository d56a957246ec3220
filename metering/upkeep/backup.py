"""A copy of everything that is measured, made while jobs run.

The order makes it consistent. A journal is retired once its run is in the store, so journals are
copied before the store: a run that is settled meanwhile is in both, and settled again on restore it
changes nothing. The other way round it could be in neither.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from ..clock import utc_now
from ..errors import BackupError, LedgerError
from ..journal import MAX_LINE_BYTES, SUFFIX, try_lock
from ..ledger.database import BUSY_TIMEOUT_SECONDS, advice, parse_url
from ..settings import MeterSettings
from ..sweeping import QUARANTINE_FOLDER, SETTLED_FOLDER
from .archive import JOURNALS, OUTBOX, STORE, ArchiveWriter, Manifest

"""Where in the data folder an `Outbox` is looked for."""
BACKUPS = "backups.jsonl"
"""Where in the data folder it is noted what backups there are."""


def store_path(settings: MeterSettings) -> Path | None:
    """The SQLite store's file, absolute; None where the store is a server.

    Raises:
        LedgerError: the setting is no database URL.
    """
    url = parse_url(settings.ledger_url)
    return Path(str(url.database)).absolute() if url.get_backend_name() == "sqlite" else None


def backup(settings: MeterSettings, path: Path, *, journals_only: bool = False) -> Manifest:
    """Copy journals, store and outbox into one archive, which appears at `path` when it is whole.

    Of a job that runs, what its journal holds so far is in it. The copy of the store and the
    archive take room beside `path` meanwhile.

    Raises:
        BackupError: `path` exists, the archive cannot be written, or the store is not a file.
        LedgerError: the store cannot be read.
    """
    target = path.expanduser().absolute()
    if os.path.lexists(target):
        raise BackupError(f"{target} exists: name another, or move it away")
    store = None if journals_only else _store_to_copy(settings)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            part = Path(folder) / "archive"
            manifest = _write(part, settings, store, Path(folder) / STORE)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.chmod(0o600)
            part.rename(target)
        _sync_folder(target.parent)
        _note(settings, target)
    except OSError as error:
        raise BackupError(f"cannot back up to {target}: {error.strerror or error}") from error
    return manifest


def known_backups(settings: MeterSettings) -> list[Path]:
    """Where backups of this data folder were written, each once, oldest first.

    Raises:
        BackupError: the list of them cannot be read.
    """
    path = settings.data_path / BACKUPS
    try:
        lines = path.read_text("utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackupError(f"cannot read {path}: {error.strerror}") from error
    return [Path(json.loads(line)) for line in dict.fromkeys(lines) if line]


def _note(settings: MeterSettings, target: Path) -> None:
    """So that whoever is forgotten is forgotten in it, too."""
    settings.data_path.mkdir(parents=True, exist_ok=True)
    with (settings.data_path / BACKUPS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(str(target)) + "\n")


def _store_to_copy(settings: MeterSettings) -> Path:
    store = store_path(settings)
    if store is None:
        raise BackupError(
            "the store is no SQLite file: dump it with pg_dump after `tallyroom backup PATH"
            " --journals-only`, which keeps what it does not have yet"
        )
    if not store.is_file():
        raise BackupError(f"there is no store at {store}: check TALLYROOM_DATA_DIR")
    return store


def _write(part: Path, settings: MeterSettings, store: Path | None, copy: Path) -> Manifest:
    journals = settings.journals_path
    counts = {}
    revision = None
    with ArchiveWriter(part) as archive:
        # Unsettled ones first: one that is retired meanwhile is then found twice, and not never.
        counts["unsettled"] = _add_unsettled(archive, journals)
        for folder in (SETTLED_FOLDER, QUARANTINE_FOLDER):
            paths = sorted((journals / folder).glob(f"*{SUFFIX}"))
            counts[folder] = _add_files(archive, paths, journals, JOURNALS)
        if store is not None:
            revision, stored = _copy_store(store, copy)
            counts |= stored
            _add_file(archive, STORE, copy)
            copy.unlink()
        # Last, and owed items before those that are done: better sent twice than never.
        outbox = settings.outbox_path
        paths = [path for path in sorted(outbox.rglob("*")) if _is_kept(path)]
        paths.sort(key=lambda path: path.parent.name == "done")
        counts["outbox"] = _add_files(archive, paths, outbox, OUTBOX)
        manifest = Manifest(
            made_at=utc_now(), schema_revision=revision, counts=counts, files=archive.files
        )
        archive.finish(manifest)
    return manifest


def _add_unsettled(archive: ArchiveWriter, journals: Path) -> int:
    added = 0
    for path in sorted(journals.glob(f"*{SUFFIX}")):
        try:
            if lock := try_lock(path):
                with lock:
                    # A run that has only just made its file has nothing in it yet.
                    if size := os.fstat(lock.fileno()).st_size:
                        archive.add(f"{JOURNALS}/{path.name}", lock, size)
                        added += 1
                continue
            with path.open("rb") as file:
                # A living run's last line may be half written; one without a line has no head yet.
                if size := _whole_lines(file.fileno()):
                    archive.add(f"{JOURNALS}/{path.name}", file, size)
                    added += 1
        except FileNotFoundError:
            continue
    return added


def _whole_lines(fd: int) -> int:
    """How many bytes of an open journal end with a line."""
    size = os.fstat(fd).st_size
    start = max(0, size - MAX_LINE_BYTES)
    return start + os.pread(fd, size - start, start).rfind(b"\n") + 1


def _add_files(archive: ArchiveWriter, paths: list[Path], folder: Path, name: str) -> int:
    added = 0
    for path in paths:
        try:
            _add_file(archive, f"{name}/{path.relative_to(folder).as_posix()}", path)
        except FileNotFoundError:
            continue
        added += 1
    return added


def _add_file(archive: ArchiveWriter, name: str, path: Path) -> None:
    with path.open("rb") as file:
        archive.add(name, file, os.fstat(file.fileno()).st_size)


def _is_kept(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix != ".lock"


def _copy_store(store: Path, copy: Path) -> tuple[str, dict[str, int]]:
    """One state of the store, whoever writes to it meanwhile; its schema, and what is in it."""
    try:
        # For reading too: without it SQLite could not share the write-ahead log of a live store.
        source = sqlite3.connect(
            f"{store.as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_SECONDS
        )
        with closing(source):
            source.isolation_level = None
            source.execute("VACUUM INTO ?", (str(copy),))
        with closing(sqlite3.connect(copy)) as copied:
            revision = copied.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            counts = {
                table: copied.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("jobs", "runs", "usage")
            }
    except sqlite3.Error as error:
        raise LedgerError(f"store {store}: {advice(error)}") from error
    return str(revision), counts


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
