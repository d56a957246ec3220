"""How busy a worker says it is, so that the server gives the next room to another in time.

The framework tells the processor's load of the last seconds. A job that was given a moment ago has
not used any yet: twenty dispatches in one second would all be taken by the first worker. So a job
that has just begun counts for what it will need, less and less as it can be measured.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from livekit.agents import AgentServer

CORES_OF_A_JOB = 0.1
"""What a meeting of six people in turns takes, of one core; see docs/benchmarks.md."""
SETTLING_SECONDS = 20.0
"""A job is dispatched when people come, and is as busy as it gets when they talk."""
_SAMPLES = 5
_SAMPLE_SECONDS = 0.5


class WorkerLoad:
    """The load from 0 to 1: `processor` as it is measured, and the jobs that are not in it yet."""

    def __init__(
        self,
        processor: Callable[[], float],
        cores: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processor = processor
        self._share = CORES_OF_A_JOB / cores
        self._clock = clock
        self._begun: dict[str, float] = {}

    def of(self, jobs: Collection[str]) -> float:
        """The load with these jobs running, by their ids."""
        now = self._clock()
        self._begun = {job: self._begun.get(job, now) for job in jobs}
        coming = sum(
            max(0.0, 1 - (now - begun) / SETTLING_SECONDS) for begun in self._begun.values()
        )
        return min(1.0, self._processor() + coming * self._share)


class _Processor:
    """The machine's, or the container's, mean load of the last seconds; measured on a thread."""

    def __init__(self) -> None:
        from livekit.agents.utils.hw import get_cpu_monitor

        self._monitor = get_cpu_monitor()
        self.cores = max(0.1, self._monitor.cpu_count())
        self._samples: deque[float] = deque([0.0], maxlen=_SAMPLES)
        threading.Thread(target=self._measure, daemon=True, name="tallyroom-load").start()

    def _measure(self) -> None:
        while True:
            self._samples.append(self._monitor.cpu_percent(_SAMPLE_SECONDS))

    def load(self) -> float:
        samples = list(self._samples)
        return sum(samples) / len(samples)


def load_function() -> Callable[[AgentServer], float]:
    """For a worker, which asks it from any thread; begins to measure when it is first asked.

    LiveKit Cloud ignores it and uses the framework's own.
    """
    lock = threading.Lock()
    made: list[WorkerLoad] = []

    def load(server: AgentServer) -> float:
        with lock:
            if not made:
                processor = _Processor()
                made.append(WorkerLoad(processor.load, processor.cores))
            return made[0].of([info.job.id for info in server.active_jobs])

    return load
