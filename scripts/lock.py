"""The lock: requirements files with hashes, compiled from pyproject.toml, and a check of them.

A uv.lock names the address each file was downloaded from, one a line, and so ties a checkout to
one registry; requirements files name versions and hashes only and install from whichever mirror a
machine uses. What they lack is a way to say that they are out of date, so each carries a digest of
the parts of pyproject.toml it was compiled from: the check needs no network and no installer.

    python scripts/lock.py write [--upgrade]     renew the files (needs uv and a network)
    python scripts/lock.py check                 exit with 1 and say which are stale
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIGEST_LINE = re.compile(r"^# pyproject-sha256: ([0-9a-f]{64})$", re.MULTILINE)
PINNED_LINE = re.compile(r"^[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==\S+( ; .+)? \\$")


@dataclass(frozen=True)
class Lock:
    """One requirements file: its name, what is in it and uv's arguments that say so."""

    name: str
    holds: str
    arguments: tuple[str, ...]


# Not the extras that are large and that no worker needs.
DEPLOYED = (
    *("--extra=transcriber", "--extra=assemblyai", "--extra=embedded-stt"),
    *("--extra=postgres", "--extra=demo"),
)

# In this order: the later ones are held to the versions of requirements.txt.
LOCKS = (
    Lock("requirements.txt", "run time, as it is deployed", ("pyproject.toml", *DEPLOYED)),
    Lock(
        "requirements-dev.txt",
        "run time with all extras, and development",
        ("pyproject.toml", "--all-extras", "--group", "dev", "--constraint", "requirements.txt"),
    ),
    Lock("requirements-focus.txt", "the FOCUS validator", ("--group", "focus")),
    Lock("requirements-uv.txt", "the installer", ("--group", "uv")),
    Lock("requirements-go.txt", "the Go that builds livekit-server", ("--group", "go")),
)


def digest(pyproject: Path) -> str:
    """A digest of every part of `pyproject` that decides what gets installed.

    Prose, tool settings and the project's own version do not change it.
    """
    tables: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = tables.get("project", {})
    deciding = {
        "requires-python": project.get("requires-python"),
        "dependencies": project.get("dependencies"),
        "optional-dependencies": project.get("optional-dependencies"),
        "dependency-groups": tables.get("dependency-groups"),
        "build-system": tables.get("build-system"),
        "uv": tables.get("tool", {}).get("uv"),
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def complaints(root: Path) -> list[str]:
    """What is wrong with the lock in `root`, one line each; empty when it is fresh."""
    expected = digest(root / "pyproject.toml")
    found: list[str] = []
    for lock in LOCKS:
        path = root / lock.name
        if not path.is_file():
            found.append(f"{lock.name} is missing: run `make lock`")
            continue
        text = path.read_text(encoding="utf-8")
        stated = DIGEST_LINE.search(text)
        if stated is None:
            found.append(f"{lock.name} does not say what it was compiled from: run `make lock`")
        elif stated.group(1) != expected:
            found.append(f"{lock.name} is older than pyproject.toml: run `make lock`")
        found.extend(f"{lock.name}, {complaint}" for complaint in _unpinned(text))
    return found


def _unpinned(text: str) -> list[str]:
    """Lines that would install something without a version and a hash, or from an address."""
    found: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if "://" in line or line.startswith("-"):
            found.append(f"line {number}: {line.strip()!r} names an address or an option")
        elif line.startswith(" "):
            if not line.strip().startswith("--hash=sha256:"):
                found.append(f"line {number}: {line.strip()!r} is no hash")
        elif not PINNED_LINE.match(line) or "--hash=" not in "".join(lines[number : number + 1]):
            found.append(f"line {number}: {line.strip()!r} has no version or no hash")
    return found


def write(root: Path, *, upgrade: bool) -> None:
    """Compile every requirements file of `root` anew.

    Args:
        root: the checkout.
        upgrade: take the newest versions; otherwise a version stays while pyproject allows it.

    Raises:
        subprocess.CalledProcessError: uv found no set of versions; it has said why.
    """
    expected = digest(root / "pyproject.toml")
    for lock in LOCKS:
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet"),
                *("--universal", "--generate-hashes", "--no-header", "--python-version", "3.11"),
                *(("--upgrade",) if upgrade else ()),
                *("--output-file", lock.name),
                *lock.arguments,
            ],
            cwd=root,
            check=True,
        )
        path = root / lock.name
        head = (
            f"# {lock.holds.capitalize()}. Compiled from pyproject.toml by `make lock`.\n"
            f"# pyproject-sha256: {expected}\n"
        )
        path.write_text(head + path.read_text(encoding="utf-8"), encoding="utf-8")
        print(f"{lock.name}: {lock.holds}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 stale or not to be compiled."""
    parser = argparse.ArgumentParser(description="Renew or check the requirements files.")
    parser.add_argument("command", choices=("write", "check"))
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to work on")
    arguments = parser.parse_args(argv)
    if arguments.command == "write":
        try:
            write(arguments.root, upgrade=arguments.upgrade)
        except subprocess.CalledProcessError as error:
            print(f"lock: uv could not compile it (exit {error.returncode})", file=sys.stderr)
            return 1
        return 0
    found = complaints(arguments.root)
    for complaint in found:
        print(f"lock: {complaint}", file=sys.stderr)
    if not found:
        print(f"lock: {len(LOCKS)} requirements files fit pyproject.toml")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
