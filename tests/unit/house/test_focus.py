from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import focus


def test_an_older_python_is_found_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus, "NEWEST", (3, 10))
    found = focus.find_python()
    if found is not None:
        probe = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))"
        assert subprocess.run([found, "-c", probe], check=False).returncode == 0


def test_where_none_fits_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(focus, "STAMP", tmp_path / "none")
    monkeypatch.setattr(focus, "find_python", lambda: None)
    assert focus.main() == 0
    assert capsys.readouterr().err == f"focus: {focus.NONE_FITS}\n"


def test_another_lock_makes_it_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock, stamp, validator = (tmp_path / name for name in ("lock", "stamp", "validator"))
    lock.write_text("one==1\n")
    validator.touch()
    monkeypatch.setattr(focus, "LOCK", lock)
    monkeypatch.setattr(focus, "STAMP", stamp)
    monkeypatch.setattr(focus, "VALIDATOR", validator)
    made: list[str] = []

    def make(python: str) -> None:
        made.append(python)
        stamp.write_text(focus._fingerprint())

    monkeypatch.setattr(focus, "make_environment", make)
    monkeypatch.setattr(focus, "find_python", lambda: "python3.12")
    assert [focus.main(), focus.main()] == [0, 0]
    assert made == ["python3.12"]
    lock.write_text("one==2\n")
    assert focus.main() == 0
    assert made == ["python3.12"] * 2
