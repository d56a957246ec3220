"""`make test`: what it runs beside each other, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("unit", "e2e", "crowd")
AUTOGROUP = Path("/proc/self/autogroup")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With a test of each part, which does what the file `PART.py` says."""
    markers = "\n".join(f"    {part}" for part in PARTS)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers =\n{markers}\n")
    for part in PARTS:
        (tmp_path / f"test_{part}.py").write_text(
            f"import pytest\n\n@pytest.mark.{part}\ndef test_it():\n"
            f"    exec(open('{part}.py').read())\n"
        )
        (tmp_path / f"{part}.py").write_text(f"open('{part} ran', 'w').close()")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script, as `make test` runs it, on another project's tests."""
    code = "import sys; from pathlib import Path; from scripts.run_tests import run; "
    code += "sys.exit(run(sys.argv[2:], root=Path(sys.argv[1])))"
    outside = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-c", code, str(project), *arguments],
        cwd=ROOT,
        env=outside,
        check=False,
        capture_output=True,
        text=True,
    )


def ran(project: Path) -> list[str]:
    return [part for part in PARTS if (project / f"{part} ran").exists()]


def test_all_parts_are_run_and_told_of(project: Path) -> None:
    answer = run(project)
    assert (answer.returncode, ran(project)) == (0, list(PARTS))
    assert answer.stdout.count("1 passed") == 3


@pytest.mark.parametrize("part", PARTS)
def test_it_fails_where_one_part_does_and_says_which(project: Path, part: str) -> None:
    (project / f"{part}.py").write_text(f"raise ValueError('the {part} one')")
    answer = run(project)
    assert answer.returncode == 1
    assert f"ValueError: the {part} one" in answer.stdout
    # A crowd is for what has passed so far.
    assert ran(project) == [one for one in ("unit", "e2e") if one != part]


def test_what_is_asked_for_may_be_of_one_part(project: Path) -> None:
    assert run(project, "test_crowd.py").returncode == 0
    assert ran(project) == ["crowd"]


def test_what_is_marked_is_run_in_its_own_part(project: Path) -> None:
    answer = run(project, "-m", "crowd or e2e", "test_crowd.py", "test_unit.py")
    assert (answer.returncode, ran(project)) == (0, ["crowd"])
    assert answer.stdout.count("1 passed") == 1


def test_to_have_asked_for_no_test_at_all_is_told(project: Path) -> None:
    assert run(project, "-k", "nothing").returncode == 5


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="sessions are not weighed here")
def test_unit_tests_stand_back_for_the_meetings(project: Path) -> None:
    for part in ("unit", "e2e"):
        (project / f"{part}.py").write_text(
            f"import os, pathlib; pathlib.Path('{part} ran').write_text("
            f"str(os.nice(0)) + ' ' + pathlib.Path('{AUTOGROUP}').read_text())"
        )
    assert run(project).returncode == 0
    unit, e2e = ((project / f"{part} ran").read_text().split() for part in ("unit", "e2e"))
    # Its niceness, and that of its session: "5 /autogroup-7 nice 5".
    assert int(unit[0]) >= 5
    assert unit[-1] == "5"
    assert unit[1] != e2e[1]
