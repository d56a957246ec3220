"""The meter's command line: `python -m metering`, and a part of `tallyroom`."""

from __future__ import annotations

from .commands import estimate, exports, imports, jobs, margin, rates, statement, upkeep
from .commands.app import AsJson, app, fail, print_json

__all__ = ["AsJson", "app", "fail", "main", "print_json"]

_FAMILIES = (jobs, upkeep, estimate, statement, rates, margin, imports, exports)
"""In the order in which help lists them."""


def main() -> None:
    """`python -m metering`."""
    app()
