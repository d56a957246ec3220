from __future__ import annotations

import io
from decimal import Decimal

import pytest
from rich.console import Console

from metering.record import CostRecord, JobSummary
from metering.run import Status
from metering.tables import jobs_table, money, plain, print_record
from tests.unit.metering.samples import START, usage
from tests.unit.metering.test_record import charge, record, unrated

HOSTILE = "\x1b[31mred\x1b]0;title\x07\r\nnext\u202eflip\u2028line [bold]loud[/bold] [/] :smile:"


def printed(record: CostRecord, *, with_usage: bool = False) -> str:
    console = Console(file=io.StringIO(), width=400, color_system=None, force_terminal=True)
    print_record(console, record, with_usage=with_usage)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def summary(**changes: object) -> JobSummary:
    values: dict[str, object] = {
        "job_id": "AJ_1",
        "status": Status.COMPLETE,
        "tenant": "",
        "title": "",
        "room_name": "room",
        "hosting": "self",
        "plan": "none",
        "started_at": START,
        "ended_at": START,
        "list_cost": Decimal("1.5"),
        "currency": "USD",
        "unrated": 0,
        "error": "",
    }
    return JobSummary.model_validate(values | changes)


def listed(*jobs: JobSummary) -> str:
    console = Console(file=io.StringIO(), width=400, color_system=None, force_terminal=True)
    console.print(jobs_table(jobs))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def assert_harmless(text: str) -> None:
    for character in "\x1b\x07\r\u202e\u2028":
        assert character not in text
    assert "[bold]loud[/bold] [/]" in text


def test_a_strangers_text_is_one_plain_line() -> None:
    text = plain(HOSTILE).plain
    assert "\n" not in text
    assert_harmless(text)
    assert plain(HOSTILE).spans == []
    assert plain("Zoë 🦄 東京").plain == "Zoë 🦄 東京"


def test_names_in_a_list_of_jobs() -> None:
    text = listed(summary(room_name=HOSTILE, tenant=HOSTILE))
    assert_harmless(text)
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("field", ["room_name", "title", "tenant", "error"])
def test_names_on_a_record(field: str) -> None:
    text = printed(record(**{field: HOSTILE}))
    assert_harmless(text)
    assert len(text.splitlines()) == len(printed(record(**{field: "x"})).splitlines())


@pytest.mark.parametrize("field", ["participant", "provider", "model"])
def test_names_in_the_usage(field: str) -> None:
    text = printed(record(usage=[usage(**{field: HOSTILE}).to_json()]), with_usage=True)
    assert_harmless(text)


@pytest.mark.parametrize("field", ["model", "reason"])
def test_names_next_to_the_total(field: str) -> None:
    assert_harmless(printed(record(charges=[unrated(**{field: HOSTILE})])))


def test_what_is_unrated_stands_next_to_the_total() -> None:
    text = printed(
        record(
            charges=[
                charge(),
                unrated(
                    meter="llm_input_tokens",
                    provider="acme",
                    model="m-1",
                    consumed_quantity=Decimal(1200),
                    consumed_unit="token",
                    reason="no rate fits",
                ),
            ]
        )
    )
    total = text[text.rindex("list cost $") :]
    assert "list cost $0.001" in total
    assert "+ unrated: llm_input_tokens, acme m-1, 1200 tokens: no rate fits" in total
    assert "unrated" in listed(summary(unrated=2))
    assert "$1.50 + 2 unrated" in listed(summary(unrated=2))


def test_what_is_partial_says_so_where_it_is_counted() -> None:
    text = printed(record(charges=[charge(certainty="partial")]))
    assert "70.5 seconds (partial)" in text
    assert "(exact)" not in printed(record())


def test_what_is_not_billed_says_why() -> None:
    not_billed = unrated(reason="the connection is billed").model_copy(
        update={"state": "not_billed"}
    )
    text = printed(record(charges=[charge(), not_billed]))
    assert "not billed" in text
    assert "the connection is billed" in text


def test_a_disputed_charge_shows_both_amounts() -> None:
    disputed = {"basis": "connection", "list_cost": "0.5", "reason": "sources disagree"}
    text = printed(record(charges=[charge(disputed=disputed)]))
    assert "$0.001 *" in text
    assert "disputed: billed by connection it is" in text
    assert "0.5" in text
    assert "sources disagree" in text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (Decimal("0.001"), "USD", "$0.001"),
        (Decimal("1.5"), "USD", "$1.50"),
        (Decimal(2), "USD", "$2.00"),
        (Decimal("2.005"), "EUR", "2.005 EUR"),
        (Decimal("1E+3"), "USD", "$1000.00"),
        (None, "USD", "-"),
        (None, None, "-"),
    ],
)
def test_money_is_exact(amount: Decimal | None, currency: str | None, text: str) -> None:
    assert money(amount, currency) == text


def test_usage_is_listed_on_demand() -> None:
    assert "PA_alice" not in printed(record())
    measured = usage(participant="alice", provider_stated=Decimal("60.25"), source="room").to_json()
    text = printed(record(usage=[measured]), with_usage=True)
    for expected in ("alice", "60 seconds", "60.25", "exact", "room", "09:00:00.000"):
        assert expected in text
    assert "alice" not in printed(record(usage=[measured]))
