from __future__ import annotations

import io
from decimal import Decimal

import pytest
from rich.console import Console, RenderableType

from metering.display.records import jobs_table, money, plain, print_record
from metering.record import CostRecord, JobSummary, list_unrated
from metering.run import Status
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
    assert "* disputed: billed by connection it is $0.50: sources disagree" in text


@pytest.mark.parametrize(
    ("basis", "cost", "text"),
    [
        ("connection", None, "* disputed: billed by connection it is not known: why"),
        ("agents connect free", "0", "* disputed: otherwise $0.00 (agents connect free): why"),
    ],
)
def test_the_other_reading_of_a_disputed_charge(basis: str, cost: str | None, text: str) -> None:
    disputed = {"basis": basis, "list_cost": cost, "reason": "why"}
    assert text in printed(record(charges=[charge(disputed=disputed)]))


def test_what_has_no_model_has_no_gap_where_it_would_be() -> None:
    assert "participant_connection, livekit-cloud, " in printed(
        record(
            charges=[unrated(meter="participant_connection", provider="livekit-cloud", model="")]
        )
    )


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (Decimal("0.001"), "USD", "$0.001"),
        (Decimal("1.5"), "USD", "$1.50"),
        (Decimal("-17.4528"), "USD", "-$17.4528"),
        (Decimal("-17"), "EUR", "-17.00 EUR"),
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


JOB = "AJ_Rp3oiF48dptA"
SUM = Decimal("1234.56789012")
CONSUMED = Decimal("123456.789")
BILLED = Decimal("123456.789012")


def narrow_record() -> CostRecord:
    """One of each kind of charge, with figures as long as they come."""
    long = charge(
        attributes={"kind": "webrtc", "direction": "downstream"},
        certainty="partial",
        consumed_quantity=CONSUMED,
        pricing_quantity=BILLED,
        unit_price=Decimal("0.0000722222222222"),
        list_cost=Decimal("8.91636809532"),
        disputed={"basis": "connection", "list_cost": "0.5", "reason": "sources disagree " * 9},
    )
    unknown = unrated(consumed_quantity=Decimal(1200), consumed_unit="token", reason="no rate")
    return record(
        job_id=JOB,
        room_name="the board's weekly standup, as every week",
        title="a title that is far longer than what a terminal has room for in one line",
        charges=[long, unknown],
        list_cost=SUM,
        unrated=list_unrated([unknown]),
        usage=[
            usage(
                participant="alice",
                purpose="captions",
                model="tiny.en",
                quantity=CONSUMED,
                provider_stated=BILLED,
                certainty="bounded",
                source="room",
            ).to_json()
        ],
    )


def lines_at(
    width: int, shown: CostRecord | RenderableType, *, with_usage: bool = False
) -> list[str]:
    """What a terminal of this width shows."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
    if isinstance(shown, CostRecord):
        print_record(console, shown, with_usage=with_usage)
    else:
        console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


CHARGE_HEADS = (
    "meter",
    "provider / model",
    "count",
    "consumed",
    "billed",
    "unit price",
    "list cost",
)
CHARGE_FIGURES = (
    "123456.789 seconds",
    "(partial)",
    "123456.789012",
    "0.0000722222222222 / ",
    "$8.91636809532 *",
    "list cost $1234.56789012",
    "1200 tokens",
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 240])
def test_a_record_fits_the_terminal_with_every_figure_whole(width: int) -> None:
    lines = lines_at(width, narrow_record())
    assert max(map(len, lines)) <= width
    for whole in (*CHARGE_HEADS, *CHARGE_FIGURES, "70.5 s"):
        assert any(whole in line for line in lines), whole


@pytest.mark.parametrize("width", [60, 80, 120, 160, 240])
def test_the_usage_fits_the_terminal_with_every_figure_whole(width: int) -> None:
    lines = lines_at(width, narrow_record(), with_usage=True)
    assert max(map(len, lines)) <= width
    heads = ("meter", "who", "purpose", "started (UTC)", "ended", "quantity", "stated", "certainty")
    figures = ("09:00:00.000", "09:01:00.000", "123456.789 seconds", "123456.789012", "bounded")
    for whole in (*heads, *figures, "source", "alice", "captions"):
        assert any(whole in line for line in lines), whole


@pytest.mark.parametrize("width", [50, 80, 160])
def test_the_jobs_fit_the_terminal_with_every_figure_whole(width: int) -> None:
    job = summary(
        job_id=JOB,
        room_name="tallyroom-demo-5f5f9b and what else is in a name",
        tenant="acme",
        list_cost=SUM,
        unrated=12,
    )
    lines = lines_at(width, jobs_table([job, summary(room_name="x" * 300)]))
    assert max(map(len, lines)) <= width
    heads = ("started (UTC)", "job", "status", "room", "tenant", "length", "list cost")
    figures = ("2026-11-20 09:00", JOB, "$1234.56789012", "+ 12 unrated", "0 s")
    for whole in (*heads, *figures, "acme", "complete"):
        assert any(whole in line for line in lines), whole


def test_what_has_room_is_not_stacked() -> None:
    assert len(lines_at(80, jobs_table([summary()]))) == 2
    (heads,) = [line for line in lines_at(160, narrow_record()) if "meter" in line]
    assert all(head in heads for head in CHARGE_HEADS)


def test_where_nothing_fits_each_row_is_a_list() -> None:
    lines = [line.rstrip() for line in lines_at(32, jobs_table([summary(tenant="a"), summary()]))]
    every = ["job            AJ_1", "status         complete", "room           room"]
    money_lines = ["length         0 s", "list cost      $1.50"]
    began = "started (UTC)  2026-11-20 09:00"
    first = [began, *every, "tenant         a", *money_lines]
    assert lines == [*first, "", began, *every, *money_lines]


def test_a_title_folds_between_words_only_where_it_has_to() -> None:
    heading = [line.rstrip() for line in lines_at(80, narrow_record())[:5]]
    assert heading == [
        "AJ_Rp3oiF48dptA complete",
        "2026-11-20 09:00:00 UTC, 70.5 s, room the board's weekly standup, as every week,",
        "  title a title that is far longer than what a terminal has room for in one",
        "line,",
        "  tenant acme",
    ]
