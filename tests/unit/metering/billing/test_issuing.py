"""A statement is issued once, after its days of grace, and stays as it was printed."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from metering.billing import parse_period
from metering.billing.statement_json import statement_to_json
from metering.commands import statement as statement_cli
from metering.errors import LedgerError
from metering.ledger.issued import issued_statements
from metering.ledger.store import Ledger
from metering.reports.issuing import issue_month
from metering.reports.statement_record import StatementRecord, read_statement
from metering.reports.statements import StatedMonth, state_month
from metering.settle import settle_run
from metering.usage import Certainty
from tests.unit.metering.pricing.builders import usage
from tests.unit.metering.samples import run as a_run
from tests.unit.metering.samples import settings

from .builders import at
from .commands import run
from .stored import session, settled, stated

pytestmark = pytest.mark.usefixtures("environment")

AFTER_GRACE = at("2026-12-04T00:00:00Z")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What the command takes for now: its last item."""
    now = [AFTER_GRACE]
    monkeypatch.setattr(statement_cli, "utc_now", lambda: now[-1])
    return now


def refused(*arguments: str) -> str:
    result = run("statement", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    return result.stderr


def issue(month: str, *arguments: str) -> Any:
    return stated(month, "--issue", *arguments)


def test_an_issued_statement_is_frozen(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_001), tenant="acme", room_name="a", tags=("x",))
    draft = stated("2026-11")
    printed = run("statement", "2026-11", "--issue", "--json")

    issued = json.loads(printed.stdout)
    assert (issued["status"], issued["statement_id"]) == ("issued", "2026-11-0001")
    assert issued["issued_at"] == "2026-12-04T00:00:00.000Z"
    changed = {"status", "statement_id", "issued_at"}
    assert {name: issued[name] for name in issued.keys() - changed} == {
        name: draft[name] for name in draft.keys() - changed
    }

    forms: list[tuple[str, ...]] = [
        ("--json",),
        (),
        ("--csv",),
        *(("--json", f"--by={by}") for by in ("tenant", "tag", "room", "day")),
        ("--by=room",),
        ("--json", "--plan=livekit/ship"),
    ]
    before = [run("statement", "2026-11", *form).stdout for form in forms]
    assert before[0] == printed.stdout
    head = "issued statement 2026-11 (UTC) for everybody\n2026-11-0001, issued 2026-12-04\n"
    assert before[1].startswith(head)
    settled(tmp_path, 2, session(1_000, "2026-11-29T00:00Z"), tenant="acme", room_name="b")
    assert [run("statement", "2026-11", *form).stdout for form in forms] == before


def test_what_might_have_been_is_still_drafted(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_000))
    issue("2026-11")
    assert stated("2026-11", "--plan=livekit/scale")["status"] == "draft"
    assert stated("2026-11", "--hosting=cloud")["status"] == "draft"
    assert stated("2026-11", "--timezone=Asia/Tokyo")["status"] == "draft"
    assert stated("2026-11", "--tenant=acme", "--plan=livekit/ship")["status"] == "draft"


def test_not_before_its_days_of_grace_are_over(
    tmp_path: Path, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(tmp_path, 1, session(6_000))
    clock.append(AFTER_GRACE - timedelta(milliseconds=1))
    said = refused("2026-11", "--issue")
    assert "2026-11 is a draft until 2026-12-04T00:00:00.000Z, 3 days after its end" in said
    assert stated("2026-11")["status"] == "draft"
    monkeypatch.setenv("TALLYROOM_GRACE_DAYS", "10")
    assert "until 2026-12-11T00:00:00.000Z, 10 days after" in refused("2026-11", "--issue")
    assert issue("2026-11", "--early")["status"] == "issued"


def test_grace_ends_in_the_payers_time_zone(tmp_path: Path, clock: list[datetime]) -> None:
    settled(tmp_path, 1, session(6_000))
    zone = "--timezone=America/New_York"
    clock.append(at("2026-12-04T04:59:59Z"))
    assert "until 2026-12-04T05:00:00.000Z" in refused("2026-11", "--issue", zone)
    clock.append(at("2026-12-04T05:00:00Z"))
    assert issue("2026-11", zone)["timezone"] == "America/New_York"
    # The payer's time zone is known from then on.
    assert stated("2026-11")["statement_id"] == "2026-11-0001"
    assert stated("2026-12", "--plan=livekit/ship")["timezone"] == "America/New_York"


def test_issued_twice_it_is_printed_and_refused(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_000))
    first = run("statement", "2026-11", "--issue", "--json")
    again = run("statement", "2026-11", "--issue", "--json", "--plan=livekit/scale")
    assert (first.exit_code, again.exit_code) == (0, 1)
    assert again.stdout == first.stdout
    assert again.stderr == (
        "tallyroom: statement 2026-11-0001 of 2026-11 was issued at 2026-12-04T00:00:00.000Z;"
        " what has changed since is corrected in the next\n"
    )


def test_no_usage_is_on_two_statements(tmp_path: Path) -> None:
    for number, tenant in enumerate(("acme", "zeta", "")):
        settled(tmp_path, number, session(6_000, "2026-10-20T00:00Z"), tenant=tenant)
        settled(tmp_path, number + 3, session(6_000), tenant=tenant)
    issue("2026-10", "--tenant=acme")
    assert issue("2026-10", "--tenant=zeta")["statement_id"] == "2026-10-0002"
    said = refused("2026-10", "--issue")
    assert "2026-10-0001 of this time was issued to tenant 'acme'" in said
    # In another time zone the months overlap by hours.
    said = refused("2026-11", "--issue", "--timezone=Europe/Zurich")
    assert "2026-10-0001 of this time was issued to tenant 'acme'" in said
    assert "use --timezone UTC" in refused(
        "2026-11", "--issue", "--tenant=acme", "--timezone=Europe/Zurich"
    )
    issue("2026-11")
    assert "was issued to everybody" in refused("2026-11", "--issue", "--tenant=acme")
    assert "a tenant with a name" in refused("2026-11", "--issue", "--tenant=")
    listed = json.loads(run("statements", "--json").stdout)
    assert [(one["period"], one["tenant"], one["total"]) for one in listed] == [
        ("2026-10", "acme", "60"),
        ("2026-10", "zeta", "60"),
        ("2026-11", "", "180"),
    ]
    assert len(json.loads(run("statements", "--tenant=acme", "--json").stdout)) == 1
    assert "2026-11-0003" in run("statements").stdout


def test_months_are_issued_in_order_but_for_empty_ones(
    tmp_path: Path, clock: list[datetime]
) -> None:
    for number, month in enumerate(("2026-06", "2026-08", "2026-10")):
        settled(tmp_path, number, session(6_000, f"{month}-20T00:00Z"))
    assert issue("2026-06")["statement_id"] == "2026-06-0001"
    assert "2026-08 comes first: it has a statement" in refused("2026-10", "--issue")
    assert issue("2026-08")["statement_id"] == "2026-08-0002"
    # What came too late for a month that had nothing to be issued is issued by itself.
    settled(tmp_path, 7, session(6_000, "2026-07-20T00:00Z"))
    assert issue("2026-07")["statement_id"] == "2026-07-0003"
    assert issue("2026-10")["statement_id"] == "2026-10-0004"


def test_a_month_with_nothing_due_is_not_issued() -> None:
    result = run("statement", "2026-11", "--issue")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "no statement for 2026-11: nothing is due, and nothing is unrated\n"
    assert run("statements").stdout == "no statement was issued yet\n"


@pytest.mark.parametrize("arguments", [("--early",), ("--issue", "--hosting=cloud")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run("statement", "2026-11", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")


async def test_of_several_that_issue_at_once_one_does(tmp_path: Path, store_url: str) -> None:
    mine = settings(tmp_path, database_url=store_url)
    november = parse_period("2026-11")

    async def try_it() -> str:
        async with Ledger(store_url) as ledger:
            issued = await issue_month(ledger, mine, november, now=AFTER_GRACE)
        assert issued.statement is not None
        return issued.text

    async with Ledger(store_url) as ledger:
        await settle_run(
            a_run(session(6_000), hosting="cloud-agents", plan="livekit/ship"), ledger, mine
        )
        answers = await asyncio.gather(*(try_it() for _ in range(4)), return_exceptions=True)
        [text] = [answer for answer in answers if isinstance(answer, str)]
        assert {type(answer).__name__ for answer in answers} == {"str", "AlreadyIssued"}
        [head] = await issued_statements(ledger)
        assert (head.number, head.issued_at) == (1, AFTER_GRACE)
        again: StatedMonth = await state_month(ledger, mine, november)
        assert again.text == text


def test_what_is_frozen_reads_back_as_it_was(tmp_path: Path) -> None:
    tenant = "straße\u2028\ud800\x00"
    settled(
        tmp_path,
        1,
        session(6_001),
        usage("stt_audio", "deepgram", "61.5", model="nova-3"),
        usage("stt_connection", "assemblyai", 30, model="best"),
        usage("downstream_data", "livekit-cloud", 10**6, certainty=Certainty.PARTIAL),
        tenant=tenant,
    )
    text = run("statement", "2026-11", "--issue", "--json", f"--tenant={tenant}").stdout
    again = read_statement(text)
    assert statement_to_json(again) == json.loads(text)
    assert json.loads(text)["tenant"] == "straße\u2028\ufffd\ufffd"
    assert StatementRecord.model_validate_json(text).model_dump(mode="json") == json.loads(text)


def test_a_statement_that_cannot_be_read_is_named() -> None:
    with pytest.raises(LedgerError, match="an issued statement in the store cannot be read"):
        read_statement('{"schema_version": 1}')
