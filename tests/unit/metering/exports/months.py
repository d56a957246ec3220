"""Months with every kind of row, for exports."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from metering.billing.correction import Correction, correct
from metering.billing.statement import Statement, TermCharges, state_terms
from metering.billing.terms import terms_of
from metering.exports.focus import FocusMonth
from metering.exports.focus_rows import JobParts
from metering.ledger.period_queries import PeriodJob
from metering.pricing.plans import Credit
from tests.unit.metering.billing.builders import (
    NOVEMBER,
    bill,
    job,
    minutes,
    plan,
    session,
    speech,
)
from tests.unit.metering.pricing.builders import usage

HOSTILE = '=cmd|"/c calc"!A1'


def a_correction() -> Correction:
    """Of October: usage that came late, a higher fee, and what follows from them."""
    on, dearer = plan(), plan(base_fee=Decimal("50.5"), commitment=Decimal(80))
    early = job([minutes(149_999)], number=1)
    late = job([minutes(3), speech(90)], number=2)
    welcome = [Credit("welcome", Decimal("0.005"))]
    now = bill([early, late], dearer, other_credits=welcome, tax=lambda amount: amount / 100)
    found = correct(now, bill([early], on), [], statement_id="2026-10-0001", period="2026-10")
    assert found is not None
    return found


def a_statement(jobs: JobParts) -> Statement:
    found = state_terms(
        jobs.terms,
        NOVEMBER,
        rate_card="test",
        hostings=["cloud-agents"],
        other_credits=[Credit("start-up programme", Decimal("1.5"), expires=date(2027, 1, 31))],
        tax=lambda amount: amount * Decimal("0.081"),
        corrections=[a_correction()],
        prepaid=Decimal(10),
    )
    assert found is not None
    return found


def every_kind() -> FocusMonth:
    """Usage, fee, shortfall, credits, tax, rounding, a correction, and what has no price."""
    on = plan(commitment=Decimal(120))
    charged = [
        job([session(4_000_000), minutes(160_000), speech("90.5")], on, number=1),
        job(
            [
                session(600_000),
                minutes(7, attributes={"participant_kind": "sip"}),
                usage("llm_input_tokens", "openai", 1500, model="gpt-4o"),
                usage("llm_output_tokens", "openai", 300, model="gpt-4o"),
                usage("llm_output_tokens", "openai", 30, model="gpt-4o-mini"),
                usage("stt_audio", "who", 7, model="m"),
            ],
            on,
            number=2,
        ),
    ]
    [term] = terms_of(NOVEMBER, lambda _: on)
    parts = JobParts(
        [TermCharges(term, charged)],
        {
            "AJ_1": PeriodJob(
                "AJ_1", HOSTILE, "standup", ("weekly", "=1+1"), "cloud-agents", "livekit/ship"
            ),
            "AJ_2": PeriodJob("AJ_2", "", "", (), "cloud-agents", "livekit/ship"),
        },
        {"AJ_1": "2026-11-20", "AJ_2": "2026-11-30"},
    )
    return FocusMonth(a_statement(parts), parts, {"livekit/ship": "livekit-cloud"})
