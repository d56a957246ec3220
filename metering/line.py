"""The line in which a machine's jobs wait to be settled, so that those who wait cost nothing.

SQLite lets one write at a time, and everybody else asks again every 100 ms; PostgreSQL lets all of
them try. With hundreds of jobs ending in the same second the asking and the switching between them
take longer than the work, and who is served next is chance. So one settles at a time for each
core, for others too, and the others sleep until the kernel wakes them, in the order in which they
came. Nothing depends on it but time: the store's own locks hold without it, and who has waited too
long goes on uncalled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import threading
from pathlib import Path


class Turn:
    """A place in a line, which is a few files in a folder; `is_ours` says if our turn has come.

    A process that dies gives its turn up.
    """

    def __init__(self, folder: Path) -> None:
        place = random.randrange(os.cpu_count() or 1)
        self.is_ours = False
        self._lock = threading.Lock()
        self._waiting = False
        self._given_up = False
        self._fd: int | None = None
        # Where no line can be stood in there is none: the store may still be written.
        with contextlib.suppress(OSError):
            self._fd = os.open(folder / f".line{place}", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_ours = True

    def wait(self, patience_seconds: float) -> None:
        """Wait for our turn, for so long at most; blocks the calling thread."""
        if self._fd is None or self.is_ours:
            return
        self._waiting = True
        # On a thread of its own, because the kernel's lock cannot be waited for with a timeout.
        thread = threading.Thread(target=self._block, args=[self._fd], daemon=True)
        thread.start()
        thread.join(patience_seconds)

    def give_up(self) -> None:
        """Let the next one in, or leave the line."""
        with self._lock:
            self._given_up = True
            if self._fd is not None and not self._waiting:
                os.close(self._fd)

    def _block(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        with self._lock:
            self._waiting = False
            self.is_ours = True
            if self._given_up:
                os.close(fd)
