"""A statement's jobs put together by what they have in common; the costs of all groups are its."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ..billing.allocation import JobCost
from ..billing.sharing import add_up
from ..usage import format_decimal


class GroupBy(StrEnum):
    """What jobs are put together by."""

    TENANT = "tenant"
    TAG = "tag"
    ROOM = "room"
    DAY = "day"
    PURPOSE = "purpose"


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs of a statement with something in common, and what they cost together."""

    name: str
    jobs: int
    list_cost: Decimal
    marginal_cost: Decimal
    effective_cost: Decimal
    unrated: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; money is strings of exact decimals."""
        return {
            "name": self.name,
            "jobs": self.jobs,
            "list_cost": format_decimal(self.list_cost),
            "marginal_cost": format_decimal(self.marginal_cost),
            "effective_cost": format_decimal(self.effective_cost),
            "unrated": self.unrated,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Group:
        """What `to_json` gave."""
        costs = ("list_cost", "marginal_cost", "effective_cost")
        return cls(**data | {name: Decimal(data[name]) for name in costs})


def group(costs: Iterable[JobCost], name_of: Callable[[JobCost], str]) -> list[Group]:
    """The costs summed by name, in the order of the names."""
    found: dict[str, list[JobCost]] = defaultdict(list)
    for cost in costs:
        found[name_of(cost)].append(cost)
    return [
        Group(
            name,
            len({cost.job_id for cost in of_name}),
            add_up([cost.list_cost for cost in of_name]),
            add_up([cost.marginal_cost for cost in of_name]),
            add_up([cost.effective_cost for cost in of_name]),
            sum(cost.unrated for cost in of_name),
        )
        for name, of_name in sorted(found.items())
    ]
