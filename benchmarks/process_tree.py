"""The CPU and the memory of a process and everything that it has started, while it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil

CPU_EVERY_SECONDS = 0.25
MEMORY_EVERY_SECONDS = 5.0
"""Adding up a process's pages holds its memory map, so it is not done more often."""


@dataclass
class TreeWatch:
    """What a tree of processes took.

    `memory` are the sums of its processes' proportional set sizes, in bytes, as they were found;
    `changed` is set whenever one has been looked for.
    """

    memory: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _first: dict[int, float] = field(default_factory=dict)
    _last: dict[int, float] = field(default_factory=dict)
    _members: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all of them since the watch began."""
        return sum(last - self._first[pid] for pid, last in self._last.items())

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self._members)

    async def until_size(self, most: int) -> None:
        """Wait until there are no more processes than so many."""
        while self.size > most:
            self.changed.clear()
            await self.changed.wait()

    def look(self, root: psutil.Process, *, is_first: bool = False) -> None:
        """Note everybody's CPU time; who was not there at first has begun since, with 0."""
        found = {}
        for one in (root, *root.children(recursive=True)):
            known = self._members.get(one.pid, one)
            try:
                times = known.cpu_times()
            except psutil.NoSuchProcess:
                continue
            found[one.pid] = known
            self._last[one.pid] = times.user + times.system
            self._first.setdefault(one.pid, self._last[one.pid] if is_first else 0.0)
        self._members = found
        self.changed.set()

    def weigh(self) -> None:
        """Note the memory of all of them."""
        total = 0
        for one in self._members.values():
            try:
                total += one.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        self.memory.append(total)


@asynccontextmanager
async def watch_tree(pid: int) -> AsyncIterator[TreeWatch]:
    """Watch a process and those that it starts for as long as the block."""
    root = psutil.Process(pid)
    watch = TreeWatch()
    watch.look(root, is_first=True)
    watching = asyncio.create_task(_watch(watch, root))
    try:
        yield watch
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        watch.look(root)


async def _watch(watch: TreeWatch, root: psutil.Process) -> None:
    weighed_at = time.monotonic()
    while True:
        await asyncio.sleep(CPU_EVERY_SECONDS)
        watch.look(root)
        if time.monotonic() - weighed_at >= MEMORY_EVERY_SECONDS:
            weighed_at = time.monotonic()
            watch.weigh()
