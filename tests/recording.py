"""A recorder whose journal is a list, for tests of what the meters write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metering.clock import RunClock
from metering.journal import Entry
from metering.recorder import Recorder
from metering.run import Run, RunInfo, fold
from metering.usage import Usage


@dataclass
class Recording:
    """A run in memory: give its `recorder` to a meter, then read what became of it."""

    clock: RunClock = field(default_factory=RunClock)
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recorder = Recorder("run_test", self.clock, self.entries.append)
        self.entries.append(run_info(started_at=self.clock.began_at).to_entry())

    def run(self, **how: Any) -> Run:
        return fold(self.entries, **how)

    def usages(self, meter: str) -> list[Usage]:
        return [usage for usage in self.run(alive=True).usages if usage.meter == meter]


def run_info(**changes: Any) -> RunInfo:
    """A run's head, with whatever a test does not care for filled in."""
    values: dict[str, Any] = {
        "run_id": "run_test",
        "job_id": "AJ_test",
        "started_at": RunClock().began_at,
        "room_name": "room",
        "room_sid": "RM_test",
    }
    return RunInfo(**values | changes)
