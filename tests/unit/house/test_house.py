"""What the checkout promises about itself: its commands, its deploy files, what it never names."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# In halves, or this file would be the first to name one.
REGISTRIES = [
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("proxy.golang", ".org"),
    ("registry.npm", "js.org"),
    ("deb.debian", ".org"),
    ("files.python", "hosted"),
]
MACHINE_PATHS = [("/wo", "rk/"), ("/ro", "ot/"), ("/tmp", "/proto")]


def text_files() -> list[Path]:
    """Every file that is, or would be, in the repository and is text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    paths = [ROOT / name for name in names if not name.endswith((".flac", ".wav", ".png"))]
    return [path for path in paths if path.is_file()]


def test_no_file_names_a_registry_or_a_place_on_some_machine() -> None:
    files = text_files()
    assert ROOT / "pyproject.toml" in files
    named = [
        f"{path.relative_to(ROOT)}: {''.join(halves)}"
        for path in files
        for halves in REGISTRIES + MACHINE_PATHS
        if "".join(halves) in path.read_text(encoding="utf-8")
    ]
    assert named == []


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, though these tests run under `make test`."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=outside, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("setup", "scripts/setup.py"),
        ("demo", "-m demo"),
        ("test", "scripts/run_tests.py"),
        ("test-unit", "-m pytest tests/unit"),
        ("lint", "-m ruff check"),
        ("lint", "-m ruff format --check"),
        ("lint", "scripts/lock.py check"),
        ("types", "-m mypy"),
        ("lock", "scripts/lock.py write"),
    ],
)
def test_make_runs(target: str, command: str) -> None:
    assert command in make("--dry-run", target).stdout


def test_make_says_what_is_missing_where_no_python_fits() -> None:
    answer = make("setup", "PYTHON=/nonexistent/python")
    assert answer.returncode == 2
    assert "Tallyroom needs Python 3.11, 3.12 or 3.13" in answer.stderr


def test_ci_runs_lint_types_and_tests() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == [
        "make lint",
        "make types",
        "make test",
    ]
    assert "set -euo pipefail" in lines


def test_livekit_toml_is_as_lk_reads_it() -> None:
    settings = tomllib.loads((ROOT / "livekit.toml").read_text(encoding="utf-8"))
    assert {table: set(values) for table, values in settings.items()} == {
        "project": {"subdomain"},
        "agent": {"id"},
    }
    assert all(isinstance(v, str) and v for values in settings.values() for v in values.values())


def test_the_data_of_every_package_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "agent",
        "metering",
        "demo",
    ]


class TestDockerfile:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    def test_hadolint_has_nothing_to_say(self) -> None:
        hadolint = Path(sys.executable).with_name("hadolint")
        said = subprocess.run(
            [hadolint, "Dockerfile"], cwd=ROOT, check=False, capture_output=True, text=True
        )
        assert (said.returncode, said.stdout, said.stderr) == (0, "", "")

    def test_packages_are_installed_by_hash_before_the_source_is_copied(self) -> None:
        installed = self.text.index("--require-hashes")
        assert self.text.index("COPY requirements.txt") < installed < self.text.index("COPY agent")

    def test_it_runs_as_nobody_in_particular(self) -> None:
        last_stage = self.text[self.text.rindex("\nFROM ") :]
        assert re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE) == ["10001"]

    def test_it_starts_the_entry_point_that_a_deploy_finds(self) -> None:
        (command,) = re.findall(r"^CMD (.+)$", self.text, re.MULTILINE)
        assert json.loads(command) == ["python", "agent/__main__.py", "start"]
        assert (ROOT / "agent" / "__main__.py").is_file()

    def test_its_data_survives_the_container(self) -> None:
        assert "TALLYROOM_DATA_DIR=/data" in self.text
        assert "\nVOLUME /data\n" in self.text

    def test_its_health_is_asked_at_the_workers_port(self) -> None:
        (check,) = re.findall(r"^HEALTHCHECK (?:.*\\\n)*.*$", self.text, re.MULTILINE)
        assert "http://127.0.0.1:8081/" in check

    def test_the_context_has_what_is_copied_and_no_keys(self) -> None:
        lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        patterns = [line.removeprefix("**/") for line in lines if line and line[0] != "#"]

        def ignored(name: str) -> bool:
            return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

        copied = re.findall(r"^COPY (?!--)(\S+) \S+$", self.text, re.MULTILINE)
        assert copied == ["requirements.txt", "LICENSE", "metering", "agent"]
        assert not any(ignored(name) for name in [*copied, "Dockerfile", "livekit.toml"])
        kept_out = (".env", ".env.local", ".git", ".venv", "data", "tests", "__pycache__")
        assert all(ignored(name) for name in kept_out)
