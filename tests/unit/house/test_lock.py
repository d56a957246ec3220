"""The lock check finds every way in which the requirements files can be wrong, offline."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import lock

ROOT = Path(__file__).resolve().parents[3]
FILES = ("pyproject.toml", *(one.name for one in lock.LOCKS))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_lock_of_this_checkout_is_fresh() -> None:
    assert lock.complaints(ROOT) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"typer>=0.15"', '"typer>=0.16"'),
        ('requires-python = ">=3.11', 'requires-python = ">=3.12'),
        ('"faster-whisper>=1.1"', '"faster-whisper>=1.2"'),
        ('"ruff>=0.9"', '"ruff>=0.10"'),
        ('requires = ["hatchling', 'requires = ["setuptools", "hatchling'),
    ],
)
def test_a_changed_dependency_makes_every_file_stale(checkout: Path, old: str, new: str) -> None:
    edit(checkout / "pyproject.toml", old, new)
    assert lock.complaints(checkout) == [
        f"{one.name} is older than pyproject.toml: run `make lock`" for one in lock.LOCKS
    ]
    assert lock.main(["check", "--root", str(checkout)]) == 1


def test_what_installs_nothing_makes_nothing_stale(checkout: Path) -> None:
    edit(checkout / "pyproject.toml", "line-length = 100", "line-length = 99")
    assert lock.complaints(checkout) == []


def test_a_missing_file_is_named(checkout: Path) -> None:
    (checkout / "requirements-go.txt").unlink()
    assert lock.complaints(checkout) == ["requirements-go.txt is missing: run `make lock`"]


def test_a_file_that_does_not_say_its_source_is_named(checkout: Path) -> None:
    edit(checkout / "requirements-uv.txt", "# pyproject-sha256: ", "# ")
    assert lock.complaints(checkout) == [
        "requirements-uv.txt does not say what it was compiled from: run `make lock`"
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--index-url https" + "://example.org/simple", "names an address or an option"),
        ("evil @ https" + "://example.org/evil.whl", "names an address or an option"),
        ("typer>=0.15", "has no version or no hash"),
        ("typer==0.15.0 \\", "has no version or no hash"),
    ],
)
def test_a_line_without_version_hash_or_with_an_address_is_named(
    checkout: Path, line: str, complaint: str
) -> None:
    path = checkout / "requirements-uv.txt"
    number = len(path.read_text(encoding="utf-8").splitlines()) + 1
    with path.open("a", encoding="utf-8") as opened:
        opened.write(line + "\n")
    assert lock.complaints(checkout) == [
        f"requirements-uv.txt, line {number}: {line!r} {complaint}"
    ]


def test_both_locks_agree_on_every_version() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return {line for line in lines if line[:1].isalnum()}

    assert pins("requirements.txt") < pins("requirements-dev.txt")
