from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import JournalError
from metering.journal import (
    MAX_LINE_BYTES,
    Entry,
    JournalWriter,
    decode,
    encode,
    read_entries,
    retire,
    try_lock,
)

PATIENCE_SECONDS = 10.0
HOLDS_A_JOURNAL = """
import sys
from pathlib import Path
from metering.journal import JournalWriter
journal = JournalWriter(Path(sys.argv[1]), beat=lambda: ())
print("locked", flush=True)
sys.stdin.read()
"""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def checked(body: bytes) -> bytes:
    """A line whose checksum is right, whatever is in it."""
    return b"%08x %s\n" % (zlib.crc32(body), body)


class Beats:
    """A heartbeat that can be waited for; it beats when it is told to."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = entries
        self.threads: list[int] = []
        self._beaten = threading.Semaphore(0)

    def __call__(self) -> Iterable[Entry]:
        self.threads.append(threading.get_ident())
        self._beaten.release()
        return self.entries

    def wait(self, count: int = 1) -> None:
        """Until it has begun to beat so often since this was called.

        The second is begun once everything that belongs to the first is done.
        """
        while self._beaten.acquire(blocking=False):
            pass
        for _ in range(count):
            assert self._beaten.acquire(timeout=PATIENCE_SECONDS)


def without_repeats(entries: list[Entry]) -> list[Entry]:
    """A line that lacked nothing but its newline is ended by what tears it, and written again."""
    return [entry for entry, _ in itertools.groupby(entries)]


Open = Callable[..., JournalWriter]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "run_test.journal"


@pytest.fixture
def make_journal(path: Path) -> Iterator[Open]:
    journals = []

    def make(beat: Callable[[], Iterable[Entry]] = tuple, seconds: float = 3600) -> JournalWriter:
        journal = JournalWriter(path, beat=beat, heartbeat_seconds=seconds)
        journals.append(journal)
        return journal

    yield make
    for journal in journals:
        journal.finish()
        journal.release()


@pytest.fixture
def written(make_journal: Open, path: Path) -> Path:
    """A journal of three entries, finished and given up."""
    journal = JournalWriter(path, beat=tuple)
    for number in range(3):
        journal.append({"number": number})
    journal.finish()
    journal.release()
    return path


def test_what_is_appended_is_read_back_in_order(written: Path) -> None:
    assert read_entries(written) == ([{"number": 0}, {"number": 1}, {"number": 2}], 0)
    assert written.stat().st_mode & 0o077 == 0


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_line_is_one_line_and_says_what_was_put_into_it(entry: Entry) -> None:
    line = encode(entry)
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert decode(line) == entry


@given(st.data())
def test_an_altered_byte_is_noticed(data: st.DataObject) -> None:
    line = bytearray(encode({"kind": "usage", "quantity": "60.5"}))
    place = data.draw(st.integers(0, len(line) - 2))
    bit = 1 << data.draw(st.integers(0, 7))
    line[place] ^= bit
    entry = decode(bytes(line))
    # Upper case says the same in hex, and a space more or less before the checksum too.
    assert entry in (None, {"kind": "usage", "quantity": "60.5"})
    assert entry is None or place < 8


def test_a_torn_last_line_costs_only_itself(written: Path) -> None:
    with written.open("ab") as file:
        file.write(encode({"number": 3})[:-5])
    entries, damaged = read_entries(written)
    assert [entry["number"] for entry in entries] == [0, 1, 2]
    assert damaged == 1


def test_a_whole_line_without_its_newline_is_torn(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-1])
    assert read_entries(written) == ([{"number": 0}, {"number": 1}], 1)


def test_a_flipped_byte_costs_only_its_line(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[content.index(b'"number":1') + 9] ^= 1
    written.write_bytes(content)
    assert read_entries(written) == ([{"number": 0}, {"number": 2}], 1)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b" \n",
        b"\x00" * 100 + b"\n",
        b"\xff\xfe\xfd\n",
        b"zzzzzzzz {}\n",
        b"00000000 {}\n",
        b"-1 {}\n",
        b"f" * 10_000 + b" {}\n",
        checked(b""),
        checked(b"[1,2,3]"),
        checked(b'"text"'),
        checked(b"7"),
        checked(b"null"),
        checked(b'{"a":'),
        checked(b"\xff"),
        checked(b'{"n":' + b"9" * 5000 + b"}"),
        checked(b'{"a":' * 100_000),
        checked(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
    ids=lambda line: line[:24].decode("ascii", "replace"),
)
def test_a_line_that_is_not_ours_costs_only_itself(written: Path, line: bytes) -> None:
    content = written.read_bytes()
    written.write_bytes(line + content + line)
    assert read_entries(written) == ([{"number": 0}, {"number": 1}, {"number": 2}], 2)


def test_a_line_without_end_is_read_in_bounded_pieces(written: Path) -> None:
    content = written.read_bytes()
    written.write_bytes(content + b"x" * (3 * MAX_LINE_BYTES) + b"\n" + content)
    entries, damaged = read_entries(written)
    assert [entry["number"] for entry in entries] == [0, 1, 2, 0, 1, 2]
    assert damaged == 4


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot read journal .*gone\.journal: No such file"):
        read_entries(tmp_path / "gone.journal")


def test_a_journal_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot create journal .*: Not a directory"):
        JournalWriter(tmp_path / "file" / "journals" / "run.journal", beat=tuple)


def test_a_living_run_keeps_its_journal(make_journal: Open, path: Path) -> None:
    journal = make_journal()
    journal.append({"number": 0})
    with pytest.raises(JournalError, match=r"cannot create journal .*: File exists"):
        make_journal()
    assert try_lock(path) is None


def test_a_released_journal_can_be_taken_once_at_a_time(written: Path) -> None:
    lock = try_lock(written)
    assert lock is not None
    assert try_lock(written) is None
    lock.close()
    again = try_lock(written)
    assert again is not None
    again.close()


def test_a_finished_journal_is_still_locked(path: Path) -> None:
    journal = JournalWriter(path, beat=tuple)
    journal.finish()
    assert try_lock(path) is None
    journal.release()
    lock = try_lock(path)
    assert lock is not None
    lock.close()


def test_a_killed_process_gives_its_journal_up(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_JOURNAL, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        assert try_lock(path) is None
        holder.send_signal(signal.SIGKILL)
        assert holder.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    lock = try_lock(path)
    assert lock is not None
    lock.close()


def test_a_journal_that_is_gone_is_not_taken(path: Path) -> None:
    assert try_lock(path) is None


def test_a_journal_that_was_retired_meanwhile_is_not_taken(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another sweeper settles it between our opening and our locking."""
    import fcntl

    real = fcntl.flock

    def late(file: object, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        retire(written, "settled")

    monkeypatch.setattr(fcntl, "flock", late)
    assert try_lock(written) is None


def test_another_file_in_its_place_is_not_taken_for_it(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    real = fcntl.flock

    def late(file: object, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        retire(written, "settled")
        written.write_bytes(b"")

    monkeypatch.setattr(fcntl, "flock", late)
    assert try_lock(written) is None


def test_what_is_no_file_cannot_be_taken(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(JournalError, match=r"cannot open journal .*: Is a directory"):
        try_lock(path)


def test_retiring_moves_it_into_a_folder_beside_it(written: Path) -> None:
    content = written.read_bytes()
    kept = retire(written, "settled")
    assert kept == written.parent / "settled" / written.name
    assert kept.read_bytes() == content
    assert not written.exists()


def test_a_journal_that_cannot_be_moved_stays(written: Path) -> None:
    (written.parent / "settled").write_text("no folder")
    with pytest.raises(JournalError, match=r"cannot move journal .* to settled/: File exists"):
        retire(written, "settled")
    assert written.exists()


def test_it_beats_on_a_thread_of_its_own(make_journal: Open, path: Path) -> None:
    beats = Beats({"kind": "beat", "at": 1})
    journal = make_journal(beats, seconds=0.005)
    beats.wait(3)
    journal.append({"number": 0})
    journal.finish()
    assert threading.get_ident() not in beats.threads
    assert len(set(beats.threads)) == 1
    entries, damaged = read_entries(path)
    assert entries.count({"kind": "beat", "at": 1}) == len(beats.threads)
    assert {"number": 0} in entries
    assert damaged == 0


def test_a_failing_heartbeat_stops_neither_the_next_nor_the_entries(
    make_journal: Open, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beats = Beats({"kind": "beat"})

    def beat() -> Iterable[Entry]:
        entries = beats()
        if len(beats.threads) == 1:
            raise RuntimeError("alice")
        return entries

    journal = make_journal(beat, seconds=0.005)
    beats.wait(2)
    journal.append({"number": 0})
    journal.finish()
    entries, _ = read_entries(path)
    assert entries.count({"kind": "beat"}) == len(beats.threads) - 1 > 0
    assert {"number": 0} in entries
    assert "a metering heartbeat failed: RuntimeError" in caplog.text
    assert "alice" not in caplog.text


def test_many_threads_may_append(make_journal: Open, path: Path) -> None:
    journal = make_journal()

    def append(thread: int) -> None:
        for number in range(100):
            journal.append({"thread": thread, "number": number})

    threads = [threading.Thread(target=append, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.finish()
    entries, damaged = read_entries(path)
    assert damaged == 0
    for thread_number in range(4):
        mine = [entry["number"] for entry in entries if entry["thread"] == thread_number]
        assert mine == list(range(100))


class Disk:
    """Stands for `os.write` to a disk with `room` bytes left, None for plenty."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.refusals = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes | bytearray) -> int:
        if self.room is None:
            return self._write(fd, data)
        if self.room == 0:
            self.refusals += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, bytes(data[: self.room]))
        self.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (0, (0, 4)),
        (1, (1, 4)),
        (8, (1, 4)),
        (9, (1, 4)),
        (20, (1, 4)),
        (21, (0, 5)),
        (22, (0, 4)),
        (23, (1, 4)),
        (42, (1, 4)),
        (43, (0, 5)),
        (44, (0, 4)),
    ],
)
def test_a_full_disk_loses_nothing_once_there_is_room(
    make_journal: Open,
    path: Path,
    disk: Disk,
    caplog: pytest.LogCaptureFixture,
    room: int,
    expected: tuple[int, int],
) -> None:
    """Wherever in a line the disk becomes full: the line is torn once, and written again whole."""
    assert len(encode({"number": 0})) == 22
    beats = Beats()
    disk.room = room
    journal = make_journal(beats, seconds=0.005)
    for number in range(3):
        journal.append({"number": number})
    beats.wait(3)
    assert journal.failing
    assert disk.refusals > 1
    disk.room = None
    beats.wait(2)
    assert "can be written again" in caplog.text
    journal.append({"number": 3})
    journal.finish()

    entries, damaged = read_entries(path)
    assert without_repeats(entries) == [{"number": number} for number in range(4)]
    assert (damaged, len(entries)) == expected
    assert caplog.text.count("cannot be written") == 1
    assert caplog.text.count("can be written again") == 1


def test_a_disk_that_stays_full_leaves_the_rest_to_whoever_finishes(
    make_journal: Open, path: Path, disk: Disk
) -> None:
    journal = make_journal(Beats())
    disk.room = 22 + 5
    for number in range(3):
        journal.append({"number": number})
    journal.finish()
    assert journal.unwritten == encode({"number": 1}) + encode({"number": 2})
    assert read_entries(path) == ([{"number": 0}], 1)


def test_a_journal_is_locked_before_it_can_be_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making and locking it a sweeper would take it for a dead run's, and put it aside."""
    seen = []
    flock = fcntl.flock

    def look(file: int, operation: int) -> None:
        seen.append(path.exists())
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", look)
    journal = JournalWriter(path, beat=lambda: ())
    assert seen == [False]
    assert try_lock(path) is None
    journal.finish()
    journal.release()
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_disk_that_fills_up_again_and_again_loses_nothing(
    make_journal: Open, path: Path, disk: Disk
) -> None:
    beats = Beats()
    journal = make_journal(beats, seconds=0.005)
    for number in range(20):
        journal.append({"number": number})
        disk.room = number
        beats.wait()
    disk.room = None
    journal.finish()
    entries, _ = read_entries(path)
    assert without_repeats(entries) == [{"number": number} for number in range(20)]


def test_a_failing_flush_is_said_once_and_the_entries_are_kept(
    make_journal: Open,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = os.fdatasync

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fail)
    beats = Beats({"kind": "beat"})
    journal = make_journal(beats, seconds=0.005)
    journal.append({"number": 0})
    beats.wait(4)
    assert "cannot be written" in caplog.text
    monkeypatch.setattr(os, "fdatasync", real)
    journal.finish()
    assert not journal.failing
    assert {"number": 0} in read_entries(path)[0]
    assert caplog.text.count("cannot be written") == 1
    assert caplog.text.count("can be written again") == 1


def test_a_short_write_at_a_lines_end_tears_nothing(
    make_journal: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def one_line(fd: int, data: bytes | bytearray) -> int:
        return real(fd, bytes(data[: data.index(b"\n") + 1]))

    monkeypatch.setattr(os, "write", one_line)
    beats = Beats({"number": 1}, {"number": 2})
    journal = make_journal(beats, seconds=0.005)
    beats.wait(2)
    journal.finish()
    entries, damaged = read_entries(path)
    assert [entry["number"] for entry in entries] == [1, 2] * len(beats.threads)
    assert damaged == 0
    assert not journal.failing


def test_lines_are_what_the_format_says() -> None:
    body = json.dumps({"a": "ä", "b": 1}, separators=(",", ":"), sort_keys=True).encode()
    assert encode({"b": 1, "a": "ä"}) == b"%08x " % zlib.crc32(body) + body + b"\n"
