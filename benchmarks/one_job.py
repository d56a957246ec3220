"""One job, from a meeting that has been held to its record: what `end_of_job` and `growth` repeat.

As a program it is a job's process that has never settled anything, and prints how long its end
took: like the real one it loads the store and the prices only then.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import time
from collections.abc import Callable
from pathlib import Path

from metering.journal import SUFFIX, JournalWriter
from metering.run import fold

from .jobs import END, entries, settings


def warm_up(folder: Path, count: int) -> None:
    """Settle a job in memory.

    A process that was just forked shares its memory with its parent, and copies each page when it
    first writes to it; that a job's process has its own is not what is measured.
    """
    module = importlib.import_module("metering.settle")

    async def settle() -> None:
        async with module.Ledger.in_memory() as ledger:
            run = fold([*entries(0, count), END])
            await module.settle_runs([run], ledger, settings(folder))

    asyncio.run(settle())


def hold(folder: Path, url: str, number: int, count: int) -> Callable[[], None]:
    """Hold a job's meeting, of so many instances; returns what is left: its end.

    That is its last event, the journal's last sync, and its settling, as a job does it.
    """
    mine = settings(folder, url)
    journal = JournalWriter(mine.journals_path / f"run_{number}{SUFFIX}", beat=tuple)
    for entry in entries(number, count):
        journal.append(entry)

    async def settle() -> None:
        module = await asyncio.to_thread(importlib.import_module, "metering.sweeping")
        await asyncio.to_thread(module.settle_at_end, journal, mine)

    # A job has been running its event loop all along.
    runner = asyncio.Runner()
    runner.get_loop()

    def end() -> None:
        journal.append(END)
        journal.finish()
        runner.run(settle())
        journal.release()

    return end


def main() -> None:
    """Print the seconds from the last event to the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--instances", type=int, default=40)
    asked = parser.parse_args()
    end = hold(asked.folder, asked.url, asked.number, asked.instances)
    time.sleep(0.05)  # The journal's writer has caught up, as it has during a meeting.
    began = time.monotonic()
    end()
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
