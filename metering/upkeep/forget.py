"""Forgetting a person, a meeting or a tenant: names gone wherever the meter keeps any, money kept.

The store, the journals, what waits in the outbox, what a restore has moved away, and the backups.
Usage, charges, claims and statements stay as they are, without anybody knowing whose they were. A
tenant's own name stays: it is who the statements are for.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field

from ..errors import BackupError, ForgetRefused, JournalError
from ..journal import SUFFIX, try_lock
from ..ledger.forgetting import (
    forget_jobs,
    forget_person,
    jobs_of_tenant,
    known_person,
    leave_nothing_behind,
    people_only_in,
    stored_jobs,
)
from ..ledger.schema import SCHEMA_REVISION
from ..ledger.store import Ledger
from ..ledger.upkeep import shipped_heads
from ..outbox import Outbox
from ..settings import MeterSettings
from ..sweeping import QUARANTINE_FOLDER, SETTLED_FOLDER, sweep
from .archive import JOURNALS, OUTBOX, STORE, ArchiveWriter, unpack
from .backup import known_backups
from .prune import journal_head, told_by
from .scrubbing import Scrub

_MOVED_AWAY = "before-restore-*"


class Kind(StrEnum):
    """Who or what is forgotten."""

    PERSON = "person"
    """Somebody, by the identity they join rooms with."""
    MEETING = "meeting"
    """A job, by its id."""
    TENANT = "tenant"
    """All jobs of a tenant."""


class Forgotten(BaseModel):
    """What was forgotten; empty where nothing was known.

    `jobs` are those that were forgotten or that the person was in. `backups` were changed,
    `missing_backups` are noted and not where they were: they hold the names still.
    """

    jobs: list[str] = []
    people: int = 0
    journals: int = 0
    outbox: int = 0
    backups: list[str] = []
    missing_backups: list[str] = []
    names: list[str] = Field(default=[], exclude=True)
    """By what the person was known; for others who keep any, and never to be printed."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was known of them anywhere."""
        return not (self.jobs or self.people or self.journals or self.outbox or self.backups)


@dataclass(frozen=True, slots=True)
class _Place:
    """A store with its journals and its outbox: the data folder, or what a backup holds."""

    store: str | None
    journals: Path
    outbox: Path

    @classmethod
    def of_folder(cls, folder: Path) -> _Place:
        store = folder / STORE
        url = f"sqlite+aiosqlite:///{store}" if store.is_file() else None
        return cls(url, folder / JOURNALS, folder / OUTBOX)


@dataclass(frozen=True, slots=True)
class _Whom:
    kind: Kind
    id: str
    job_ids: frozenset[str]
    names: frozenset[str]


async def forget(
    settings: MeterSettings,
    kind: Kind,
    id_: str,
    *,
    also_jobs: Iterable[str] = (),
    also_named: Iterable[str] = (),
    backups: Sequence[Path] = (),
) -> Forgotten:
    """Forget somebody or something, in all that the meter keeps.

    Doing it again does what was left undone.

    Args:
        settings: where the data is.
        kind: what `id_` is of.
        id_: a person's identity, a job's id, or a tenant.
        also_jobs: jobs that are the tenant's or that the person was in, as others know.
        also_named: names that the person went by, as others know.
        backups: archives besides those that were written from here.

    Raises:
        ForgetRefused: the meeting goes on, or the person is in one that does.
        JournalError: a journal cannot be settled yet, or not be rewritten.
        LedgerError: the store cannot be read or written.
        OutboxError: what waits cannot be rewritten.
        BackupError: a backup cannot be read or rewritten.
    """
    whom = _Whom(kind, id_, frozenset(also_jobs), frozenset(also_named))
    here = _Place(settings.ledger_url, settings.journals_path, settings.outbox_path)
    await sweep(settings)
    whom, total = await _forget_in(here, whom, lives=True)
    total.names = sorted(whom.names)
    for folder in sorted(settings.data_path.glob(_MOVED_AWAY)):
        _add(total, (await _forget_in(_Place.of_folder(folder), whom))[1])
    archives = dict.fromkeys([*known_backups(settings), *(path.absolute() for path in backups)])
    for archive in archives:
        if not archive.is_file():
            total.missing_backups.append(str(archive))
        elif not (found := await _forget_in_archive(archive, whom)).is_empty:
            total.backups.append(str(archive))
            _add(total, found)
    return total


async def forget_old(settings: MeterSettings, job_ids: Sequence[str]) -> Forgotten:
    """Forget some jobs that are settled here, at the end of their retention; backups stay.

    Raises:
        MeteringError: as `forget`.
    """
    here = _Place(settings.ledger_url, settings.journals_path, settings.outbox_path)
    whom = _Whom(Kind.MEETING, job_ids[0], frozenset(job_ids), frozenset())
    return (await _forget_in(here, whom, lives=True, whole=False))[1]


def _add(total: Forgotten, found: Forgotten) -> None:
    """Copies of what is there are not counted again."""
    total.jobs = sorted({*total.jobs, *found.jobs})
    total.people = max(total.people, found.people)


async def _forget_in(
    place: _Place, whom: _Whom, *, lives: bool = False, whole: bool = True
) -> tuple[_Whom, Forgotten]:
    """Forget in one place; returns also what is known of whom by now.

    Where nobody `lives`, journals that wait for a restore are rewritten like settled ones.
    """
    found = Forgotten()
    if place.store is not None:
        async with Ledger(place.store) as ledger:
            whom = await _known(ledger, whom)
            unreadable = await _nobodys(ledger, whom)
            scrub = _scrub(whom)
            if lives:
                _refuse_running(place.journals, scrub, await shipped_heads(ledger))
            found.jobs = await stored_jobs(ledger, whom.job_ids)
            if whom.kind is Kind.PERSON:
                found.people = await forget_person(ledger, whom.id, scrub.text)
            elif found.jobs:
                found.people = await forget_jobs(ledger, found.jobs)
        await leave_nothing_behind(place.store, whole=whole)
    else:
        unreadable = Scrub(names=[*whom.names, *whom.job_ids])
        scrub = _scrub(whom)
    folders = [place.journals / SETTLED_FOLDER, *([] if lives else [place.journals])]
    found.journals = await asyncio.to_thread(_rewrite, folders, scrub)
    found.journals += await asyncio.to_thread(
        _remove, place.journals / QUARANTINE_FOLDER, unreadable
    )
    found.outbox = await asyncio.to_thread(Outbox(place.outbox).rewrite, scrub.value)
    return whom, found


async def _known(ledger: Ledger, whom: _Whom) -> _Whom:
    """With the jobs and the names that this ledger has of them."""
    jobs, names = set(whom.job_ids), set(whom.names)
    if whom.kind is Kind.PERSON:
        names.add(whom.id)
        if person := await known_person(ledger, whom.id):
            jobs |= set(person.job_ids)
            names.add(person.name)
    elif whom.kind is Kind.TENANT:
        jobs |= set(await jobs_of_tenant(ledger, whom.id))
    else:
        jobs.add(whom.id)
    return _Whom(whom.kind, whom.id, frozenset(jobs), frozenset(names - {""}))


async def _nobodys(ledger: Ledger, whom: _Whom) -> Scrub:
    """By what a journal that does not say whose it is can be told to be of theirs."""
    people: list[tuple[str, str]] = []
    if whom.kind is not Kind.PERSON:
        people = await people_only_in(ledger, whom.job_ids)
    return Scrub(names=[*whom.names, *whom.job_ids, *(name for both in people for name in both)])


def _scrub(whom: _Whom) -> Scrub:
    """A person is taken out of everybody's; of a job everything is."""
    if whom.kind is Kind.PERSON:
        return Scrub(names=whom.names, their_jobs=whom.job_ids)
    return Scrub(job_ids=whom.job_ids)


def _refuse_running(journals: Path, scrub: Scrub, shipped: Iterable[str]) -> None:
    for path in _files(journals):
        info = journal_head(path)
        job_id = info.job_id if info else path.name
        if job_id not in scrub.job_ids and not scrub.identified_in(_read(path)):
            continue
        if lock := try_lock(path):
            lock.close()
            raise JournalError(f"{path} cannot be settled yet: see `tallyroom recover`")
        raise ForgetRefused(f"{job_id} goes on: forget when it has ended")
    for head in shipped:
        info = told_by(head)
        if info and info.job_id in scrub.job_ids:
            raise ForgetRefused(f"{info.job_id} goes on elsewhere: forget when it has ended")


def _rewrite(folders: Iterable[Path], scrub: Scrub) -> int:
    return sum(scrub.journal(path) for folder in folders for path in _files(folder))


def _remove(folder: Path, scrub: Scrub) -> int:
    """Of journals that do not say whose they are nothing can be trusted to be a name or none."""
    named = [path for path in _files(folder) if scrub.named_in(_read(path))]
    for path in named:
        path.unlink()
    return len(named)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}") from error


async def _forget_in_archive(archive: Path, whom: _Whom) -> Forgotten:
    """Rewrite a backup without them; one that does not know them stays as it is."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{archive.name}.", dir=archive.parent) as folder:
            staged = Path(folder) / "content"
            staged.mkdir()
            manifest = await asyncio.to_thread(unpack, archive, staged)
            _, found = await _forget_in(_Place.of_folder(staged), whom)
            if found.is_empty:
                return found
            part = Path(folder) / "archive"
            with ArchiveWriter(part) as writer:
                for file in manifest.files:
                    path = staged / file.name
                    if path.is_file():
                        with path.open("rb") as content:
                            writer.add(file.name, content, os.fstat(content.fileno()).st_size)
                changes: dict[str, object] = {"files": writer.files}
                if manifest.schema_revision is not None:
                    changes["schema_revision"] = SCHEMA_REVISION
                writer.finish(manifest.model_copy(update=changes))
            with part.open("rb") as content:
                os.fsync(content.fileno())
            part.chmod(0o600)
            part.replace(archive)
    except OSError as error:
        raise BackupError(f"cannot rewrite {archive}: {error.strerror or error}") from error
    return found
