"""`statement`: a month of the ledger's jobs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from metering.billing import make_statement
from metering.display.bills import dispute_notes, statement_csv
from metering.display.records import money
from metering.pricing.charges import Dispute
from metering.usage import Certainty
from tests.unit.metering.pricing.builders import usage
from tests.unit.metering.samples import START

from .builders import NOVEMBER, bill, job, plan
from .commands import run
from .stored import prune, session, settled, speech, stated

pytestmark = pytest.mark.usefixtures("environment")


def test_a_month(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(4_500), tenant="acme", room_name="a", tags=("x", "y"))
    settled(tmp_path, 2, session(1_500, "2026-11-21T00:00Z"), tenant="zeta", room_name="b")

    answer = stated("2026-11")

    assert answer.keys() == {
        *("schema_version", "statement_id", "status", "issued_at", "period", "timezone"),
        *("started_at", "ended_at", "tenant", "plan", "terms", "hostings", "rate_card"),
        *(
            "assumptions",
            "corrections",
            "uncorrected",
            "currency",
            "lines",
            "list_cost",
            "usage_cost",
        ),
        *("base_fee", "commitment_shortfall", "credits", "tax", "exact_total", "rounding"),
        *(
            "total",
            "prepaid_used",
            "prepaid_left",
            "due",
            "unrated",
            "partial",
            "jobs",
            "unallocated",
            "limits",
        ),
    }
    assert (answer["status"], answer["period"], answer["plan"]) == (
        "draft",
        "2026-11",
        "livekit/ship",
    )
    assert (answer["started_at"], answer["ended_at"]) == (
        "2026-11-01T00:00:00.000Z",
        "2026-12-01T00:00:00.000Z",
    )
    assert answer["hostings"] == ["cloud-agents"]
    [line] = answer["lines"]
    assert (line["instances"], line["consumed_quantity"]) == (2, "360000")
    assert (line["pricing_quantity"], line["allowance_used"]) == ("6000", "5000")
    assert line["overage"] == [
        {"over": None, "quantity": "1000", "unit_price": "0.01", "cost": "10"}
    ]
    assert (answer["list_cost"], answer["usage_cost"], answer["total"]) == ("60", "10", "60")
    assert answer["jobs"] == [
        {
            "job_id": "AJ_1",
            "list_cost": "45",
            "marginal_cost": "0",
            "effective_cost": "45",
            "unrated": 0,
        },
        {
            "job_id": "AJ_2",
            "list_cost": "15",
            "marginal_cost": "10",
            "effective_cost": "15",
            "unrated": 0,
        },
    ]
    assert [(one["limit"], one["observed"], one["broken"]) for one in answer["limits"]] == [
        ("concurrent_agents", 2, False),
        ("connections", 0, False),
    ]


def test_a_tenant_and_groups(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(4_000), tenant="acme", room_name="a", tags=("y", "x"))
    settled(tmp_path, 2, session(3_000, "2026-11-21T00:00Z"), tenant="zeta", room_name="b")
    settled(tmp_path, 3, session(1_000), tenant="acme", room_name="b")

    alone = stated("2026-11", "--tenant=acme")
    assert (alone["tenant"], alone["lines"][0]["pricing_quantity"]) == ("acme", "5000")
    assert alone["total"] == "50"
    for by, names in (
        ("tenant", {"acme": 2, "zeta": 1}),
        ("room", {"a": 1, "b": 2}),
        ("tag", {"x, y": 1, "": 2}),
        ("day", {"2026-11-20": 2, "2026-11-21": 1}),
    ):
        answer = stated("2026-11", f"--by={by}")
        assert {group["name"]: group["jobs"] for group in answer["groups"]} == names
        shared = sum(Decimal(group["effective_cost"]) for group in answer["groups"])
        assert shared == Decimal(answer["total"]) == 80
    local = stated("2026-11", "--by=day", "--timezone=Asia/Kolkata")
    assert [group["name"] for group in local["groups"]] == ["2026-11-20", "2026-11-21"]
    west = stated("2026-11", "--by=day", "--timezone=America/New_York")
    assert [group["name"] for group in west["groups"]] == ["2026-11-20"]
    assert "acme" in run("statement", "2026-11", "--by=tenant").stdout


@pytest.mark.parametrize(
    ("ended_at", "timezone", "month"),
    [
        ("2026-10-31T23:59:59.999Z", "UTC", "2026-10"),
        ("2026-11-01T00:00:00Z", "UTC", "2026-11"),
        # Winter time since 25 October, summer time since 29 March.
        ("2026-10-31T22:59:59.999Z", "Europe/Zurich", "2026-10"),
        ("2026-10-31T23:00:00Z", "Europe/Zurich", "2026-11"),
        ("2026-03-31T21:59:59.999Z", "Europe/Zurich", "2026-03"),
        ("2026-03-31T22:00:00Z", "Europe/Zurich", "2026-04"),
    ],
)
def test_an_instance_belongs_to_the_month_it_ends_in(
    tmp_path: Path, ended_at: str, timezone: str, month: str
) -> None:
    settled(tmp_path, 1, session(61, ended_at))
    found = {
        name: len(stated(name, f"--timezone={timezone}", "--plan=livekit/ship")["lines"])
        for name in ("2026-03", "2026-04", "2026-10", "2026-11")
    }
    assert found == {name: int(name == month) for name in found}


def test_a_job_over_midnight_is_in_both_months(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(10, "2026-11-30T23:59Z"), session(20, "2026-12-01T00:01Z"))
    quantities = [stated(month)["lines"][0]["pricing_quantity"] for month in ("2026-11", "2026-12")]
    assert quantities == ["10", "20"]


def test_nothing_due(tmp_path: Path) -> None:
    assert stated("2026-11") is None
    result = run("statement", "2026-11")
    assert result.exit_code == 0
    assert result.stdout == "no statement for 2026-11: nothing is due, and nothing is unrated\n"
    at_home = usage("participant_connection", "self-hosted", 60, started_at=START)
    settled(tmp_path, 1, at_home, hosting="self", plan="none")
    assert stated("2026-11") is None
    # What ran at home, on another plan and hosting.
    replayed = stated("2026-11", "--plan=livekit/ship", "--hosting=cloud")
    assert replayed["lines"][0]["provider"] == "livekit-cloud"
    assert replayed["total"] == "50"


def test_what_is_unrated_or_partial_is_named(tmp_path: Path) -> None:
    unknown = usage("stt_connection", "assemblyai", 30, model="best")
    seen = usage("downstream_data", "livekit-cloud", 10**6, certainty=Certainty.PARTIAL)
    settled(tmp_path, 1, unknown, seen)
    answer = stated("2026-11")
    [missing] = answer["unrated"]
    assert (missing["provider"], missing["quantity"], missing["instances"]) == (
        "assemblyai",
        "30",
        1,
    )
    assert [(one["meter"], one["certainty"]) for one in answer["partial"]] == [
        ("downstream_data", "partial")
    ]
    assert "+ unrated: stt_connection, assemblyai best" in run("statement", "2026-11").stdout


def test_csv_that_runs_no_formula(tmp_path: Path) -> None:
    tenant = '=HYPERLINK("http://x","y")'
    settled(tmp_path, 1, session(6_000), tenant=tenant)
    result = run("statement", "2026-11", "--csv", f"--tenant={tenant}")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["meter"], row["cost"]) for row in rows] == [
        ("agent_session", "10"),
        ("base fee", "50"),
        ("total", "60"),
    ]
    assert {row["tenant"] for row in rows} == {"'" + tenant}
    assert rows[0]["pricing_quantity"] == "6000"
    assert rows[-1]["currency"] == "USD"


def test_csv_has_what_the_table_has(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_000), speech(100))
    result = run("statement", "2026-11", "--csv")
    used, heard, *amounts = csv.DictReader(io.StringIO(result.stdout))
    columns = ("unit_price", "overage", "certainty", "term", "disputed_basis", "disputed_cost")
    assert [used[name] for name in columns] == ["0.01", "1000 at 0.01", "exact", "0", "", ""]
    assert [heard[name] for name in columns][2:] == ["exact", "0", "connection", ""]
    about = ("statement_id", "status", "timezone")
    assert {tuple(row[name] for name in about) for row in (used, heard, *amounts)} == {
        ("", "draft", "UTC")
    }


def test_csv_says_what_is_paid_from_a_balance() -> None:
    seen = usage("agent_session", "livekit-cloud", 6_000 * 60)
    made = make_statement([job([seen])], plan(), NOVEMBER, rate_card="card", prepaid=Decimal(25))
    assert made is not None
    rows = list(csv.DictReader(io.StringIO(statement_csv(made))))
    assert [(row["meter"], row["cost"], row["currency"]) for row in rows[-3:]] == [
        ("total", "60", "USD"),
        ("prepaid", "-25", "USD"),
        ("due", "35", "USD"),
    ]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Decimal("0.432"), "why; billed by connection it is $0.432 instead of $0.48"),
        (None, "why; billed by connection it is not known instead of $0.48"),
    ],
)
def test_what_is_disputed_has_both_amounts_once(other: Decimal | None, said: str) -> None:
    audio = usage("stt_audio", "deepgram", 6_000, model="nova-3")
    [line] = bill([job([audio])]).lines
    line = replace(line, charge=replace(line.charge, disputed=Dispute("connection", other, "why")))
    assert list(dispute_notes([line, line], money)) == [f"disputed: {said}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("2026-11", "--plan=ship"), "unknown plan 'ship'; use one of"),
        (("2026-11", "--plan=reseller/team"), "plan 'reseller/team' is of a price book"),
        (("2026-11", "--plan=livekit/enterprise"), "is by contract"),
        (("2026-11",), "ran on livekit/scale and livekit/ship; name one of them with --plan"),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    settled(tmp_path, 1, session(1))
    settled(tmp_path, 2, session(1), plan="livekit/scale")
    result = run("statement", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


def test_currencies_are_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text(
        '[[rate]]\nprovider = "acme"\nmeter = "stt_audio"\nprice = "1"\nunit = "hour"\n'
        'currency = "EUR"\n'
    )
    monkeypatch.setenv("TALLYROOM_RATES", str(rates))
    settled(tmp_path, 1, session(1), usage("stt_audio", "acme", 60))
    result = run("statement", "2026-11")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the charges are in EUR and USD, and are not added up" in result.stderr


def test_a_month_whose_usage_was_pruned_cannot_be_stated(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(1))

    prune(tmp_path, "AJ_1")
    result = run("statement", "2026-11")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the usage of AJ_1 in this period was pruned" in result.stderr
    assert run("statement", "2026-10").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("2026-13",),
        ("November",),
        ("2026-11", "--timezone=Mars/Phobos"),
        ("2026-11", "--hosting=moon"),
        ("2026-11", "--by=mood"),
        ("2026-11", "--csv", "--json"),
        (),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run("statement", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_the_table(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_001))
    shown = run("statement", "2026-11", "--timezone=Europe/Zurich").stdout
    for expected in (
        "draft statement 2026-11 (Europe/Zurich) for everybody",
        "1001 at 0.01",
        "base fee $50.00",
        "total $60.01",
        "concurrent agents: 1 of 20 at most",
    ):
        assert expected in shown


def test_a_month_replayed_on_every_plan(tmp_path: Path) -> None:
    connection = usage("participant_connection", "self-hosted", 6_001 * 60)
    sessions = [session(6_000), session(300), *(session(1) for _ in range(4))]
    at_home = [replace(one, provider="self-hosted") for one in sessions]
    settled(tmp_path, 1, connection, *at_home, hosting="self", plan="none")

    result = run("plans", "replay", "2026-11", "--json")

    offers = json.loads(result.stdout)["offers"]
    assert [(one["plan"], one["hosting"], one["total"], one["fits"]) for one in offers] == [
        ("none", "self", "0", True),
        ("livekit/ship", "cloud", "50", True),
        # 6,304 minutes of sessions, 5,000 of them in the fee.
        ("livekit/ship", "cloud-agents", "63.04", True),
        ("livekit/scale", "cloud", "500", True),
        ("livekit/scale", "cloud-agents", "500", True),
        ("livekit/build", "cloud", None, False),
        ("livekit/build", "cloud-agents", None, False),
    ]
    assert offers[-1]["refusals"] == [
        "livekit/build has no room for 5304 minutes of agent_session",
        "livekit/build has no room for 1001 minutes of participant_connection",
        "livekit/build allows 5 concurrent agents, the peak is 6",
    ]
    assert "refused" in run("plans", "replay", "2026-11").stdout
    assert run("plans", "replay", "November").exit_code == 2


def test_a_tenant_that_nobody_knows_is_said_to_be_none() -> None:
    result = run("statement", "2026-10", "--tenant=nobody")
    assert result.exit_code == 0
    assert result.stderr == "tallyroom: no jobs of tenant 'nobody' in the ledger\n"


def test_a_timezone_that_is_empty_is_none() -> None:
    assert run("statement", "2026-10", "--timezone=").exit_code == 2
