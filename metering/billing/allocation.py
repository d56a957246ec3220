"""Every amount of a bill to the jobs that caused it; the shares add up to it, to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..pricing.exact import EXACT, ZERO
from ..pricing.plans import Plan
from .credits import BASE_FEE
from .month import Bucket, Month
from .sharing import add_up, share


@dataclass(frozen=True, slots=True)
class JobCost:
    """The three costs of one job.

    `list_cost` is without any allowance; `marginal_cost` what it added when it ended, given the
    allowances used by then; `effective_cost` its share of what the month comes to, fees and credits
    included. `unrated` counts its charges that have no price and are in none of them.
    """

    job_id: str
    list_cost: Decimal
    marginal_cost: Decimal
    effective_cost: Decimal
    unrated: int
    purpose: str = ""
    """Only where the month was added up by purpose; see `JobCharges`."""


@dataclass(frozen=True, slots=True)
class Unallocated:
    """A part of the total that belongs to no job, and why."""

    what: str
    amount: Decimal


def allocate(
    month: Month, plan: Plan, amounts: Mapping[Bucket, Decimal]
) -> tuple[list[JobCost], list[Unallocated]]:
    """Every amount to the jobs that caused it, by their list costs; the rest by name.

    The base fee is shared by what the jobs used of the plan's provider.
    """
    effective = [ZERO] * len(month.jobs)
    rest = []
    for bucket, amount in sorted(amounts.items()):
        if bucket == BASE_FEE:
            weights = [
                add_up([cost for (of, _), cost in job.list_cost.items() if of == plan.provider])
                for job in month.jobs
            ]
        else:
            weights = [job.list_cost.get(bucket, ZERO) for job in month.jobs]
        if any(weights):
            for number, part in enumerate(share(amount, weights)):
                effective[number] = EXACT.add(effective[number], part)
        elif amount:
            rest.append(Unallocated(bucket[1], amount))
    jobs = [
        JobCost(
            job.job_id,
            add_up(list(job.list_cost.values())),
            add_up(list(job.cost.values())),
            cost,
            job.unrated,
            job.purpose,
        )
        for job, cost in zip(month.jobs, effective, strict=True)
    ]
    return jobs, rest


def together(costs: Sequence[JobCost]) -> tuple[JobCost, ...]:
    """The costs of each job that several parts of a month have, in the order of its first."""
    found: dict[tuple[str, str], JobCost] = {}
    for cost in costs:
        key = cost.job_id, cost.purpose
        before = found.get(key)
        if before is not None:
            cost = JobCost(
                cost.job_id,
                EXACT.add(before.list_cost, cost.list_cost),
                EXACT.add(before.marginal_cost, cost.marginal_cost),
                EXACT.add(before.effective_cost, cost.effective_cost),
                before.unrated + cost.unrated,
                cost.purpose,
            )
        found[key] = cost
    return tuple(found.values())
