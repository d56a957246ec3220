"""FOCUS 1.0 by the FinOps Foundation's own validator, in the environment that `make focus` makes.

Its release 1.0.0 differs from the specification that it checks in five of its 133 rules. It asks
for `InvoiceIssuer`, `Provider`, `Publisher` and `ResourceID`, which the specification calls
InvoiceIssuerName, ProviderName, PublisherName and ResourceId (tag v1.0, specification/columns), and
it looks into ChargeType, which 1.0 replaced by ChargeCategory. A file of ours is as the
specification says; for the other rules these columns are given their former names.
"""

from __future__ import annotations

import csv
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from metering.exports.focus import FocusMonth, export_focus
from metering.exports.focus_columns import FocusVersion
from metering.exports.focus_files import FileFormat
from scripts import focus

from .months import every_kind

RULES = 133
FORMER_NAMES = {
    "InvoiceIssuerName": "InvoiceIssuer",
    "ProviderName": "Provider",
    "PublisherName": "Publisher",
    "ResourceId": "ResourceID",
}
OUTDATED = {
    "InvoiceIssuer_Required",
    "Provider_Required",
    "Publisher_Required",
    "ResourceID_Required",
    "SkuPriceId_Nullable",
}


@pytest.fixture(scope="module", autouse=True)
def validator() -> None:
    if not focus.is_current():
        why = "run `make focus`" if focus.find_python() else focus.NONE_FITS
        pytest.skip(f"NOT VALIDATED BY FOCUS-VALIDATOR: {why}")


def failed(path: Path) -> set[str]:
    """The rules that a file breaks."""
    report = path.with_suffix(".xml")
    # It reads its list of currencies by a path that begins where it is installed.
    [packages] = focus.ENVIRONMENT.glob("lib/python*/site-packages")
    told = ("--output-type", "unittest", "--output-destination", str(report))
    asked = ("--data-file", str(path), "--validate-version", "1.0")
    done = subprocess.run(
        [focus.VALIDATOR, *asked, *told], cwd=packages, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    root = ElementTree.parse(report).getroot()
    assert (root.get("tests"), root.get("errors"), root.get("skipped")) == (str(RULES), "0", "0")
    return {
        str(suite.get("name")).partition("-")[0]
        for suite in root.iter("testsuite")
        if suite.find(".//failure") is not None
    }


def export(path: Path, month: FocusMonth) -> Path:
    now = datetime(2026, 12, 4, tzinfo=UTC)
    version = FocusVersion.V1_0
    export_focus(month, str(path), version=version, file_format=FileFormat.CSV, now=now)
    return path


def with_former_names(path: Path, **cells: str) -> Path:
    """The same rows for the rules that know other names; `cells` are put into all of them."""
    renamed = path.with_name(f"renamed_{path.name}")
    with path.open(newline="") as file, renamed.open("w", newline="") as out:
        rows = [
            {FORMER_NAMES.get(name, name): cell for name, cell in row.items()} | cells
            for row in csv.DictReader(file)
        ]
        writer = csv.DictWriter(out, [*rows[0], "ChargeType"])
        writer.writeheader()
        writer.writerows(row | {"ChargeType": row["ChargeCategory"]} for row in rows)
    return renamed


@pytest.mark.parametrize("by_job", [True, False])
def test_an_export_passes(tmp_path: Path, by_job: bool) -> None:
    month = every_kind()
    if not by_job:
        month = FocusMonth(month.statement, None, month.plan_providers)
    path = export(tmp_path / "focus.csv", month)
    assert failed(path) == OUTDATED
    assert failed(with_former_names(path)) == set()


def test_the_validator_would_say_so(tmp_path: Path) -> None:
    path = export(tmp_path / "focus.csv", every_kind())
    wrong = with_former_names(
        path, ChargeClass="Mistake", BillingCurrency="QQQ", BilledCost="much", ServiceCategory=""
    )
    assert failed(wrong) >= {
        "ChargeClass_Enum",
        "BillingCurrency_IsCurrencyCode",
        "BilledCost_IsDecimal",
        "ServiceCategory_NotNull",
    }
