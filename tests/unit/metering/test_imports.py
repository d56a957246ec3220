"""What may import what: a job carries neither SQL nor prices while its meeting lasts."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import metering

PACKAGE = Path(metering.__file__).parent
HEAVY = (
    "sqlalchemy",
    "alembic",
    "aiosqlite",
    "genai_prices",
    "metering.pricing",
    "metering.ledger",
)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


def test_the_meter_knows_no_agent() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 20
    for path in files:
        for name in imported(path):
            assert name.split(".")[0] not in {"agent", "demo", "tests"}, f"{path} imports {name}"


@pytest.mark.parametrize(
    "statement",
    [
        "import metering",
        "import metering.job_meter",
        "import metering.sweeper",
        "from metering import JobMeter, MeterSettings, RunInfo, Usage, attach_sweeper",
    ],
)
def test_a_job_loads_neither_sql_nor_prices(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_the_package_alone_loads_no_livekit() -> None:
    code = "import metering, sys; print('livekit.agents' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


def test_every_public_name_is_there() -> None:
    for name in metering.__all__:
        assert getattr(metering, name) is not None
    with pytest.raises(AttributeError, match="module 'metering' has no attribute 'Money'"):
        _ = metering.Money
