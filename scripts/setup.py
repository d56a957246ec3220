"""From a checkout to a .venv that runs the demo and the tests, with one Python and no other tool.

It is a program rather than lines of a Makefile because it has to say what it is doing and how far
it is, do nothing when nothing has changed, and turn each thing a machine may lack into one clear
line. It uses the standard library only: it runs before anything is installed.

    python scripts/setup.py              packages
    python scripts/setup.py --server     packages and livekit-server
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".tallyroom-setup"
INSTALLER_LOCK = ROOT / "requirements-uv.txt"
LOCK = ROOT / "requirements-dev.txt"
OLDEST, NEWEST = (3, 11), (3, 13)


class SetupError(Exception):
    """Set-up cannot go on; the message says what is missing and how to get it."""


class Steps:
    """Numbers the steps, so that whoever waits sees how many are left."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()

    def next(self, title: str) -> None:
        """Announce the next step."""
        self._done += 1
        elapsed = time.monotonic() - self._started
        print(f"[{self._done}/{self._total}] {elapsed:4.0f} s  {title}", flush=True)

    def finish(self, title: str) -> None:
        """Announce that all of it is done."""
        print(f"      {time.monotonic() - self._started:4.0f} s  {title}", flush=True)


def fingerprint() -> str:
    """Changes whenever the environment would come out differently."""
    inputs = hashlib.sha256()
    for path in (LOCK, INSTALLER_LOCK, ROOT / "pyproject.toml", Path(__file__)):
        inputs.update(path.read_bytes())
    inputs.update(str(VENV).encode())
    return inputs.hexdigest()


def is_current() -> bool:
    """Whether an earlier set-up still holds: nothing to do."""
    try:
        return STAMP.read_text(encoding="ascii").strip() == fingerprint() and _runs(PYTHON)
    except OSError:
        return False


def _runs(python: Path) -> bool:
    if not python.exists():
        return False
    probe = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    try:
        return subprocess.run([python, "-c", probe], check=False).returncode == 0
    except OSError:
        return False


def _run(command: Sequence[str | Path], failure: str) -> None:
    """Run a command with its output shown; `failure` is the line for when it fails."""
    try:
        done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    except OSError as error:
        raise SetupError(f"{failure} ({error.strerror})") from error
    if done.returncode != 0:
        raise SetupError(f"{failure} (exit {done.returncode})")


def make_environment() -> None:
    """Create .venv with the pinned uv in it.

    Raises:
        SetupError: this Python is of another version, or brings neither ensurepip nor pip.
    """
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        found = ".".join(map(str, version))
        raise SetupError(f"Tallyroom runs on Python 3.11 to 3.13, and {sys.executable} is {found}")
    if not _runs(PYTHON):
        base = Path(getattr(sys, "_base_executable", sys.executable))
        shutil.rmtree(VENV, ignore_errors=True)
        plain = ("--without-pip",) if importlib.util.find_spec("ensurepip") is None else ()
        _run((base, "-m", "venv", *plain, VENV), "could not create .venv")
    if _has_uv():
        return
    failure = "could not install uv: is the package registry reachable?"
    wanted = ("--require-hashes", "--requirement", INSTALLER_LOCK)
    quiet = ("--quiet", "--disable-pip-version-check")
    system_uv = shutil.which("uv")
    if _imports(PYTHON, "pip"):
        _run((PYTHON, "-m", "pip", "install", *quiet, *wanted), failure)
    elif importlib.util.find_spec("pip") is not None:
        _run((sys.executable, "-m", "pip", "--python", PYTHON, "install", *quiet, *wanted), failure)
    elif system_uv is not None:
        _run((system_uv, "pip", "install", "--quiet", "--python", PYTHON, *wanted), failure)
    else:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(
            f"{sys.executable} has neither ensurepip nor pip, so nothing can be installed: "
            "on Debian and Ubuntu `apt install python3-venv`, elsewhere install pip or uv"
        )


def _imports(python: Path, module: str) -> bool:
    command = (str(python), "-c", f"import {module}")
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def _has_uv() -> bool:
    wanted = re.search(r"^uv==(\S+)", INSTALLER_LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    uv = VENV / "bin" / "uv"
    if wanted is None or not uv.exists():
        return False
    answer = subprocess.run([uv, "--version"], check=False, capture_output=True, text=True)
    return answer.stdout.split()[1:2] == [wanted.group(1)]


def install_packages() -> None:
    """Bring .venv to exactly what the lock says, hashes checked, with each large download shown."""
    options = ("--python", PYTHON, "--require-hashes", LOCK)
    command = [str(part) for part in (PYTHON, "-m", "uv", "pip", "sync", *options)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as uv:
        for line in uv.stdout or ():
            # The list of what was installed is the lock itself; it would bury the steps.
            if not line.startswith((" + ", " - ", " ~ ")):
                print(f"              {line.strip()}", flush=True)
    if uv.returncode != 0:
        raise SetupError(
            "could not install the packages: is the package registry reachable? "
            f"(uv: exit {uv.returncode})"
        )


def install_project() -> None:
    """Install the checkout itself, editable, with the build backend that the lock brought."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--offline")
    _run(
        (PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON, *options, "--editable", ROOT),
        "could not install tallyroom itself",
    )


def ensure_server() -> None:
    """Find livekit-server or build it; it says itself how far it is."""
    _run((PYTHON, "-m", "demo.server", "ensure"), "no LiveKit server")


def set_up(*, server: bool) -> None:
    """Do what is left to do.

    Raises:
        SetupError: it cannot be done; the message is one line.
    """
    # An environment that is active in the shell, or a PYTHONPATH, must not decide what goes here.
    for variable in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        os.environ.pop(variable, None)
    steps = Steps(5 if server else 4)
    if is_current():
        if server:
            ensure_server()
        else:
            print("Set-up is up to date: .venv fits the lock")
        return
    steps.next(f"Python {sys.version.split()[0]} at {sys.executable}")
    STAMP.unlink(missing_ok=True)
    steps.next("Environment .venv and its installer, uv")
    make_environment()
    count = len(re.findall(r"^\S+==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    steps.next(f"Python packages: {count}, each checked by its hash")
    install_packages()
    steps.next("Tallyroom itself")
    install_project()
    STAMP.write_text(fingerprint() + "\n", encoding="ascii")
    if server:
        steps.next("LiveKit server")
        ensure_server()
    steps.finish("Set-up is done")


def main(argv: Sequence[str] | None = None) -> int:
    """Set up; 0 done, 1 with one line that says what is missing."""
    parser = argparse.ArgumentParser(description="Set up .venv for the demo and the tests.")
    parser.add_argument("--server", action="store_true", help="livekit-server too")
    arguments = parser.parse_args(argv)
    try:
        set_up(server=arguments.server)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: stopped; `make setup` goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
