"""What can be known of the Dockerfile where there is no container engine and no base image.

It is linted, and its steps that do not need an image are replayed: the hashed requirements into a
fresh environment of the image's Python, the build context as .dockerignore leaves it, and the
entry point from there, as another user's working directory would have it. What stays unchecked:
the base image itself, its system libraries, the user and the health check.

    python scripts/check_dockerfile.py [--python PYTHON]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class CheckError(Exception):
    """A step that the image's build would fail at; the message says which."""


def run(command: Sequence[str | Path], what: str, **settings: str) -> str:
    """Run one replayed step in the folder and environment given; returns what it printed.

    Raises:
        CheckError: it failed.
    """
    folder = settings.pop("cwd", str(ROOT))
    answer = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
    )
    if answer.returncode != 0:
        raise CheckError(f"{what} failed: {(answer.stderr or answer.stdout).strip()[-800:]}")
    return answer.stdout


def find_python(name: str) -> str | None:
    """The path of a Python that runs; None where there is none.

    What a version manager puts on PATH for a Python that is not installed is found, and fails.
    """
    path = shutil.which(name)
    if path is None:
        return None
    try:
        answer = subprocess.run([path, "--version"], check=False, capture_output=True)
    except OSError:
        return None
    return path if answer.returncode == 0 else None


def copied_into_image(dockerfile: str) -> list[str]:
    """What the last stage copies from the build context, in order."""
    last_stage = dockerfile[dockerfile.rindex("\nFROM ") :]
    return re.findall(r"^COPY (?!--)(\S+) \S+$", last_stage, re.MULTILINE)


def replay(dockerfile: str, python: str) -> None:
    """Install, copy and start as the image does.

    Raises:
        CheckError: a step failed.
    """
    with tempfile.TemporaryDirectory(prefix="tallyroom-image-") as scratch:
        venv, app = Path(scratch) / "venv", Path(scratch) / "app"
        app.mkdir()
        run([python, "-m", "venv", venv], "creating the environment")
        install = ("--require-hashes", "--only-binary=:all:", "--requirement", "requirements.txt")
        pip = (venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
        run([*pip, *install], "installing requirements.txt")
        skipped = shutil.ignore_patterns("__pycache__", ".env*", "*.db")
        for name in copied_into_image(dockerfile):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, app / name, ignore=skipped)
            else:
                shutil.copy2(ROOT / name, app / name)
        entry: list[str] = json.loads(dockerfile[dockerfile.rindex("\nCMD ") + 5 :])
        settings = {"cwd": str(app), "PYTHONPATH": str(app), "TALLYROOM_DATA_DIR": scratch}
        run([venv / "bin" / entry[0], entry[1], "--help"], "starting the entry point", **settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Check it; 0 nothing wrong, 1 with what is."""
    parser = argparse.ArgumentParser(description="Check the Dockerfile without an engine.")
    parser.add_argument("--python", default="python3.13", help="the Python that the image has")
    arguments = parser.parse_args(argv)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    try:
        run([Path(sys.executable).with_name("hadolint"), "Dockerfile"], "hadolint")
        print("hadolint: nothing to say")
        python = find_python(arguments.python)
        if python is None:
            print(
                f"no {arguments.python} that runs here: the steps were not replayed"
                " (--python names one)"
            )
            return 0
        replay(dockerfile, python)
        print("replayed: requirements.txt by hash, the context, the entry point")
    except CheckError as error:
        print(f"dockerfile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
