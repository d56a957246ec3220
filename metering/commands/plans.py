"""`plans`: what a month costs on each of them, one that is to come and one that was."""

from __future__ import annotations

import typer

from .app import app
from .estimate import compare_plans
from .replay import replay

plans_app = typer.Typer(no_args_is_help=True, help="What the plans would cost.")
plans_app.command("compare")(compare_plans)
plans_app.command("replay")(replay)
app.add_typer(plans_app, name="plans")
