"""A data folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, in the settings; of others that would be read nothing is."""
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    for name in ("TALLYROOM_RATES", "TALLYROOM_DATABASE_URL", "TALLYROOM_HOSTING", "LIVEKIT_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
