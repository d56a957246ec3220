"""The Dockerfile's check knows a Python that runs from one that is only there by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import check_dockerfile


def on_path(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable `python3.13` with this text, the only one that PATH leads to."""
    python = folder / "python3.13"
    python.write_text(text, encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return python


FAILING = ["#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n", "#!/no/such\n"]


@pytest.mark.parametrize("text", FAILING)
def test_a_python_that_does_not_run_is_not_there(
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_path(tmp_path, text, monkeypatch)
    assert check_dockerfile.find_python("python3.13") is None
    assert check_dockerfile.main([]) == 0
    assert "no python3.13 that runs here: the steps were not replayed" in capsys.readouterr().out


def test_a_python_that_runs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = on_path(tmp_path, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', monkeypatch)
    assert check_dockerfile.find_python("python3.13") == str(python)
    assert check_dockerfile.find_python("python3.12") is None
