"""All tests, in about the time that their meetings take.

A meeting lasts as long as people speak in it, and leaves the processor idle for half of that. Unit
tests have that half, and stand back: what a meeting waits for is never they. A crowd comes last,
with the machine to itself.

    python scripts/run_tests.py [what pytest takes]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent

_MEETINGS = "not unit and not crowd"
_TWO_AT_A_TIME = ("-n", "2", "--dist", "worksteal")
_BESIDE = "unit"
_CROWD = "crowd"

_STANDS_BACK = 5
_NONE_SELECTED = 5


def run(arguments: Sequence[str], *, root: Path = ROOT) -> int:
    """Pytest's exit code: of the first part that failed; 5 where no part had a test."""
    with tempfile.TemporaryFile() as said:
        with _standing_back(_pytest(_BESIDE, arguments), root, said) as beside:
            meetings = subprocess.run(
                _pytest(_MEETINGS, [*_TWO_AT_A_TIME, *arguments]), cwd=root, check=False
            )
            codes = [meetings.returncode, beside.wait()]
        said.seek(0)
        shutil.copyfileobj(said, sys.stdout.buffer)
        sys.stdout.flush()
    if not _failed(codes):
        crowd = subprocess.run(_pytest(_CROWD, arguments), cwd=root, check=False)
        codes.append(crowd.returncode)
    return next(iter(_failed(codes)), min(codes))


def _pytest(part: str, arguments: Sequence[str]) -> list[str]:
    """What has one part run, of it what the arguments mark: pytest takes the last `-m` alone."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", dest="marked")
    asked, others = parser.parse_known_args(arguments)
    marked = f"({part}) and ({asked.marked})" if asked.marked else part
    return [sys.executable, "-m", "pytest", "-m", marked, *others]


def _failed(codes: Sequence[int]) -> list[int]:
    return [code for code in codes if code not in (0, _NONE_SELECTED)]


@contextmanager
def _standing_back(
    command: Sequence[str], root: Path, said: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the processor when nobody else wants it."""
    process = subprocess.Popen(
        command, cwd=root, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
    )
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _STANDS_BACK)
    # Linux weighs sessions against each other, and niceness within a session only.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(str(_STANDS_BACK), encoding="ascii")
    try:
        yield process
    finally:
        if process.poll() is None:
            # As Ctrl-C would: what its tests have started is taken down.
            process.send_signal(signal.SIGINT)
            process.wait()


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
