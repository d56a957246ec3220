from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from metering.commands import statement as statement_cli
from tests.unit.metering.billing.builders import at
from tests.unit.metering.billing.commands import run
from tests.unit.metering.billing.conftest import environment as environment
from tests.unit.metering.billing.stored import lasting, prune, session, settled, speech, stated

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(statement_cli, "utc_now", lambda: at("2027-02-04T00:00:00Z"))


def two_jobs(folder: Path) -> None:
    settled(folder, 1, session(6_000), speech(90), tenant="acme", tags=("weekly",))
    settled(folder, 2, session(600, "2026-11-30T10:00Z"), tenant="zeta")


def export(*arguments: str) -> Any:
    result = run("export", "focus", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def total(of: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in of), Decimal(0))


def test_a_month(tmp_path: Path) -> None:
    two_jobs(tmp_path)
    result = run("export", "focus", "2026-11")
    assert (result.exit_code, result.stderr) == (0, "")
    name = "focus_1.2_2026-11.csv"
    assert result.stdout == f"{name}: FOCUS 1.2, 5 rows, $66.43, draft, usage by job\n"
    found = rows(name)
    assert total(found) == Decimal(stated("2026-11")["total"]) == Decimal("66.43")
    jobs = {row["ResourceId"]: row for row in found if row["ResourceId"]}
    assert jobs["AJ_1"]["SubAccountId"] == "acme"
    assert json.loads(jobs["AJ_1"]["Tags"]) == {"weekly": True}
    assert jobs["AJ_2"]["ChargePeriodStart"] == "2026-11-30T00:00:00Z"


def test_version_format_and_file(tmp_path: Path) -> None:
    two_jobs(tmp_path)
    exported = export("2026-11", "--version=1.0", "--format=parquet", "--tenant=acme")
    assert exported["file"] == "focus_1.0_2026-11_acme.parquet"
    table = parquet.read_table("focus_1.0_2026-11_acme.parquet")
    assert "InvoiceId" not in table.column_names
    assert sum(table["BilledCost"].to_pylist()) == Decimal(exported["total"])
    assert set(table["SubAccountId"].to_pylist()) == {"acme"}
    assert export("2026-11", "-o", "x.parquet")["format"] == "parquet"
    by_account = export("2026-11", "-o", "x.csv", "--billing-account=p_123")
    assert by_account["format"] == "csv"
    assert {row["BillingAccountId"] for row in rows("x.csv")} == {"p_123"}


def test_days_are_the_payers(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_000, "2026-11-20T04:00Z"))
    export("2026-11", "--timezone=America/New_York", "-o", "x.csv")
    [used] = [row for row in rows("x.csv") if row["ResourceId"]]
    assert used["ChargePeriodStart"] == "2026-11-19T05:00:00Z"
    assert used["ChargePeriodEnd"] == "2026-11-20T05:00:00Z"
    assert used["BillingPeriodStart"] == "2026-11-01T04:00:00Z"
    assert used["BillingPeriodEnd"] == "2026-12-01T05:00:00Z"


def test_standard_output(tmp_path: Path) -> None:
    two_jobs(tmp_path)
    result = run("export", "focus", "2026-11", "-o", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert total(list(csv.DictReader(io.StringIO(result.stdout)))) == Decimal("66.43")


def test_an_issued_month_is_as_it_was_issued(tmp_path: Path) -> None:
    two_jobs(tmp_path)
    issued = run("statement", "2026-11", "--issue", "--json")
    assert issued.exit_code == 0, issued.output
    exported = export("2026-11", "-o", "x.csv")
    assert (exported["status"], exported["by_job"]) == ("issued", True)
    assert exported["statement_id"] == "2026-11-0001"
    assert {row["InvoiceId"] for row in rows("x.csv")} == {"2026-11-0001"}
    assert len({row["ResourceId"] for row in rows("x.csv")}) == 3

    settled(tmp_path, 3, session(6_000))
    settled(tmp_path, 4, session(60, "2026-12-20T10:00Z"))
    result = run("export", "focus", "2026-11", "-o", "x.csv")
    assert "by line: its jobs come to something else by now" in result.stdout
    assert total(rows("x.csv")) == Decimal("66.43")
    assert {row["ResourceId"] for row in rows("x.csv")} == {""}

    export("2026-12", "-o", "y.csv")
    corrections = [row for row in rows("y.csv") if row["ChargeClass"] == "Correction"]
    assert {row["x_CorrectedStatementId"] for row in corrections} == {"2026-11-0001"}
    assert total(corrections) == Decimal(stated("2026-12")["corrections"][0]["amount"]) > 0
    assert total(rows("y.csv")) == Decimal(stated("2026-12")["total"])


def test_an_issued_month_outlives_its_usage(tmp_path: Path) -> None:
    two_jobs(tmp_path)
    assert run("statement", "2026-11", "--issue").exit_code == 0
    prune(tmp_path, "AJ_1")
    exported = export("2026-11", "-o", "x.csv")
    assert (exported["by_job"], exported["total"]) == (False, "66.43")
    assert total(rows("x.csv")) == Decimal("66.43")


def test_what_has_no_price_is_named(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_000), lasting("stt_audio", "who", 1, model="m"))
    result = run("export", "focus", "2026-11", "-o", "x.csv")
    assert result.exit_code == 0
    said = "not in the file, it has no price: stt_audio, who m, 60 seconds\n"
    assert result.stderr == said
    assert all(row["ProviderName"] != "who" for row in rows("x.csv"))


def test_a_month_with_nothing_due(tmp_path: Path) -> None:
    result = run("export", "focus", "2026-11")
    assert (result.exit_code, result.stderr) == (0, "")
    said = "nothing written for 2026-11: nothing is due, and nothing is unrated\n"
    assert result.stdout == said
    assert run("export", "focus", "2026-11", "--json").stdout == "null\n"
    assert run("export", "focus", "2026-11", "-o", "-").stdout == ""
    assert not list(tmp_path.glob("focus*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("2026-13",),
        ("2026-11", "--version=1.1"),
        ("2026-11", "--format=json"),
        ("2026-11", "--billing-account="),
        ("2026-11", "-o", "-", "--json"),
        ("2026-11", "--timezone=Mars"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run("export", "focus", *arguments).exit_code == 2


def test_what_cannot_be_written(tmp_path: Path) -> None:
    two_jobs(tmp_path)
    result = run("export", "focus", "2026-11", "-o", "none/x.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "tallyroom: cannot write none/x.csv: No such file or directory\n"
