"""`forget`: a person, a meeting or a tenant out of all that the meter keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..settings import MeterSettings
from ..upkeep.forget import Forgotten, Kind
from ..upkeep.forget import forget as forget_all
from .app import AsJson, app, fail, print_json, run

KindArgument = Annotated[Kind, typer.Argument(help="What is forgotten.")]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The person's identity, the job's id, or the tenant.")
]
Backups = Annotated[
    list[Path] | None,
    typer.Option("--backup", help="An archive besides those that were made from here; repeatable."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def forget(
    kind: KindArgument,
    id_: IdArgument,
    backup: Backups = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget names and identities, in the backups too. Usage, charges and statements stay."""
    ask(kind, id_, yes)
    forgotten = run(lambda: forget_all(MeterSettings.load(), kind, id_, backups=backup or ()))
    if forgotten.is_empty:
        fail(f"nothing is known of {kind} {id_!r}")
    if as_json:
        print_json(forgotten)
    else:
        print_forgotten(forgotten)
    tell_missing(forgotten)


def ask(kind: Kind, id_: str, yes: bool) -> None:
    """Ask before what cannot be undone."""
    if not yes:
        typer.confirm(f"Forget {kind} {id_!r}? It cannot be undone.", abort=True, err=True)


def print_forgotten(forgotten: Forgotten) -> None:
    """What was forgotten, for people."""
    typer.echo(
        f"forgotten in {len(forgotten.jobs)} jobs: {forgotten.people} people,"
        f" {forgotten.journals} journals, {forgotten.outbox} waiting deliveries,"
        f" {len(forgotten.backups)} backups"
    )


def tell_missing(forgotten: Forgotten) -> None:
    """Name, on stderr, the backups that could not be looked into."""
    for path in forgotten.missing_backups:
        typer.echo(
            f"tallyroom: no longer there: {path}; if it was moved, forget again with --backup PATH",
            err=True,
        )
