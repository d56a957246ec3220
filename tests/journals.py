"""Whether a journal is held: what everybody asks who may take it over, and tests wait for."""

from __future__ import annotations

from pathlib import Path

from metering.journal import try_lock


def is_free(journal: Path) -> bool:
    """Whether nobody holds it; one that is not there is held by nobody."""
    lock = try_lock(journal)
    if lock is None:
        return not journal.exists()
    lock.close()
    return True
