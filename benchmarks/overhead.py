"""What metering costs inside the job: CPU an event and a minute, and memory.

`python -m benchmarks.overhead`; `--quick` only shows that it runs. By counts of events times the
cost of each: the difference of two meetings' CPU would be lost in what meetings differ by.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
from dataclasses import dataclass

from . import events, memory, rtc_stats
from .events import SPEAKERS, Cost
from .far_end import far_end
from .report import print_machine, print_table

FRAMES_PER_SECOND = 20
"""Deepgram's plugin sends 50 ms at a time, speech or not, for as long as its socket is open."""

RESULTS_PER_SECOND = 5
"""An assumption, and a high one: interim results come about once a second."""


@dataclass(frozen=True)
class Meeting:
    """A minute with six people, measured with a real livekit-server and Deepgram's plugin.

    How long its sockets were open together, how many there were, and how many CPU seconds the
    job's own process took: the least that was measured, against which metering weighs most.
    """

    name: str
    socket_seconds: int
    sockets: int
    cpu_seconds: float


GATED = Meeting("sockets open on speech", 80, 16, 14.0)
ALWAYS_OPEN = Meeting("a socket for everybody, always open", 418, 7, 31.0)


def measure(*, quick: bool) -> dict[str, Cost]:
    """The cost of each kind of event."""
    count, rounds = (50, 1) if quick else (4000, 15)
    costs = {}
    with far_end() as url:
        sent, received = asyncio.run(events.socket_messages(url, count, rounds))
        opened = asyncio.run(events.sockets_opened(url, 5 if quick else 60, rounds))
    costs["audio message sent"] = sent
    costs["result received"] = received
    costs["socket opened and closed"] = opened
    costs["heartbeat: written and synced"] = events.heartbeats(20 if quick else 500)
    came, noticed = events.room_events(20 if quick else 3000)
    costs["heartbeat: look around the room"] = noticed
    costs["participant comes or goes"] = came
    costs["LLM request's metrics"] = events.llm_metrics(20 if quick else 3000)
    if not quick and shutil.which("livekit-server"):
        costs["connection's statistics"] = asyncio.run(rtc_stats.measure(150))
    return costs


def per_minute(meeting: Meeting) -> dict[str, int]:
    """How often each happens in a minute of this meeting."""
    return {
        "audio message sent": meeting.socket_seconds * FRAMES_PER_SECOND,
        "result received": meeting.socket_seconds * RESULTS_PER_SECOND,
        "socket opened and closed": meeting.sockets,
        "heartbeat: written and synced": 60,
        "heartbeat: look around the room": 60,
        "participant comes or goes": 2 * SPEAKERS,
        "LLM request's metrics": SPEAKERS,
        "connection's statistics": 12,
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few events: only that it runs")
    parser.add_argument("--runs", type=int, default=9, help="processes of each shape, for memory")
    asked = parser.parse_args()
    print_machine()
    costs = measure(quick=asked.quick)
    print_table(
        "CPU of one event; with a peer: medians of 15 rounds, in turns",
        ["event", "n", "metered", "bare", "added", "ratio"],
        [
            [
                name,
                f"{cost.events:,}",
                _us(cost.metered),
                "-" if cost.bare is None else _us(cost.bare),
                _us(cost.added),
                "-" if not cost.bare else f"{cost.metered / cost.bare:.2f}",
            ]
            for name, cost in costs.items()
        ],
    )
    for meeting in (GATED, ALWAYS_OPEN):
        _print_minute(meeting, costs)
    if "connection's statistics" not in costs:
        print("The connection's statistics are not measured: that needs livekit-server on PATH.\n")
    _print_memory(1 if asked.quick else asked.runs)


def _print_minute(meeting: Meeting, costs: dict[str, Cost]) -> None:
    counts = per_minute(meeting)
    rows = [
        [name, f"{counts[name]:,}", _us(cost.added), f"{counts[name] * cost.added * 1000:.1f} ms"]
        for name, cost in costs.items()
    ]
    total = sum(counts[name] * cost.added for name, cost in costs.items())
    rows.append(["metering, a minute", "", "", f"{total * 1000:.1f} ms"])
    rows.append(["the job's own CPU, a minute", "", "", f"{meeting.cpu_seconds:.0f} s"])
    rows.append(["share", "", "", f"{total / meeting.cpu_seconds:.2%}"])
    print_table(
        f"a minute with six people, {meeting.name}: {meeting.socket_seconds} s of sockets",
        ["event", "a minute", "each", "CPU"],
        rows,
    )


def _print_memory(runs: int) -> None:
    found = memory.sample(runs)
    rows = []
    for name in ("Rss", "Pss"):
        plain, metered = memory.medians(found, name)
        spread = max(found["metered"][name]) - min(found["metered"][name])
        rows.append(
            [
                name.upper(),
                *(f"{value / 1e6:.1f} MB" for value in (plain, metered, metered - plain)),
                f"{spread / 1e6:.1f} MB",
            ]
        )
    print_table(
        f"memory of a process that has loaded livekit-agents and Deepgram's plugin, n = {runs}",
        ["median", "unmetered", "metered", "added", "spread of metered"],
        rows,
    )


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us"


if __name__ == "__main__":
    main()
