from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyarrow import parquet

from metering.errors import ExportError
from metering.exports import focus_files
from metering.exports.focus import Exported, export_focus
from metering.exports.focus_columns import Column, ColumnType, FocusVersion
from metering.exports.focus_files import FileFormat, write_csv, write_parquet, written_whole
from metering.exports.focus_rows import focus_rows

from .months import every_kind

NOW = datetime(2026, 12, 4, tzinfo=UTC)
COST = [Column("BilledCost", ColumnType.DECIMAL)]


def written(path: Path, version: FocusVersion = FocusVersion.V1_2) -> Exported:
    how = FileFormat(path.suffix[1:])
    return export_focus(every_kind(), str(path), version=version, file_format=how, now=NOW)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (Decimal(60), "60.0"),
        (Decimal("0"), "0.0"),
        (Decimal("-0.10"), "-0.1"),
        (Decimal("1E+3"), "1000.0"),
        (Decimal("0.1234567890123456789012345678901234"), "0.1234567890123456789012345678901234"),
        (datetime(2026, 11, 1, 0, 30, tzinfo=UTC), "2026-11-01T00:30:00Z"),
        (3, "3"),
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-1", "-1"),
        ("+cmd", "'+cmd"),
        ("\tx", "'\tx"),
        ("{}", "{}"),
    ],
)
def test_cells(value: Decimal | datetime | str | int | None, cell: str) -> None:
    out = io.StringIO()
    assert write_csv(out, COST, [{"BilledCost": value}, {}]) == 2
    # A line with one empty cell is quoted, or it would be no row.
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [["BilledCost"], [cell], [""]]


@pytest.mark.parametrize("version", FocusVersion)
def test_csv(tmp_path: Path, version: FocusVersion) -> None:
    exported = written(tmp_path / "a.csv", version)
    text = (tmp_path / "a.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert exported.rows == len(rows) > 10
    assert ("InvoiceId" in rows[0]) == (version is FocusVersion.V1_2)
    assert sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0)) == exported.total
    tenants = {row["SubAccountId"] for row in rows}
    assert tenants == {"", '\'=cmd|"/c calc"!A1'}
    for row in rows:
        for name, cell in row.items():
            if cell.startswith(("=", "+", "@")):
                pytest.fail(f"{name} is a formula: {cell}")
            if cell.startswith("-"):
                assert Decimal(cell) < 0


def test_the_summary_of_an_export(tmp_path: Path) -> None:
    exported = written(tmp_path / "a.csv").model_dump(mode="json")
    rows, total = exported.pop("rows"), exported.pop("total")
    assert rows > 10
    assert Decimal(total) == every_kind().statement.bill.total
    assert exported == {
        "file": str(tmp_path / "a.csv"),
        "focus_version": "1.2",
        "format": "csv",
        "status": "draft",
        "statement_id": None,
        "currency": "USD",
        "by_job": True,
        "unrated": [
            {
                "meter": "stt_audio",
                "provider": "who",
                "model": "m",
                "quantity": "7",
                "unit": "second",
                "reason": every_kind().statement.bill.unrated[0].reason,
            }
        ],
    }


@pytest.mark.parametrize("version", FocusVersion)
def test_parquet_has_the_same_rows(
    tmp_path: Path, version: FocusVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(focus_files, "ROWS_AT_ONCE", 4)
    exported = written(tmp_path / "a.parquet", version)
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.num_row_groups == -(-exported.rows // 4) > 2
    assert str(file.schema_arrow.field("BilledCost").type) == "decimal128(38, 18)"
    assert str(file.schema_arrow.field("ChargePeriodStart").type) == "timestamp[us, tz=UTC]"
    names = file.schema_arrow.names
    month = every_kind()
    expected = focus_rows(month.statement, month.parts, month.plan_providers, "tallyroom")
    assert file.read().to_pylist() == [{name: row.get(name) for name in names} for row in expected]


def test_a_parquet_file_says_what_it_is(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet")
    metadata = parquet.read_schema(tmp_path / "a.parquet").metadata
    assert metadata[b"FocusVersion"] == b"1.2"
    assert metadata[b"CreationDate"] == b"2026-12-04T00:00:00.000Z"
    assert metadata[b"x_StatementStatus"] == b"draft"
    assert [item["provider"] for item in json.loads(metadata[b"x_Unrated"])] == ["who"]


@pytest.mark.parametrize("text", ["0.1234567890123456789", "123456789012345678901"])
def test_what_parquet_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"BilledCost has more digits than .* write CSV"):
        write_parquet(io.BytesIO(), COST, [{"BilledCost": Decimal(text)}], {})


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExportError, match=r"pip install 'tallyroom\[parquet\]'"):
        write_parquet(io.BytesIO(), COST, [], {})


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def fail() -> None:
        with written_whole(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with written_whole(path) as file:
        file.write(b"after")
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot write .*none/a\.csv: No such file"):
        written(tmp_path / "none" / "a.csv")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ExportError, match=r"cannot write .*: Is a directory"):
        written(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.csv"]
