"""`export focus`: a month for a FinOps tool."""

from __future__ import annotations

from typing import Annotated

import typer

from ..clock import utc_now
from ..display.records import amount, money, plain
from ..exports.focus import (
    ACCOUNT,
    STANDARD_OUTPUT,
    Exported,
    export_focus,
    file_name,
    read_focus_month,
)
from ..exports.focus_columns import FocusVersion
from ..exports.focus_files import FileFormat
from ..ledger.store import Ledger
from ..reports.statements import payer_timezone
from ..settings import MeterSettings
from .app import AsJson, app, print_json, run
from .statement import read_period

export_app = typer.Typer(no_args_is_help=True, help="A month for other systems.")
app.add_typer(export_app, name="export")


@export_app.callback()
def export() -> None:
    """A month for other systems."""


@export_app.command()
def focus(
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    version: Annotated[
        FocusVersion, typer.Option(help="Of the specification.")
    ] = FocusVersion.V1_2,
    how: Annotated[
        FileFormat | None, typer.Option("--format", help="By default what the file's name says.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="The file; - is standard output. By default focus_VERSION_MONTH."
        ),
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="The payer's plan; by default the one the jobs ran on.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's jobs, as the plan's only payer.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The payer's; by default that of what was issued, else UTC.")
    ] = None,
    billing_account: Annotated[
        str, typer.Option(help="What the provider knows the payer by.")
    ] = ACCOUNT,
    as_json: AsJson = False,
) -> None:
    """Write a month's charges in FOCUS, the FinOps cost and usage specification."""
    if not billing_account:
        raise typer.BadParameter("it must not be empty", param_hint="'--billing-account'")
    if as_json and out == STANDARD_OUTPUT:
        raise typer.BadParameter("write to a file", param_hint="'--json'")
    by_name = FileFormat.PARQUET if (out or "").endswith(".parquet") else FileFormat.CSV
    written_as = how or by_name
    read_period(month, timezone or "UTC")  # Wrong usage is said before a store is asked.

    async def work() -> Exported | None:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            period = read_period(month, timezone or await payer_timezone(ledger, tenant))
            found = await read_focus_month(ledger, settings, period, plan_id=plan, tenant=tenant)
        if found is None:
            return None
        return export_focus(
            found,
            out or file_name(period, tenant, version, written_as),
            version=version,
            file_format=written_as,
            billing_account=billing_account,
            now=utc_now(),
        )

    exported = run(work)
    if exported is None:
        if as_json:
            typer.echo("null")
        else:
            said = f"nothing written for {month}: nothing is due, and nothing is unrated"
            typer.echo(said, err=out == STANDARD_OUTPUT)
    elif as_json:
        print_json(exported)
    else:
        _say(exported)


def _say(exported: Exported) -> None:
    for item in exported.unrated:
        of = f"{item.provider} {item.model}".strip()
        said = f"not in the file, it has no price: {item.meter}, {of}, "
        typer.echo(plain(said + amount(item.quantity, item.unit)).plain, err=True)
    if exported.file != STANDARD_OUTPUT:
        by = "by job" if exported.by_job else "by line: its jobs come to something else by now"
        typer.echo(
            f"{exported.file}: FOCUS {exported.focus_version}, {exported.rows} rows,"
            f" {money(exported.total, exported.currency)}, {exported.status}, usage {by}"
        )
