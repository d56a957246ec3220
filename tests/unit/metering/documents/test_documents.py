"""A statement as HTML and PDF: every figure, nobody's markup, and the same bytes each time."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from metering.billing.statement import Statement, make_statement
from metering.documents.chart import Column, column_chart, round_up
from metering.documents.render import html, pdf
from metering.documents.statement_view import StatementView, view_statement
from metering.usage import Certainty
from tests.unit.metering.billing.builders import NOVEMBER, at, job, minutes, plan
from tests.unit.metering.billing.commands import run
from tests.unit.metering.billing.stored import lasting, rates_file, session, settled, speech

HOSTILE = "Ümlaut & Söhne <script>alert(1)</script> #panic() $x$ {{ 7*7 }} \"'"

SOLD = """
[[plan]]
id = "mine/plus"
name = "Plus"
provider = "mine"
book = "price"
base_fee = "10"

[[markup]]
plan = "mine/plus"
percent = "20"

[[customer]]
tenant = "acme"
plan = "mine/plus"
"""


class Cells(HTMLParser):
    """The texts of a page, by the elements that they are in."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    return tmp_path


def a_month(folder: Path, tenant: str = "acme") -> None:
    """Past Ship's 5,000 agent minutes by 1,000, on two days, and something without a price."""
    settled(folder, 1, session(4000, "2026-11-05T10:00Z"), tenant=tenant)
    settled(
        folder,
        2,
        session(2000, "2026-11-20T10:00Z", instance_id="second"),
        speech(100, "2026-11-20T10:00Z"),
        lasting("stt_audio", "acme", 7, "2026-11-20T10:00Z", model="m", instance_id="third"),
        tenant=tenant,
    )


def written(name: str, *options: str) -> Path:
    path = Path.cwd() / name
    result = run("statement", "2026-11", "--output", str(path), *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == str(path)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("out"))


def texts(path: Path) -> Cells:
    cells = Cells()
    cells.feed(path.read_text("utf-8"))
    return cells


def test_html_has_every_figure(folder: Path) -> None:
    a_month(folder)
    said = texts(written("statement.html")).texts
    for figure in (
        "November 2026 · All tenants",
        "Draft",
        "6,000 minutes",
        "5,000",
        "1,000 at $0.01",
        "$10.00",
        "6,000 seconds",
        "$0.48 *",
        "no price",
        "$60.48",
    ):
        assert figure in said, figure
    assert any(text.startswith("Not in the total: 420 seconds of stt audio") for text in said)
    [disputed] = [text for text in said if text.startswith("* disputed: ")]
    assert disputed.endswith("; billed by connection it is not known instead of $0.48.")
    assert any("exact figures are in the JSON" in text for text in said)


def test_html_needs_nothing_else_and_runs_nothing(folder: Path) -> None:
    a_month(folder, tenant=HOSTILE)
    path = written("statement.html", f"--tenant={HOSTILE}")
    page = texts(path)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert f"November 2026 · {HOSTILE}" in page.texts
    text = path.read_text("utf-8")
    assert re.findall(r'(?:src|href)="', text) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []


def test_the_chart_has_a_column_for_each_day_with_costs(folder: Path) -> None:
    a_month(folder)
    text = written("statement.html").read_text("utf-8")
    chart = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    titles = [title.text for title in chart.iter("{http://www.w3.org/2000/svg}title")]
    # The first job is within the allowance: it cost nothing, whatever its share of the fee.
    assert titles == ["20: $10.48"]


def statement() -> Statement:
    """One agent session of 10 minutes on Ship."""
    made = make_statement([job([minutes(10)])], plan(), NOVEMBER, rate_card="card")
    assert made is not None
    return made


def test_what_is_shown_is_cut_and_the_total_is_not() -> None:
    exact = Decimal("50.12345678")
    said = replace(statement(), bill=replace(statement().bill, total=exact, due=exact))
    view = view_statement(said, [])
    assert (view.amounts[-1].value, view.due) == ("$50.12345678", "$50.12345678")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("10.5154000000000754", "$10.5154"),
        ("0.00005", "$0.00"),
        ("0.00015", "$0.0002"),
        ("-17.4528", "-$17.4528"),
        ("-0.00001", "$0.00"),
        ("-0.0036", "-$0.0036"),
        ("12345.6", "$12,345.60"),
    ],
)
def test_an_amount_has_four_decimals_at_most(value: str, shown: str) -> None:
    said = replace(statement(), bill=replace(statement().bill, usage_cost=Decimal(value)))
    assert view_statement(said, []).amounts[0].value == shown


@pytest.mark.parametrize(
    ("quantity", "shown"),
    [("1813.000000000013", "1,813 minutes"), ("0.0005", "0 minutes"), ("0.0015", "0.002 minutes")],
)
def test_a_quantity_has_three_decimals_at_most(quantity: str, shown: str) -> None:
    line = statement().bill.lines[0]
    charge = replace(line.charge, pricing_quantity=Decimal(quantity))
    bill = replace(statement().bill, lines=(replace(line, charge=charge),))
    assert view_statement(replace(statement(), bill=bill), []).lines[0].billed == shown


def test_a_correction_adds_up(folder: Path) -> None:
    settled(folder, 1, session(6000, "2026-09-05T10:00Z"))
    assert run("statement", "2026-09", "--issue").exit_code == 0
    settled(folder, 2, session(250, "2026-09-06T10:00Z"), speech(1, "2026-09-06T10:00Z"))
    path = Path.cwd() / "october.html"
    options = ("--plan=livekit/ship", "--output", str(path))
    assert run("statement", "2026-10", *options).exit_code == 0
    said = texts(path).texts
    start = said.index("Correction of 2026-09-0001 (September 2026)")
    beside = said.index("Fee, credits, tax and rounding", start)
    # $2.50 and $0.0048 are $2.50 in whole cents.
    assert said[beside : beside + 4] == [
        "Fee, credits, tax and rounding",
        "-$0.0048",
        "Correction",
        "$2.50",
    ]


def test_a_tenant_is_not_told_our_suppliers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates_file(folder, SOLD, monkeypatch)
    partial = lasting("stt_connection", "deepgram", 30, model="nova-3", certainty=Certainty.PARTIAL)
    settled(folder, 1, session(60), partial, tenant="acme", hosting="self", plan="none")
    sold = ("--tenant=acme", "--book=price")
    listed = json.loads(run("statement", "2026-11", *sold, "--json").stdout)
    not_billed = {one["provider"] for one in listed["lines"] if one["state"] == "not_billed"}
    assert "deepgram" in not_billed
    said = texts(written("sold.html", *sold)).texts
    assert not [text for text in said if "deepgram" in text]
    assert not {"Hosting", "Rate card", listed["rate_card"]} & set(said)
    assert {"Plan", "mine/plus", "Time zone", "Meetings"} <= set(said)
    shown = run("statement", "2026-11", *sold).stdout
    assert "no jobs" not in shown
    assert "plan mine/plus, rate card" in shown


def test_pdf_is_the_same_each_time(folder: Path) -> None:
    a_month(folder, tenant=HOSTILE)
    one, other = written("one.pdf"), written("other.PDF")
    assert one.read_bytes()[:5] == b"%PDF-"
    assert one.read_bytes() == other.read_bytes()


def test_other_figures_are_another_pdf() -> None:
    view = a_view()
    made_at = at("2026-12-01T00:00Z")
    assert pdf(view, made_at) == pdf(view, made_at)
    assert pdf(view, made_at) != pdf(replace(view, due="$2.00"), made_at)


def test_a_document_of_nothing_but_a_fee() -> None:
    view = a_view()
    assert pdf(view, at("2026-12-01T00:00Z"))[:5] == b"%PDF-"
    assert "<svg" not in html(view)


def a_view() -> StatementView:
    return StatementView(
        title="Statement of usage",
        period="November 2026",
        payer="acme",
        reference="",
        status="Draft",
        is_draft=True,
        due="$1.00",
        facts=(("Plan", "livekit/ship"),),
        chart_title="Usage cost by day, USD",
        chart="",
        lines=(),
        corrections=(),
        amounts=(),
        notes=(),
    )


def test_an_issued_statement_says_when_and_which(folder: Path) -> None:
    settled(folder, 1, session(10, "2026-09-05T10:00Z"))
    result = run("statement", "2026-09", "--issue", "--json")
    assert result.exit_code == 0, result.output
    path = Path.cwd() / "september.html"
    assert run("statement", "2026-09", "-o", str(path)).exit_code == 0
    said = texts(path).texts
    assert "Draft" not in said
    assert any(text.startswith("Issued ") for text in said)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("statement.doc", 2, "is neither .html nor .pdf"), ("no/such/folder.html", 1, "cannot write")],
)
def test_what_cannot_be_written(folder: Path, name: str, code: int, message: str) -> None:
    a_month(folder)
    result = run("statement", "2026-11", "--output", name)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())


def test_what_makes_it_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_month(folder)
    for name, module in (("a.html", "jinja2"), ("a.pdf", "typst")):
        monkeypatch.setitem(sys.modules, module, None)
        result = run("statement", "2026-11", "--output", name)
        assert (result.exit_code, Path(name).exists()) == (1, False)
        assert f"needs {module}: install tallyroom[documents]" in result.stderr


@pytest.mark.parametrize(
    ("value", "top"),
    [("0.003", "0.005"), ("1", "1"), ("1.01", "2"), ("47", "50"), ("51", "100"), ("999", "1000")],
)
def test_a_scale_that_can_be_read(value: str, top: str) -> None:
    assert round_up(Decimal(value)) == Decimal(top)


def test_a_chart_of_nothing_is_none() -> None:
    assert column_chart([Column("1", Decimal(0)), Column("2", Decimal(-3))], str) == ""
    assert column_chart([], str) == ""
