"""A process that ends with whoever started it, whichever way they end.

Cleaning up at the end does for whoever comes to an end of their own. Killed outright nobody cleans
up, and a server or a worker that is left behind keeps its ports, its memory, and its jobs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The kernel is asked, in the process that becomes the command, to kill it when its parent dies:
# nothing else holds when the parent is killed outright. Its own interpreter does it, because code
# between fork and exec in a process with threads can deadlock. Elsewhere than on Linux, the
# parent's own cleaning up has to do.
_TIED = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
except (AttributeError, OSError):
    pass
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def tied_to_parent(*command: str | Path) -> list[str]:
    """What to run for `command`, so that it is killed when this process dies.

    It keeps its process id, arguments and environment. Linux counts the thread that starts it as
    the parent: that one has to live as long as the process is to.
    """
    words = [str(word) for word in command]
    return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *words]
