"""The environment that the FOCUS validator needs: what it runs on is older than what we run on.

It has numpy before 2, which no Python after 3.12 runs. Where this one is newer an older one is
looked for; where there is none the tests that need the validator say so, and are skipped.

    python -m scripts.focus
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".cache" / "focus"
PYTHON = ENVIRONMENT / "bin" / "python"
VALIDATOR = ENVIRONMENT / "bin" / "focus-validator"
LOCK = ROOT / "requirements-focus.txt"
STAMP = ENVIRONMENT / ".tallyroom-setup"
NEWEST = (3, 12)
NONE_FITS = "FOCUS 1.0 IS NOT VALIDATED: the validator needs Python 3.11 or 3.12, and there is none"


class FocusError(Exception):
    """The environment cannot be made; the message is one line."""


def is_current() -> bool:
    """Whether the environment is there and fits the lock."""
    try:
        return STAMP.read_text(encoding="ascii").strip() == _fingerprint() and VALIDATOR.exists()
    except OSError:
        return False


def _fingerprint() -> str:
    inputs = hashlib.sha256(LOCK.read_bytes())
    inputs.update(Path(__file__).read_bytes())
    inputs.update(str(ENVIRONMENT).encode())
    return inputs.hexdigest()


def find_python() -> str | None:
    """A Python that the validator runs on: this one if it is old enough."""
    if sys.version_info[:2] <= NEWEST:
        return sys.executable
    wanted = ("--no-project", "--no-python-downloads", ">=3.11,<3.13")
    command = (sys.executable, "-m", "uv", "python", "find", *wanted)
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def make_environment(python: str) -> None:
    """Make the environment anew, from the lock, hashes checked.

    Raises:
        FocusError: it cannot be made.
    """
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    _uv(("venv", "--quiet", "--no-project", "--python", python, ENVIRONMENT))
    _uv(("pip", "sync", "--quiet", "--python", PYTHON, "--require-hashes", LOCK))
    STAMP.write_text(_fingerprint() + "\n", encoding="ascii")


def _uv(arguments: Sequence[str | Path]) -> None:
    command = [sys.executable, "-m", "uv", *map(str, arguments)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise FocusError(
            f"could not make {ENVIRONMENT.relative_to(ROOT)}: is the package registry reachable?"
        )


def main() -> int:
    """Make the environment if there is none; 0 done or not possible here, 1 with one line."""
    if is_current():
        return 0
    python = find_python()
    if python is None:
        print(f"focus: {NONE_FITS}", file=sys.stderr)
        return 0
    print("focus: an environment for the FOCUS validator, from its lock", flush=True)
    try:
        make_environment(python)
    except FocusError as error:
        print(f"focus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
