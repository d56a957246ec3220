"""What has piled up in a machine's journals folder: the plainest sign that metering fails.

Whatever a job process cannot say of itself, its journal says: it is written once a second while its
run lives, and settled within a minute when it does not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .errors import JournalError
from .journal import HEARTBEAT_SECONDS, SUFFIX, try_lock

STALLED_SECONDS = 15 * HEARTBEAT_SECONDS
"""A loaded machine's disk can keep a heartbeat waiting for some seconds."""
LATE_SECONDS = 300.0
"""Five sweeps: what is not settled by then has failed to be, and not only waited its turn."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Journals of dead runs that wait, for how long the oldest has; of living runs that get no
    heartbeat; and of nobody knows whose."""

    unsettled: int = 0
    unsettled_seconds: float = 0.0
    stalled: int = 0
    unreadable: int = 0

    @property
    def complaint(self) -> str:
        """What is wrong, in one line; empty where nothing is."""
        found = []
        if self.unsettled_seconds > LATE_SECONDS:
            found.append(
                f"{self.unsettled} journals are not settled, the oldest for"
                f" {self.unsettled_seconds:.0f} s"
            )
        if self.stalled:
            found.append(f"{self.stalled} journals of living jobs are not being written")
        return "; ".join(found)


def look(journals: Path, unreadable: Path) -> Backlog:
    """Look through a folder of journals, and the one of those put aside.

    Raises:
        OSError: a folder cannot be read.
    """
    waiting: list[float] = []
    stalled = 0
    now = time.time()
    for path in journals.glob(f"*{SUFFIX}"):
        try:
            silent = max(0.0, now - path.stat().st_mtime)
            lock = try_lock(path)
        except FileNotFoundError:
            continue
        except JournalError:
            # Whoever owns it, nobody can settle it.
            waiting.append(silent)
            continue
        if lock is not None:
            lock.close()
            waiting.append(silent)
        elif silent > STALLED_SECONDS and path.exists():
            stalled += 1
    return Backlog(
        unsettled=len(waiting),
        unsettled_seconds=max(waiting, default=0.0),
        stalled=stalled,
        unreadable=sum(1 for _ in unreadable.glob(f"*{SUFFIX}")),
    )
