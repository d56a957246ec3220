"""Commands in these tests read no setting of the machine they run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.metering.test_settings import VARIABLES


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
