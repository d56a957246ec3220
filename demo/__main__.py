"""`make demo`: a metered meeting on a real server, from the first join to the bill.

Ctrl-C and SIGTERM end it at any moment with one line. What it is made of takes seconds to load, so
nothing of that is imported before both are taken care of.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""The exit code that shells give to what Ctrl-C has ended."""


def _end_at_once(number: int, frame: FrameType | None) -> None:
    # Not by an exception: raised inside an import, some libraries turn it into an error of theirs.
    os.write(sys.stderr.fileno(), b"\nstopped; nothing had been started\n")
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def main() -> int:
    """Run the demo; 0 the bill agrees with the server, 1 it does not or came to none, 130 stopped.

    Ctrl-C or SIGTERM end everything that it has started.
    """
    signal.signal(signal.SIGINT, _end_at_once)
    signal.signal(signal.SIGTERM, _end_at_once)
    from .program import run

    # Python's own, even where a shell had SIGINT ignored: SIGTERM goes the same way.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run()
    except KeyboardInterrupt:
        print("\nstopped; what was metered is in the ledger or its journal", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
