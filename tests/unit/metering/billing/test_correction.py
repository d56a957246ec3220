"""What is issued and what corrects it are together what all usage known at once would come to."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from metering.billing import Bill
from metering.billing.bill import with_corrections
from metering.billing.correction import Correction, correct, difference
from metering.billing.sharing import add_up
from metering.commands import statement as statement_cli
from metering.pricing.plans import Plan
from metering.usage import Usage
from tests.unit.metering.pricing.builders import usage

from .builders import at, bill, job, minutes, plan, session, speech
from .commands import run
from .stored import prune, settled, stated
from .stored import session as a_session
from .test_bill_properties import instances, plans

pytestmark = pytest.mark.usefixtures("environment")

NOW = at("2027-02-04T00:00:00Z")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_cli, "utc_now", lambda: NOW)


def correction(now: Bill, issued: Bill, *before: Correction) -> Correction | None:
    return correct(now, issued, before, statement_id="2026-11-0001", period="2026-11")


@examples(max_examples=60, deadline=None)
@given(
    st.lists(instances(), min_size=1, max_size=4),
    plans,
    st.lists(st.sampled_from([Decimal("0.0005"), Decimal("0.00051")]), min_size=4, max_size=4),
)
def test_issued_and_corrections_are_all_known_at_once(
    arrivals: list[list[Usage]], on: Plan, fees: list[Decimal]
) -> None:
    """Usage arrives bit by bit, and the plan's fee is found to have been another each time."""
    seen: list[Usage] = []
    issued = None
    corrections: list[Correction] = []
    made = bill([], on)
    for arrival, fee in zip(arrivals, fees, strict=False):
        seen += arrival
        now = plan(on.plan_id, base_fee=on.base_fee + fee, commitment=on.commitment, tiers=on.tiers)
        made = bill([job(seen, now)], now)
        if issued is None:
            issued = made
        elif found := correction(made, issued, *corrections):
            corrections.append(found)
    assert issued is not None

    assert correction(made, issued, *corrections) is None
    assert issued.total + add_up([one.amount for one in corrections]) == made.total
    for name in ("base_fee", "shortfall", "tax", "rounding"):
        parts = [getattr(one, name) for one in corrections]
        assert getattr(issued, name) + add_up(parts) == getattr(made, name)
    stated_lines = [*issued.lines, *(line for one in corrections for line in one.lines)]
    assert difference(made.lines, stated_lines) == ()
    assert add_up([line.cost for line in stated_lines]) == made.usage_cost
    for one in corrections:
        parts = [*(line.cost for line in one.lines), one.base_fee, one.shortfall, one.tax]
        used = add_up([use.amount for use in one.credits])
        assert add_up(parts) - used + one.rounding == one.amount
        assert one.amount == one.amount.quantize(Decimal("0.01"))


@examples(max_examples=40, deadline=None)
@given(instances(), instances(), instances(), plans)
def test_a_bill_with_corrections_adds_up(
    early: list[Usage], late: list[Usage], following: list[Usage], on: Plan
) -> None:
    found = correction(bill([job([*early, *late], on)], on), bill([job(early, on)], on))
    own = bill([job(following, on)], on)
    made = with_corrections(own, [found] if found else [], Decimal(30))

    assert made.own_total == own.total
    effective = add_up([one.effective_cost for one in made.jobs])
    unallocated = add_up([part.amount for part in made.unallocated])
    assert effective + unallocated + made.rounding == made.total
    assert made.exact_total + made.rounding == made.total
    assert made.due + made.prepaid_used == made.total
    assert 0 <= made.prepaid_used <= 30


def test_a_line_of_a_correction() -> None:
    early, late = job([minutes(149_999)], number=1), job([minutes(3), speech(90)], number=2)
    found = correction(bill([early, late]), bill([early]))

    assert found is not None
    connections, audio = found.lines
    assert (connections.charge.instances, connections.charge.pricing_quantity) == (1, Decimal(3))
    assert (connections.allowance_used, connections.cost) == (Decimal(1), Decimal("0.0010"))
    assert [(part.quantity, part.cost) for part in connections.overage] == [
        (Decimal(2), Decimal("0.001"))
    ]
    assert (audio.charge.provider, audio.cost) == ("deepgram", Decimal("0.0072"))
    assert found.rounding == Decimal("0.0018")
    assert (found.amount, found.base_fee, found.credits) == (Decimal("0.01"), Decimal(0), ())


def test_what_has_no_price_is_named_once() -> None:
    unknown = usage("stt_audio", "who", 7, model="m")
    known = job([session(60)], number=1)
    both = bill([known, job([unknown], number=2)])
    found = correction(both, bill([known]))

    assert found is not None
    assert (found.amount, found.lines[0].cost) == (Decimal(0), Decimal(0))
    made = with_corrections(bill([]), [found], Decimal(0))
    [missing] = made.unrated
    assert (missing.provider, missing.quantity) == ("who", Decimal(7))
    assert missing.reason.startswith("correction of 2026-11-0001: ")
    assert correction(both, bill([known]), found) is None


def test_less_than_nothing_is_due_to_the_payer() -> None:
    none = plan("none")
    many, few = bill([job([speech(60_000)], none)], none), bill([job([speech(600)], none)], none)
    found = correction(few, many)
    assert found is not None
    made = with_corrections(bill([], none), [found], Decimal(10))
    assert (made.total, made.prepaid_used) == (Decimal("-4.75"), Decimal(0))
    assert made.due == made.total


def issue(month: str, *arguments: str) -> Any:
    return stated(month, "--issue", *arguments)


def test_late_usage_enters_the_next_open_statement(tmp_path: Path) -> None:
    settled(tmp_path, 1, a_session(6_000))
    november = issue("2026-11")
    settled(tmp_path, 2, a_session(250, "2026-11-02T00:00Z"))
    settled(tmp_path, 3, a_session(10, "2026-12-20T00:00Z"))

    assert stated("2026-11") == november
    assert stated("2027-01", "--plan=livekit/ship")["corrections"] == []
    december = stated("2026-12")
    [found] = december["corrections"]
    assert (found["statement_id"], found["period"], found["amount"]) == (
        "2026-11-0001",
        "2026-11",
        "2.5",
    )
    [line] = found["lines"]
    assert (line["meter"], line["instances"], line["pricing_quantity"], line["cost"]) == (
        "agent_session",
        1,
        "250",
        "2.5",
    )
    assert (december["total"], december["due"]) == ("52.5", "52.5")
    assert {"what": "correction of 2026-11-0001", "amount": "2.5"} in december["unallocated"]

    # More arrives after December was issued with that: only the rest is corrected.
    issued = issue("2026-12")
    assert issued["corrections"] == [found]
    settled(tmp_path, 4, a_session(100, "2026-11-03T00:00Z"))
    settled(tmp_path, 5, a_session(6_000, "2026-12-03T00:00Z"))
    january = issue("2027-01", "--plan=livekit/ship")
    assert [(one["period"], one["amount"]) for one in january["corrections"]] == [
        ("2026-11", "1"),
        ("2026-12", "10.1"),
    ]
    assert january["total"] == "61.1"
    assert stated("2027-02", "--plan=livekit/ship")["corrections"] == []
    assert stated("2026-12") == issued


def test_the_table_and_the_csv_name_what_they_correct(tmp_path: Path) -> None:
    settled(tmp_path, 1, a_session(6_000))
    issue("2026-11")
    settled(tmp_path, 2, a_session(250, "2026-11-02T00:00Z"))
    shown = run("statement", "2026-12", "--plan=livekit/ship").stdout
    assert "correction of 2026-11-0001, 2026-11\n" in shown
    assert "correction of 2026-11-0001 $2.50\n" in shown
    rows = run("statement", "2026-12", "--plan=livekit/ship", "--csv").stdout
    columns = ("meter", "cost", "currency", "reason")
    found = [[row[name] for name in columns] for row in csv.DictReader(io.StringIO(rows))]
    assert [row for row in found if "correction" in f"{row[0]}{row[3]}"] == [
        ["agent_session", "2.5", "USD", "correction of 2026-11-0001"],
        ["correction of 2026-11-0001: fee, credits, tax, rounding", "0", "USD", ""],
    ]


def test_a_correction_makes_a_statement_of_an_empty_month(tmp_path: Path) -> None:
    audio = usage("stt_audio", "deepgram", 60_000, model="nova-3", ended_at=at("2026-11-20T10:00Z"))
    settled(tmp_path, 1, audio, hosting="self", plan="none")
    issue("2026-11")
    assert stated("2026-12") is None
    later = usage("stt_audio", "deepgram", 6_000, model="nova-3", ended_at=at("2026-11-20T10:00Z"))
    settled(tmp_path, 2, later, hosting="self", plan="none")
    settled(tmp_path, 3, a_session(6_000, "2027-01-20T00:00Z"))
    result = run("statement", "2027-01", "--issue")
    assert "2026-12 comes first: it has a statement" in result.stderr
    assert issue("2026-12")["total"] == "0.48"
    assert issue("2027-01")["corrections"] == []


def test_another_price_of_an_issued_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = tmp_path / "rates.toml"
    entry = '[[rate]]\nprovider = "acme"\nmeter = "stt_audio"\nunit = "second"\nprice = "{}"\n'
    monkeypatch.setenv("TALLYROOM_RATES", str(rates))
    rates.write_text(entry.format("0.5"))
    audio = usage("stt_audio", "acme", 10, ended_at=at("2026-11-20T10:00Z"))
    settled(tmp_path, 1, a_session(6_000), audio)
    before = run("statement", "2026-11", "--issue", "--json").stdout
    rates.write_text(entry.format("0.4"))

    [found] = stated("2026-12", "--plan=livekit/ship")["corrections"]
    assert found["amount"] == "-1"
    [line] = found["lines"]
    assert (line["instances"], line["pricing_quantity"]) == (0, "0")
    assert [(part["unit_price"], part["cost"]) for part in line["overage"]] == [
        ("0.4", "4"),
        ("0.5", "-5"),
    ]
    assert run("statement", "2026-11", "--json").stdout == before


def test_a_payers_corrections_are_its_own(tmp_path: Path) -> None:
    for number, tenant in enumerate(("acme", "zeta")):
        settled(tmp_path, number, a_session(6_000), tenant=tenant)
        issue("2026-11", f"--tenant={tenant}")
    settled(tmp_path, 3, a_session(100), tenant="acme")
    amounts = {
        tenant: [
            one["amount"]
            for one in stated("2026-12", f"--tenant={tenant}", "--plan=livekit/ship")["corrections"]
        ]
        for tenant in ("acme", "zeta")
    }
    assert amounts == {"acme": ["1"], "zeta": []}


def test_what_cannot_be_looked_at_again_is_named(tmp_path: Path) -> None:
    settled(tmp_path, 1, a_session(6_000))
    issue("2026-11")
    prune(tmp_path, "AJ_1")
    december = stated("2026-12", "--plan=livekit/ship")
    assert december["corrections"] == []
    [one] = december["uncorrected"]
    assert one["statement_id"] == "2026-11-0001"
    assert "the usage of AJ_1 in this period was pruned" in one["reason"]
    shown = run("statement", "2026-12", "--plan=livekit/ship").stdout
    assert "2026-11-0001 cannot be corrected: the usage of AJ_1" in shown
    assert json.loads(run("statement", "2026-11", "--json").stdout)["total"] == "60"
