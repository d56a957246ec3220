"""The meter's command line: `python -m metering`, and a part of `tallyroom`."""

from __future__ import annotations

from .commands import (
    advice,
    estimate,
    exports,
    forecast,
    forget,
    imports,
    jobs,
    margin,
    rates,
    replay,
    statement,
    upkeep,
    webhooks,
)
from .commands.app import AsJson, app, fail, print_json

__all__ = ["AsJson", "app", "fail", "main", "print_json"]

_FAMILIES = (
    jobs,
    upkeep,
    estimate,
    statement,
    replay,
    advice,
    forecast,
    rates,
    margin,
    imports,
    exports,
    forget,
    webhooks,
)
"""In the order in which help lists them."""


def main() -> None:
    """`python -m metering`."""
    app()
