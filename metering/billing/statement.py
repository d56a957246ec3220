"""The month's statement: one period, one payer, every figure on a line of its own.

Only drafts so far: nothing is issued or frozen, and usage that arrives later changes the next one
that is made for the same month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..pricing.exact import ZERO
from ..pricing.plans import Credit, Plan
from ..usage import format_decimal, format_stamp
from .bill import Bill, Tax, make_bill
from .concurrency import LimitCheck, check_limits
from .month import JobCharges, MonthLine, TierCost, add_up_month
from .period import Period

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A bill with its period, its payer and what it was made by.

    An empty `tenant` is everybody. `hostings` are those that the jobs were rated under. `limits`
    are the plan's, beside the month's peaks.
    """

    period: Period
    tenant: str
    plan: Plan
    hostings: tuple[str, ...]
    rate_card: str
    bill: Bill
    limits: tuple[LimitCheck, ...]
    status: str = "draft"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; quantities and money are strings of exact decimals."""
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "period": self.period.name,
            "timezone": self.period.timezone,
            "started_at": format_stamp(self.period.start),
            "ended_at": format_stamp(self.period.end),
            "tenant": self.tenant,
            "plan": self.plan.plan_id,
            "hostings": list(self.hostings),
            "rate_card": self.rate_card,
            **bill_to_json(self.bill),
            "limits": [
                {
                    "limit": check.limit,
                    "allowed": check.allowed,
                    "observed": check.observed,
                    "broken": check.broken,
                }
                for check in self.limits
            ],
        }


def make_statement(
    jobs: Sequence[JobCharges],
    plan: Plan,
    period: Period,
    *,
    rate_card: str,
    tenant: str = "",
    hostings: Sequence[str] = (),
    peaks: Mapping[str, int] | None = None,
    other_credits: Sequence[Credit] = (),
    prepaid: Decimal = ZERO,
    tax: Tax | None = None,
) -> Statement | None:
    """A draft of a month's statement; None where nothing is due and nothing is unrated.

    What is paid from credits or a prepaid balance is still shown: a statement with a total, or with
    credits used, is made though nothing is left to pay.

    Args:
        jobs: their charges for the instances that the period holds, rated on this plan.
        plan: the payer's.
        period: the month.
        rate_card: the version of the card that rated them.
        tenant: the payer, if it is a tenant.
        hostings: what the jobs were rated under.
        peaks: the most that ran at once, by the name of the limit.
        other_credits: others than the plan's own.
        prepaid: the balance to pay from.
        tax: what comes on top.

    Raises:
        RateError: charges in several currencies, or not in the plan's.
    """
    month = add_up_month(jobs, plan)
    bill = make_bill(
        month, plan, day=period.first_day, other_credits=other_credits, prepaid=prepaid, tax=tax
    )
    if not bill.exact_total and not bill.credits and not bill.unrated:
        return None
    return Statement(
        period=period,
        tenant=tenant,
        plan=plan,
        hostings=tuple(sorted(set(hostings))),
        rate_card=rate_card,
        bill=bill,
        limits=check_limits(plan.limits, peaks or {}),
    )


def bill_to_json(bill: Bill) -> dict[str, Any]:
    """A bill's amounts, lines and jobs as plain JSON values."""
    return {
        "currency": bill.currency,
        "lines": [line_to_json(line) for line in bill.lines],
        "list_cost": format_decimal(bill.list_cost),
        "usage_cost": format_decimal(bill.usage_cost),
        "base_fee": format_decimal(bill.base_fee),
        "commitment_shortfall": format_decimal(bill.shortfall),
        "credits": [
            {
                "name": used.credit.name,
                "amount": format_decimal(used.amount),
                "expires": used.credit.expires.isoformat() if used.credit.expires else None,
            }
            for used in bill.credits
        ],
        "tax": format_decimal(bill.tax),
        "exact_total": format_decimal(bill.exact_total),
        "rounding": format_decimal(bill.rounding),
        "total": format_decimal(bill.total),
        "prepaid_used": format_decimal(bill.prepaid_used),
        "due": format_decimal(bill.due),
        "unrated": [
            {
                "meter": item.meter,
                "provider": item.provider,
                "model": item.model,
                "quantity": format_decimal(item.quantity),
                "unit": item.unit,
                "instances": item.instances,
                "reason": item.reason,
            }
            for item in bill.unrated
        ],
        "partial": [
            {
                "meter": charge.meter,
                "provider": charge.provider,
                "model": charge.model,
                "certainty": str(charge.certainty),
            }
            for charge in bill.partial
        ],
        "jobs": [
            {
                "job_id": job.job_id,
                "list_cost": format_decimal(job.list_cost),
                "marginal_cost": format_decimal(job.marginal_cost),
                "effective_cost": format_decimal(job.effective_cost),
                "unrated": job.unrated,
            }
            for job in bill.jobs
        ],
        "unallocated": [
            {"what": part.what, "amount": format_decimal(part.amount)} for part in bill.unallocated
        ],
    }


def line_to_json(line: MonthLine) -> dict[str, Any]:
    """A line under the cost record's names, with what the plan made of it."""
    charge = line.charge.to_json()
    priced = charge["state"] == "priced"
    return charge | {
        "allowance_used": format_decimal(line.allowance_used) if priced else None,
        "overage": [_tier_to_json(part) for part in line.overage],
        "beyond_allowance": format_decimal(line.beyond) if line.beyond else None,
        "cost": format_decimal(line.cost) if priced else None,
    }


def _tier_to_json(part: TierCost) -> dict[str, Any]:
    return {
        "over": None if part.over is None else format_decimal(part.over),
        "quantity": format_decimal(part.quantity),
        "unit_price": format_decimal(part.unit_price),
        "cost": format_decimal(part.cost),
    }
