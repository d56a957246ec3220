"""What a deploy finds and runs: by package, `python -m agent`, or by path.

Run by path, Python looks for imports beside this file instead of beside the package; the packages
are then found by putting their folder where Python looks.
"""

import sys
from pathlib import Path

if not __package__:
    root = str(Path(__file__).resolve().parent.parent)
    sys.path[0:1] = [root]

from agent.cli import main

if __name__ == "__main__":
    main()
