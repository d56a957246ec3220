"""Advice as a table, and as JSON: each finding with what to do, and how its amount was made."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from ..billing.advice import (
    ALONE,
    DUPLICATE,
    HELD_OPEN,
    SECONDS_IN,
    TOO_LARGE,
    TOO_SMALL,
    Finding,
)
from ..usage import format_decimal
from .layout import Column, Sheet
from .records import amount, money, plain

_TO_DO = {
    HELD_OPEN: "close STT connections while nobody speaks",
    ALONE: "let the agent leave a room when it is alone, and come when somebody does",
    SECONDS_IN: "end meetings before the next minute begins",
    DUPLICATE: "send one agent into a room, not two",
    TOO_LARGE: "be on {plan}",
    TOO_SMALL: "be on {plan}",
}


def what_to_do(finding: Finding) -> str:
    """The advice itself, in a few words."""
    return _TO_DO[finding.name].format(plan=finding.plan_id)


def how_computed(finding: Finding, alone: Decimal, seconds_in: Decimal) -> str:
    """Which usage was changed before the month was rated again.

    Args:
        finding: the finding.
        alone: from how many seconds on an agent was taken to be alone.
        seconds_in: up to how many seconds into an increment an end was taken to be avoidable.
    """
    at_least, within = format_decimal(alone), format_decimal(seconds_in)
    said = {
        HELD_OPEN: "the month rated again with each STT connection as long as its audio",
        ALONE: "the month rated again without agents' time in rooms with nobody else in them,"
        f" {at_least} s or more at a time",
        SECONDS_IN: f"the month rated again as if what ended less than {within} s into a billed"
        " increment had ended before it, each instance by itself",
        DUPLICATE: "the month rated again without what a job did while another one of the same"
        f" agent was in its room, {at_least} s or more at a time",
    }
    by_plan = f"the month's usage rated on {finding.plan_id}, whose limits hold its peaks"
    return said.get(finding.name, by_plan)


def finding_to_json(
    finding: Finding, currency: str, alone: Decimal, seconds_in: Decimal
) -> dict[str, Any]:
    """A finding as plain JSON values, amounts as strings of exact decimals."""
    disputed = finding.disputed
    return {
        "finding": finding.name,
        "saving": format_decimal(finding.saving),
        "currency": currency,
        "disputed": None
        if disputed is None
        else {
            "basis": disputed.basis,
            "saving": format_decimal(disputed.saving),
            "reason": disputed.reason,
        },
        "advice": what_to_do(finding),
        "how": how_computed(finding, alone, seconds_in),
        "plan": finding.plan_id or None,
        "note": finding.note,
        "jobs": finding.jobs,
        "instances": finding.instances,
        "seconds": format_decimal(finding.seconds),
        "examples": [
            {"job_id": job_id, "seconds": format_decimal(avoided)}
            for job_id, avoided in finding.examples
        ],
        "peaks": [
            {"limit": limit, "observed": observed, "allowed": allowed}
            for limit, observed, allowed in finding.peaks
        ],
    }


def findings_table(findings: Iterable[Finding], currency: str) -> Sheet:
    """One row for each finding."""
    sheet = Sheet(
        (
            Column("saves", "figure"),
            Column("if you"),
            Column("what was found"),
        ),
        stacks=(("saves",), ("if you", "what was found")),
        ruled=False,
    )
    for finding in findings:
        saving = money(finding.saving, currency)
        if finding.disputed is not None:
            saving += f" or {money(finding.disputed.saving, currency)} *"
        sheet.add(saving, what_to_do(finding), plain(_found(finding)))
    return sheet


def _found(finding: Finding) -> str:
    if finding.plan_id:
        said = [
            f"{limit.replace('_', ' ')}: {observed} of {allowed} at most"
            for limit, observed, allowed in finding.peaks
        ]
        return "; ".join([*said, finding.note] if finding.note else said)
    jobs = "1 job" if finding.jobs == 1 else f"{finding.jobs} jobs"
    worst = ", ".join(job_id for job_id, _ in finding.examples)
    return f"{amount(finding.seconds, 'second')} in {jobs}, most in {worst}"
