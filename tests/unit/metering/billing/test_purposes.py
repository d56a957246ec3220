"""Costs by what usage was for: rated apart, and together still the statement."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from metering.billing.bill import Bill
from metering.billing.sharing import add_up
from metering.billing.statement import bill_terms
from metering.commands import statement as statement_cli
from metering.ledger.period_queries import PeriodJob
from metering.pricing import load_catalog
from metering.pricing.plans import Plan
from metering.reports.month_charges import ChargedMonth
from metering.usage import Usage
from tests.unit.metering.pricing.builders import START, connection, request, usage

from .builders import NOVEMBER, at
from .builders import session as a_session
from .commands import run
from .stored import session, settled, stated
from .test_bill_properties import plans, seconds

pytestmark = pytest.mark.usefixtures("environment")

PURPOSES = ("", "captions", "notes", "voice")


def made_up(kind: int, quantity: Decimal, purpose: str, minute: int) -> Usage:
    when: Any = {"started_at": START, "ended_at": START + timedelta(minutes=minute)}
    if kind == 0:
        return a_session(quantity, purpose=purpose, **when)
    if kind == 1:
        return connection(quantity, purpose=purpose, **when)
    return usage("stt_audio", "deepgram", quantity, model="nova-3", purpose=purpose, **when)


jobs = st.lists(
    st.lists(
        st.builds(
            made_up, st.integers(0, 2), seconds, st.sampled_from(PURPOSES), st.integers(0, 99)
        ),
        min_size=1,
        max_size=6,
    ),
    max_size=5,
)


@examples(max_examples=60, deadline=None)
@given(jobs, plans)
def test_purposes_add_up_to_each_job(usages: list[list[Usage]], on: Plan) -> None:
    charged = ChargedMonth(NOVEMBER, load_catalog(), lambda _: on, by_purpose=True)
    for number, of_job in enumerate(usages):
        job = PeriodJob(f"AJ_{number}", "", "", (), "cloud-agents", on.plan_id)
        charged.add(job, of_job)
    whole: Bill = bill_terms(charged.charges(), NOVEMBER)
    apart: Bill = bill_terms(charged.charges_by_purpose(), NOVEMBER)

    assert apart.exact_total == whole.exact_total
    for cost in whole.jobs:
        of_job_apart = [one for one in apart.jobs if one.job_id == cost.job_id]
        for name in ("list_cost", "marginal_cost", "effective_cost"):
            parts = [getattr(one, name) for one in of_job_apart]
            assert add_up(parts) == getattr(cost, name), name
    assert {one.purpose for one in apart.jobs} == {
        one.purpose for of_job in usages for one in of_job
    }


def test_by_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_cli, "utc_now", lambda: at("2026-12-20T00:00:00Z"))
    captions = usage("stt_audio", "deepgram", 6_000, model="nova-3", purpose="captions")
    notes = usage("stt_audio", "deepgram", 3_000, model="nova-3", purpose="notes")
    settled(tmp_path, 1, session(60), captions, notes)
    settled(tmp_path, 2, usage("stt_audio", "deepgram", 60, model="nova-3", purpose="captions"))

    answer = stated("2026-11", "--by=purpose")
    assert [
        (one["name"], one["jobs"], one["list_cost"], one["marginal_cost"], one["effective_cost"])
        for one in answer["groups"]
    ] == [
        ("", 1, "0.6", "0", "50"),
        ("captions", 2, "0.4848", "0.4848", "0.4848"),
        ("notes", 1, "0.24", "0.24", "0.24"),
    ]
    # It changes nothing else.
    assert {name: answer[name] for name in answer.keys() - {"by", "groups"}} == stated("2026-11")
    assert "captions" in run("statement", "2026-11", "--by=purpose").stdout
    stated("2026-11", "--issue")
    settled(tmp_path, 3, session(60))
    frozen = stated("2026-11", "--by=purpose")
    assert frozen["groups"] == answer["groups"]
    assert stated("2026-10", "--by=purpose", "--plan=livekit/ship")["groups"] == []


def test_a_request_is_not_torn_apart(tmp_path: Path) -> None:
    whole, cached = request("r", input=1_000_000, cached_input=400_000)
    settled(tmp_path, 1, replace(whole, purpose="notes"), replace(cached, purpose="answers"))
    answer = stated("2026-11", "--by=purpose", "--plan=livekit/ship")
    [only] = answer["groups"]
    assert (only["name"], only["list_cost"]) == ("answers", answer["list_cost"])
