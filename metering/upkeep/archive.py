"""One file that holds a backup: a compressed tar with a manifest at its end.

The manifest says what must be in it, to the byte. It is written last: an archive that was cut short
has none, and is refused.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Self

from pydantic import BaseModel, ValidationError

from ..errors import BackupError
from ..record import Stamp

ARCHIVE_FORMAT = 1
STORE = "ledger.sqlite3"
JOURNALS = "journals"
OUTBOX = "outbox"

_MANIFEST = "manifest.json"
_COMPRESSION = 6
_BUFFER_BYTES = 1 << 20
_BROKEN = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValidationError)


class ArchivedFile(BaseModel):
    """A file of the archive; `sha256` in hex."""

    name: str
    size: int
    sha256: str


class Manifest(BaseModel):
    """What a backup holds. Where it is without the store `schema_revision` is null."""

    format: int = ARCHIVE_FORMAT
    made_at: Stamp
    schema_revision: str | None
    counts: dict[str, int]
    files: list[ArchivedFile]


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what it has read."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


class ArchiveWriter:
    """Writes an archive; use it as a context manager, and finish it with its manifest."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "w:gz", compresslevel=_COMPRESSION)  # noqa: SIM115
        self.files: list[ArchivedFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def add(self, name: str, file: IO[bytes], size: int) -> None:
        """Add the next `size` bytes of an open file under a name.

        Raises:
            OSError: it has fewer, or the archive cannot be written.
        """
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        hashing = _Hashing(file)
        self._tar.addfile(member, hashing)
        sha256 = hashing.sha256.hexdigest()
        self.files.append(ArchivedFile(name=name, size=size, sha256=sha256))

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, after all else."""
        body = manifest.model_dump_json(indent=2).encode()
        member = tarfile.TarInfo(_MANIFEST)
        member.size, member.mode = len(body), 0o600
        self._tar.addfile(member, io.BytesIO(body))


def unpack(archive: Path, folder: Path) -> Manifest:
    """Unpack an archive into a folder and hold it against its manifest.

    What the archive calls its files is checked before anything is written: none of them can come to
    lie outside the folder.

    Raises:
        BackupError: it cannot be read or written, or is not what its manifest says.
    """
    found: list[ArchivedFile] = []
    manifest: Manifest | None = None
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or manifest is not None:
                    raise BackupError(f"{archive}: {member.name!r} has no place in a backup")
                if member.name == _MANIFEST:
                    manifest = Manifest.model_validate_json(content.read())
                else:
                    found.append(_extract(archive, content, member.name, folder))
    except _BROKEN as error:
        raise BackupError(f"{archive} is no backup of ours, or a damaged one: {error}") from error
    except OSError as error:
        raise BackupError(f"cannot unpack {archive}: {error.strerror or error}") from error
    if manifest is None:
        raise BackupError(f"{archive} has no manifest: it was cut short, or is no backup of ours")
    if manifest.format != ARCHIVE_FORMAT:
        raise BackupError(
            f"{archive} has format {manifest.format}, this version reads {ARCHIVE_FORMAT}: restore"
            " it with the version that made it"
        )
    for difference in _differences(manifest.files, found):
        raise BackupError(f"{archive}: {difference}")
    return manifest


def _extract(archive: Path, content: IO[bytes], name: str, folder: Path) -> ArchivedFile:
    place = PurePosixPath(name)
    known = name == STORE or (len(place.parts) > 1 and place.parts[0] in (JOURNALS, OUTBOX))
    if not known or ".." in place.parts or "\0" in name or str(place) != name:
        raise BackupError(f"{archive}: {name!r} has no place in a backup")
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        path.chmod(0o600)
        while data := content.read(_BUFFER_BYTES):
            sha256.update(data)
            size += len(data)
            file.write(data)
    return ArchivedFile(name=name, size=size, sha256=sha256.hexdigest())


def _differences(promised: list[ArchivedFile], found: list[ArchivedFile]) -> Iterator[str]:
    missing = {file.name: file for file in promised}
    for file in found:
        promise = missing.pop(file.name, None)
        if promise is None:
            yield f"{file.name!r} is not in its manifest"
        elif promise != file:
            yield f"{file.name!r} is not what its manifest says (SHA-256 {promise.sha256})"
    for name in missing:
        yield f"{name!r} is in its manifest only"
