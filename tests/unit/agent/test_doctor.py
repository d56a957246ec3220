from __future__ import annotations

from pathlib import Path

import pytest

from agent.doctor import try_folder
from agent.errors import SettingsError


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    try_folder(tmp_path / "deep" / "data")
    assert list((tmp_path / "deep" / "data").iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError) as refused:
        try_folder(file / "data")
    assert str(refused.value) == (
        f"{file / 'data'} cannot be written (Not a directory); set TALLYROOM_DATA_DIR"
    )
