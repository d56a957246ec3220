"""What every benchmark prints: the machine, how busy it was, and a table."""

from __future__ import annotations

import math
import os
import platform
import sqlite3
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

_PACKAGES = ("livekit-agents", "sqlalchemy", "aiosqlite", "aiohttp")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` of them do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def print_machine(*, folder: Path | None = None) -> None:
    """Say on what the figures were measured; `folder` is where files are written, if any are."""
    load = os.getloadavg()[0]
    lines = [
        f"machine: {_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        f"load average before the run: {load:.2f}",
        f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, "
        + ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    ]
    if folder:
        lines.append(f"files on: {_filesystem(folder)}")
    print("\n".join(lines), end="\n\n", flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose first column is text, the others figures."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    console.print(table)
    console.file.flush()


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _filesystem(folder: Path) -> str:
    """The kind of filesystem that a folder is on: one in memory has no disk to wait for."""
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    resolved = str(folder.resolve())
    for line in mounts:
        _, place, named, *_ = line.split()
        if resolved.startswith(place) and len(place) > len(best):
            best, kind = place, named
    return kind
