"""The meter's command line: `python -m metering`, and a part of `tallyroom`."""

from __future__ import annotations

import typer

from .commands.app import AsJson, fail, print_json
from .commands.on_demand import CommandsOnDemand

__all__ = ["COMMANDS", "AsJson", "CommandsOnDemand", "app", "fail", "main", "print_json"]

COMMANDS = {
    "jobs": "metering.commands.jobs",
    "show": "metering.commands.jobs",
    "rerate": "metering.commands.jobs",
    "recover": "metering.commands.upkeep",
    "verify": "metering.commands.upkeep",
    "backup": "metering.commands.upkeep",
    "restore": "metering.commands.upkeep",
    "prune": "metering.commands.upkeep",
    "estimate": "metering.commands.estimate",
    "plans": "metering.commands.plans",
    "statement": "metering.commands.statement",
    "statements": "metering.commands.statement",
    "advice": "metering.commands.advice",
    "forecast": "metering.commands.forecast",
    "rates": "metering.commands.rates",
    "margin": "metering.commands.margin",
    "import": "metering.commands.imports",
    "export": "metering.commands.exports",
    "forget": "metering.commands.forget",
    "webhooks": "metering.commands.webhooks",
}
"""The module of each command, in the order in which help lists them."""


class _Commands(CommandsOnDemand):
    modules = COMMANDS


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def _about() -> None:
    """What LiveKit agents have used, and what it costs."""


def main() -> None:
    """`python -m metering`."""
    app()
