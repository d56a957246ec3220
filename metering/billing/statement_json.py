"""Statements and bills as plain JSON values; quantities and money are strings of exact decimals.

The names are the cost record's where it has one. Fields may be added, never renamed.
"""

from __future__ import annotations

from typing import Any

from ..usage import format_decimal, format_stamp
from .bill import Bill
from .correction import Correction
from .credits import CreditUse
from .month import MonthLine, TierCost
from .statement import Statement

SCHEMA_VERSION = 1


def statement_to_json(statement: Statement) -> dict[str, Any]:
    """A whole statement."""
    period = statement.period
    issued_at = statement.issued_at
    return {
        "schema_version": SCHEMA_VERSION,
        "statement_id": statement.statement_id or None,
        "status": statement.status,
        "issued_at": None if issued_at is None else format_stamp(issued_at),
        "period": period.name,
        "timezone": period.timezone,
        "started_at": format_stamp(period.start),
        "ended_at": format_stamp(period.end),
        "tenant": statement.tenant,
        "plan": statement.plan_id,
        "terms": [
            {
                "plan": term.plan_id,
                "since": term.since.isoformat(),
                "until": term.until.isoformat(),
                "days": term.days,
                "of_days": term.of_days,
                "base_fee": format_decimal(term.base_fee),
            }
            for term in statement.terms
        ],
        "hostings": list(statement.hostings),
        "rate_card": statement.rate_card,
        **bill_to_json(statement.bill),
        "limits": [
            {
                "limit": check.limit,
                "allowed": check.allowed,
                "observed": check.observed,
                "broken": check.broken,
            }
            for check in statement.limits
        ],
        "assumptions": list(statement.assumptions),
        "uncorrected": [
            {"statement_id": one.statement_id, "reason": one.reason}
            for one in statement.uncorrected
        ],
    }


def bill_to_json(bill: Bill) -> dict[str, Any]:
    """A bill's amounts, lines and jobs as plain JSON values."""
    return {
        "currency": bill.currency,
        "lines": [line_to_json(line) for line in bill.lines],
        "list_cost": format_decimal(bill.list_cost),
        "usage_cost": format_decimal(bill.usage_cost),
        "base_fee": format_decimal(bill.base_fee),
        "commitment_shortfall": format_decimal(bill.shortfall),
        "credits": [_credit_to_json(used) for used in bill.credits],
        "tax": format_decimal(bill.tax),
        "corrections": [_correction_to_json(one) for one in bill.corrections],
        "exact_total": format_decimal(bill.exact_total),
        "rounding": format_decimal(bill.rounding),
        "total": format_decimal(bill.total),
        "prepaid_used": format_decimal(bill.prepaid_used),
        "prepaid_left": format_decimal(bill.prepaid_left),
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
        "term": line.term,
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


def _credit_to_json(used: CreditUse) -> dict[str, Any]:
    return {
        "name": used.credit.name,
        "amount": format_decimal(used.amount),
        "expires": used.credit.expires.isoformat() if used.credit.expires else None,
        "providers": sorted(used.credit.providers),
        "meters": sorted(used.credit.meters),
        "carried": used.carried,
        "left": None if used.left is None else format_decimal(used.left),
    }


def _correction_to_json(correction: Correction) -> dict[str, Any]:
    return {
        "statement_id": correction.statement_id,
        "period": correction.period,
        "lines": [line_to_json(line) for line in correction.lines],
        "base_fee": format_decimal(correction.base_fee),
        "commitment_shortfall": format_decimal(correction.shortfall),
        "credits": [_credit_to_json(used) for used in correction.credits],
        "tax": format_decimal(correction.tax),
        "rounding": format_decimal(correction.rounding),
        "amount": format_decimal(correction.amount),
    }
