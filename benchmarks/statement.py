"""A statement over a million charges: its time, its growth, and the memory it takes.

`python -m benchmarks.statement`; `--quick` only shows that it runs.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from metering.billing.month import JobCharges
from metering.billing.month_sum import MonthSum
from metering.billing.period import parse_period
from metering.billing.plan_card import card_on_plan
from metering.billing.statement import Statement, make_statement
from metering.pricing.charges import Charge
from metering.pricing.loading import load_card
from metering.pricing.plans import Plan, find_plan, load_plans
from metering.pricing.rating import rate
from metering.usage import Usage

from .jobs import instances
from .report import print_machine, print_table

_BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_PER_JOB = 4
_DIFFERENT = 50
"""Jobs that differ; the others are copies of them, as a month's meetings are much alike."""


def job_charges(plan: Plan) -> list[tuple[Charge, ...]]:
    """What some different jobs were charged, four charges each, two of them with an allowance."""
    card = card_on_plan(load_card(), plan)
    made = []
    for number in range(_DIFFERENT):
        usages = [_hosted(usage) for usage in instances(number, 2 * _PER_JOB, _BEGAN)]
        charges = rate(usages, card, hosting="cloud-agents", plan=plan.plan_id)
        made.append(tuple(charges))
    return made


def _hosted(usage: Usage) -> Usage:
    hosted = usage.provider == "self-hosted"
    return replace(usage, provider="livekit-cloud") if hosted else usage


def jobs(made: list[tuple[Charge, ...]], count: int) -> Iterator[JobCharges]:
    """So many charges, in jobs that end one after another."""
    number = 0
    while count > 0:
        charges = made[number % len(made)][:count]
        ended_at = _BEGAN + timedelta(seconds=number)
        yield JobCharges(job_id=f"AJ_{number}", ended_at=ended_at, charges=charges)
        number += 1
        count -= len(charges)


def state(made: list[tuple[Charge, ...]], plan: Plan, count: int, *, by_job: bool) -> Statement:
    """The statement of so many charges, with what each job cost or without."""
    period = parse_period("2026-11", "UTC")
    if by_job:
        month = list(jobs(made, count))
    else:
        total = MonthSum()
        for job in jobs(made, count):
            total.add(job.charges)
        month = total.as_job()
    statement = make_statement(month, plan, period, rate_card="benchmark")
    assert statement is not None
    return statement


def bare_sum(made: list[tuple[Charge, ...]], count: int) -> Decimal:
    """The peer: the list costs of the same charges, added up by a loop and nothing else."""
    total = Decimal(0)
    for job in jobs(made, count):
        for charge in job.charges:
            total += charge.list_cost or 0
    return total


def main() -> int:
    """Print the table; returns 1 where the two ways disagree about the money."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=1_000_000, help="how many charges")
    parser.add_argument("--quick", action="store_true", help="small sizes: only that it runs")
    asked = parser.parse_args()
    largest = 1_000 if asked.quick else asked.largest
    print_machine()
    plan = find_plan(load_plans(), "livekit/ship")
    made = job_charges(plan)
    rows = []
    disagree = False
    for count in (largest // 100, largest // 10, largest):
        began = time.process_time()
        bare_sum(made, count)
        bare = time.process_time() - began
        times, totals, peaks = [], [], []
        for by_job in (False, True):
            began = time.process_time()
            statement = state(made, plan, count, by_job=by_job)
            times.append(time.process_time() - began)
            totals.append(statement.bill.exact_total)
            peaks.append(_peak_mb(made, plan, count, by_job=by_job))
        disagree = disagree or totals[0] != totals[1]
        rows.append(
            [
                f"{count:,}",
                f"{bare:.2f} s",
                *(f"{seconds:.2f} s" for seconds in times),
                f"{times[0] / bare:.1f}",
                *(f"{peak:.1f} MB" for peak in peaks),
            ]
        )
    print_table(
        "a statement over so many charges: CPU, and the most memory it allocates",
        ["charges", "bare sum", "statement", "and each job", "to bare", "memory", "and each job"],
        rows,
    )
    return disagree


def _peak_mb(made: list[tuple[Charge, ...]], plan: Plan, count: int, *, by_job: bool) -> float:
    """Measured apart: to be watched makes it several times slower."""
    tracemalloc.start()
    try:
        state(made, plan, count, by_job=by_job)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    sys.exit(main())
