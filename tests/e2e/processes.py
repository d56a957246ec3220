"""Finding a job's own process, to do to it what a machine or an operator would."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

from metering.journal import SUFFIX
from tests.journals import is_free
from tests.waiting import until


def job_process(data: Path) -> int:
    """The process that holds the running job's journal open."""
    journal = _journal(data)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                held = {os.readlink(fd) for fd in (process / "fd").iterdir()}
            except OSError:
                continue
            if str(journal) in held:
                return int(process.name)
    raise AssertionError("nobody holds the journal")


async def kill_job(data: Path) -> datetime:
    """Kill the running job's process; returns when that was, once its journal is free.

    On a busy machine a killed process takes a moment to die, and holds its files until then.
    """
    journal = _journal(data)
    os.kill(job_process(data), signal.SIGKILL)
    killed_at = datetime.now(UTC)
    await until(lambda: is_free(journal))
    return killed_at


def _journal(data: Path) -> Path:
    (journal,) = (data / "journals").glob(f"*{SUFFIX}")
    return journal
