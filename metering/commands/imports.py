"""`import`: usage that others have measured, to back-fill a ledger or to ask what it would cost."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ..display.layout import Column, Sheet
from ..display.records import amount, money, plain
from ..errors import ImportRefused, MeteringError
from ..importing.importer import Imported, Source, import_usage
from ..importing.rows import Format
from ..settings import Hosting, MeterSettings
from .app import AsJson, app, console, fail, print_json, run

_STDIN = "-"


@app.command("import")
def import_file(
    file: Annotated[str, typer.Argument(help="JSONL or CSV; - is standard input.")],
    written: Annotated[
        Format | None, typer.Option("--format", help="By default what the file's name says.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Of jobs of which the file does not say it.")
    ] = None,
    hosting: Annotated[Hosting | None, typer.Option(help="In the same way.")] = None,
    plan: Annotated[str | None, typer.Option(help="In the same way.")] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Check it and say what it would cost; store nothing.")
    ] = False,
    max_problems: Annotated[
        int, typer.Option(min=1, help="How many of a file's problems to list.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Import usage: all of a file, or nothing where a row is wrong; twice is as good as once."""
    how = written or Format.of(file)
    if how is None:
        raise typer.BadParameter("say jsonl or csv: the name does not", param_hint="'--format'")
    defaults = {"tenant": tenant, "hosting": hosting, "plan": plan}

    async def work() -> Imported | ImportRefused:
        try:
            with _opened(file) as stream:
                return await import_usage(
                    Source(_name(file), stream, how),
                    MeterSettings.load(),
                    defaults={key: str(said) for key, said in defaults.items() if said is not None},
                    most_problems=max_problems,
                    dry_run=dry_run,
                )
        except ImportRefused as refused:
            return refused

    imported = run(work)
    if isinstance(imported, ImportRefused):
        _print_refused(imported, as_json)
        fail(str(imported))
    if as_json:
        print_json(imported)
    else:
        _print(imported)


def _name(file: str) -> str:
    return "standard input" if file == _STDIN else file


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    if file == _STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise MeteringError(f"cannot read {file}: {error.strerror or error}") from error


def _print_refused(refused: ImportRefused, as_json: bool) -> None:
    problems = refused.problems
    if as_json:
        listed = [problem.to_json() for problem in problems.told]
        print_json({"file": refused.name, "rows": problems.rows, "problems": listed})
        return
    for problem in problems.told:
        typer.echo(f"{refused.name}:{problem}", err=True)
    if problems.more:
        typer.echo(f"and {problems.more} more", err=True)


def _print(imported: Imported) -> None:
    sheet = Sheet(
        (
            Column("meter"),
            Column("provider / model"),
            Column("count", "figure"),
            Column("quantity", "figure"),
            Column("list cost", "figure"),
        ),
        stacks=(("meter", "provider / model"), ("count",), ("quantity",), ("list cost",)),
    )
    for charge in imported.charges:
        model = f"{charge.provider} / {charge.model}" if charge.model else charge.provider
        cost = money(charge.list_cost, charge.currency)
        if charge.state != "priced":
            cost = charge.state.replace("_", " ")
        sheet.add(
            plain(charge.meter),
            plain(model),
            str(charge.instances),
            amount(charge.consumed_quantity, charge.consumed_unit),
            cost,
        )
    if imported.charges:
        console().print(sheet)
    reasons = {charge.reason for charge in imported.charges if charge.state == "unrated"}
    for reason in sorted(reasons):
        console().print(plain(f"unrated: {reason}"))
    for total in imported.list_cost:
        typer.echo(f"list cost {money(total.list_cost, total.currency)}")
    done = "would import" if imported.dry_run else "imported"
    known = imported.instances - imported.new_instances
    typer.echo(
        f"{done} {imported.new_instances} instances of {imported.jobs} jobs"
        + (f"; {known} were in the ledger already" if known else "")
        + (f"; {imported.repeated} rows were repeated" if imported.repeated else "")
    )
