"""What a metered job's process weighs more than an unmetered one.

As a program it is such a process: it loads what an agent with Deepgram loads, and prints its
memory. Metered, it has a JobMeter attached, with its journal, a session and everybody's connection
open, and has taken some heartbeats.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast


def sample(runs: int) -> dict[str, dict[str, list[int]]]:
    """Bytes by shape and figure, `runs` of each, in turns."""
    found: dict[str, dict[str, list[int]]] = {
        shape: {"Rss": [], "Pss": []} for shape in ("plain", "metered")
    }
    for _ in range(runs):
        for shape, figures in found.items():
            command = [sys.executable, "-m", "benchmarks.memory", shape]
            ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            for name, value in zip(("Rss", "Pss"), ended.stdout.split(), strict=True):
                figures[name].append(int(value))
    return found


def medians(found: dict[str, dict[str, list[int]]], name: str) -> tuple[float, float]:
    """The median of the unmetered and of the metered."""
    return statistics.median(found["plain"][name]), statistics.median(found["metered"][name])


def _resident(name: str) -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} in /proc/self/smaps_rollup: this needs Linux")


async def _job(is_metered: bool) -> None:
    import aiohttp
    import livekit.agents
    import livekit.plugins.deepgram  # noqa: F401
    from livekit import rtc

    room = rtc.Room()
    job = SimpleNamespace(
        id="AJ_bench",
        dispatch_id="",
        agent_name="bench",
        room=SimpleNamespace(name="room", sid="RM_bench"),
    )
    context = SimpleNamespace(job=job, room=room, add_shutdown_callback=lambda callback: None)
    session: aiohttp.ClientSession
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as folder:
        if is_metered:
            from metering import JobMeter
            from metering.settings import MeterSettings

            settings = MeterSettings.model_construct(data_dir=Path(folder))
            meter = JobMeter(cast(Any, context), settings=settings)
            session = meter.http_session()
        else:
            session = aiohttp.ClientSession()
        await asyncio.sleep(2.5)
        gc.collect()
        print(_resident("Rss"), _resident("Pss"))
        await session.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=["plain", "metered"])
    asyncio.run(_job(parser.parse_args().shape == "metered"))
