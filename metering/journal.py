"""The append-only file that a run's measurements survive in.

A job can be killed at any instant, and nothing runs after a SIGKILL. So whatever is measured is
written at once, by a thread of its own (the event loop never waits for a disk), and a heartbeat a
second says how far the running clocks had come. Every line carries its own checksum: a torn or
overwritten line is skipped and counted, and costs only itself.

The file is locked for as long as its process lives. A free lock, never a process id, says that the
run is dead and its journal may be settled by whoever takes the lock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import JournalError
from .health import Operation, failed

logger = logging.getLogger("tallyroom.metering")

FORMAT_VERSION = 1
HEARTBEAT_SECONDS = 1.0
SUFFIX = ".journal"
MAX_LINE_BYTES = 1 << 20
"""Longer lines are not ours: nothing we write comes near, and a hostile one must not eat memory."""

Entry = dict[str, Any]


def encode(entry: Entry) -> bytes:
    """One entry as a line: eight hex digits of CRC-32, a space, compact JSON, a newline."""
    body = json.dumps(entry, separators=(",", ":"), ensure_ascii=True, sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Entry | None:
    """The entry of a line, or None for a line that is torn, altered or not ours."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        entry = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def read_entries(path: Path) -> tuple[list[Entry], int]:
    """All entries of a journal that can be trusted, and how many lines could not.

    Raises:
        JournalError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return decode_lines(file)
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}") from error


def decode_lines(file: IO[bytes]) -> tuple[list[Entry], int]:
    """The entries of a journal's bytes that can be trusted, and how many lines could not."""
    lines = EntryLines(file)
    return list(lines), lines.damaged


class EntryLines:
    """The entries of a journal's bytes that can be trusted, one at a time.

    `damaged` counts the lines that could not be, as far as they have been read.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.damaged = 0

    def __iter__(self) -> Iterator[Entry]:
        for line in _lines(self._file):
            entry = decode(line) if line.endswith(b"\n") else None
            if entry is None:
                self.damaged += 1
            else:
                yield entry


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        yield line


class JournalWriter:
    """Appends entries and heartbeats to one run's journal, off the event loop.

    `beat` is called on the writer's thread once a heartbeat and returns the entries that stand for
    it. A disk that is full or gone does not stop the job: what could not be written is kept and
    tried again at every beat, and `failing` says so meanwhile.

    Raises:
        JournalError: the file cannot be created or is already locked.
    """

    def __init__(
        self,
        path: Path,
        *,
        beat: Callable[[], Iterable[Entry]],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.path = path
        self.failing = False
        self._beat = beat
        self._heartbeat_seconds = heartbeat_seconds
        self._pending: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._unwritten = bytearray()
        self._torn = False
        self._dirty = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = _create_locked(path)
        except OSError as error:
            raise JournalError(f"cannot create journal {path}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._run, name="tallyroom-journal", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Hand an entry to the writer; returns at once, and may be called from any thread."""
        self._pending.put(encode(entry))

    def finish(self) -> None:
        """Write and sync what is left and stop beating; the lock stays until `release`.

        Blocks for as long as the disk takes; call it off the event loop.
        """
        self._pending.put(None)
        self._thread.join()

    @property
    def unwritten(self) -> bytes:
        """Whole lines that could not be written; of interest after `finish`."""
        return bytes(self._unwritten)

    def hand_over(self) -> None:
        """Let others settle a journal that is finished."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def take_back(self) -> bool:
        """Lock it again, once nobody else has it; returns whether it is still there to be settled.

        Blocks for as long as somebody settles it.
        """
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return _is_at(self._fd, self.path)

    def release(self) -> None:
        """Close the file, and with it give up the lock."""
        os.close(self._fd)

    def _run(self) -> None:
        next_beat = time.monotonic() + self._heartbeat_seconds
        while True:
            try:
                line = self._pending.get(timeout=max(0.0, next_beat - time.monotonic()))
            except queue.Empty:
                next_beat = time.monotonic() + self._heartbeat_seconds
                self._take_beat()
                self._write()
                self._sync()
                continue
            if line is None:
                self._write()
                self._sync()
                return
            self._unwritten += line
            self._write()

    def _take_beat(self) -> None:
        try:
            for entry in self._beat():
                self._unwritten += encode(entry)
        except Exception as error:
            # Without this thread nothing more is written at all: one beat is the smaller loss.
            failed(Operation.JOURNAL)
            logger.error("a metering heartbeat failed: %s", type(error).__name__)

    def _write(self) -> None:
        try:
            if self._torn and self._unwritten:
                os.write(self._fd, b"\n")
                self._torn = False
            while self._unwritten:
                written = os.write(self._fd, self._unwritten)
                self._dirty = True
                # A short write means a full disk: what went out is half a line, and is ended
                # before the whole line is written again.
                complete = self._unwritten.rfind(b"\n", 0, written) + 1
                self._torn = complete < written
                del self._unwritten[:complete]
                if self._torn:
                    raise OSError(None, "short write")
        except OSError as error:
            self._report_failure(error)

    def _sync(self) -> None:
        if not self._dirty:
            return
        try:
            os.fdatasync(self._fd)
            self._dirty = False
        except OSError as error:
            self._report_failure(error)
            return
        if not self._unwritten:
            self._report_recovery()

    def _report_failure(self, error: OSError) -> None:
        if not self.failing:
            failed(Operation.JOURNAL)
            logger.error("metering journal cannot be written, keeping it in memory: %s", error)
        self.failing = True

    def _report_recovery(self) -> None:
        if self.failing:
            logger.warning("metering journal can be written again")
        self.failing = False


def _create_locked(path: Path) -> int:
    """A new file, locked before a sweeper can find it and take it for a dead run's."""
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    unfound = path.with_suffix(".part")
    fd = os.open(unfound, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unfound.rename(path)
    except OSError:
        os.close(fd)
        unfound.unlink(missing_ok=True)
        raise
    return fd


def try_lock(path: Path) -> IO[bytes] | None:
    """Take a dead run's journal: its locked file, or None if the run lives or another has taken it.

    Closing the file gives the lock up. The path is looked at again once the lock is held, because
    whoever held it before may have retired the journal meanwhile.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"cannot open journal {path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(file.fileno(), path):
            return file
    except OSError:
        pass
    file.close()
    return None


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def retire(path: Path, folder: str) -> Path:
    """Move a journal out of the sweeper's way, into a folder beside it; returns its new path.

    Raises:
        JournalError: it cannot be moved there.
    """
    destination = path.parent / folder / path.name
    try:
        destination.parent.mkdir(exist_ok=True)
        return path.rename(destination)
    except OSError as error:
        raise JournalError(f"cannot move journal {path} to {folder}/: {error.strerror}") from error
