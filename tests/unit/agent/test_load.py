from __future__ import annotations

import pytest

from agent.load import CORES_OF_A_JOB, SETTLING_SECONDS, WorkerLoad


class Machine:
    def __init__(self) -> None:
        self.time = 0.0
        self.busy = 0.0

    def load(self) -> WorkerLoad:
        return WorkerLoad(lambda: self.busy, 2.0, clock=lambda: self.time)


SHARE = CORES_OF_A_JOB / 2


def test_a_burst_of_jobs_fills_a_worker_before_any_of_them_is_busy() -> None:
    load = Machine().load()
    taken: list[str] = []
    while load.of(taken) < 0.7:
        taken.append(f"AJ_{len(taken)}")
    assert len(taken) == 14


def test_what_a_job_will_need_fades_as_it_can_be_measured() -> None:
    machine = Machine()
    load = machine.load()
    assert load.of(["AJ_1"]) == pytest.approx(SHARE)
    machine.time = SETTLING_SECONDS / 2
    assert load.of(["AJ_1", "AJ_2"]) == pytest.approx(1.5 * SHARE)
    machine.time = 2 * SETTLING_SECONDS
    machine.busy = 0.3
    assert load.of(["AJ_1", "AJ_2"]) == pytest.approx(0.3)


def test_a_job_that_has_ended_is_forgotten() -> None:
    machine = Machine()
    load = machine.load()
    load.of(["AJ_1"])
    assert load.of([]) == 0.0
    machine.time = SETTLING_SECONDS
    assert load.of(["AJ_1"]) == pytest.approx(SHARE)


def test_no_more_than_all_of_it() -> None:
    machine = Machine()
    machine.busy = 0.95
    assert machine.load().of(["AJ_1", "AJ_2"]) == 1.0
