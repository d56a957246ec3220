"""`statement`: what a month comes to, from the jobs that the ledger has."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..billing.period import Period, parse_period
from ..clock import utc_now
from ..display.bills import (
    groups_table,
    issued_table,
    print_statement,
    statement_csv,
)
from ..errors import AlreadyIssued, DocumentError, RateError, StatementError
from ..ledger.issued import Issued, issued_statements
from ..ledger.queries import list_jobs
from ..ledger.store import Ledger
from ..reports.groups import GroupBy
from ..reports.issuing import issue_month
from ..reports.statements import StatedMonth, json_text, payer_timezone, state_month
from ..reports.tenants import state_tenant
from ..settings import Hosting, MeterSettings
from ..usage import format_decimal, format_stamp
from .app import AsJson, app, console, fail, print_json, run


class Book(StrEnum):
    """Whose prices a statement is by."""

    COST = "cost"
    PRICE = "price"


@app.command()
def statement(
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    plan: Annotated[
        str | None, typer.Option(help="The payer's plan; by default the one the jobs ran on.")
    ] = None,
    hosting: Annotated[
        Hosting | None, typer.Option(help="As if all of it had run there; by default as it did.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's jobs, as the plan's only payer.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The payer's; by default that of what was issued, else UTC.")
    ] = None,
    book: Annotated[
        Book, typer.Option(help="What providers charge us, or what a tenant is charged.")
    ] = Book.COST,
    issue: Annotated[
        bool, typer.Option("--issue", help="Freeze it in the store: it never changes again.")
    ] = False,
    early: Annotated[
        bool, typer.Option("--early", help="Issue it before its days of grace are over.")
    ] = False,
    by: Annotated[GroupBy | None, typer.Option(help="Sum the jobs' costs by this, too.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the lines as CSV.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it as a document: .html or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """State a month, issued or in draft: lines, allowances, overage, credits, fee, rounding, total.

    It is a draft until it is issued, and can be issued once TALLYROOM_GRACE_DAYS (3) have passed
    since the month's end.
    """
    if as_csv and (as_json or by is not None):
        raise typer.BadParameter("give it alone", param_hint="'--csv'")
    if output is not None and output.suffix.lower() not in (".html", ".pdf"):
        raise typer.BadParameter(f"{output} is neither .html nor .pdf", param_hint="'--output'")
    if book is Book.PRICE and (tenant is None or hosting is not None or issue):
        raise typer.BadParameter(
            "it needs --tenant, and takes no --hosting and no --issue", param_hint="'--book'"
        )
    if issue and hosting is not None:
        raise typer.BadParameter("what might have been is not issued", param_hint="'--hosting'")
    if early and not issue:
        raise typer.BadParameter("it needs --issue", param_hint="'--early'")
    read_period(month, "UTC" if timezone is None else timezone)
    is_unknown = False

    async def work() -> tuple[Period, StatedMonth, str]:
        nonlocal is_unknown
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            zone = await payer_timezone(ledger, tenant) if timezone is None else timezone
            period = read_period(month, zone)
            is_unknown = tenant is not None and not await list_jobs(ledger, tenant=tenant, limit=1)
            if book is Book.PRICE and tenant is not None:
                stated = await state_tenant(ledger, settings, period, tenant, plan_id=plan)
                return period, stated, ""
            refused = ""
            if issue:
                try:
                    now, payer = utc_now(), {"plan_id": plan, "tenant": tenant}
                    stated = await issue_month(
                        ledger, settings, period, now=now, early=early, **payer
                    )
                    return period, stated, ""
                except AlreadyIssued as error:
                    refused = str(error)
            wanted = None if refused else plan
            stated = await state_month(
                ledger,
                settings,
                period,
                plan_id=wanted,
                hosting=hosting,
                tenant=tenant,
                by_purpose=by is GroupBy.PURPOSE,
            )
            return period, stated, refused

    period, stated, refused = run(work)
    if is_unknown and not as_json:
        # A name that was mistyped looks like a month in which nothing was used.
        typer.echo(f"tallyroom: no jobs of tenant {tenant!r} in the ledger", err=True)
    if output is None:
        _print(period, stated, by, as_csv=as_csv, as_json=as_json)
    else:
        _write(period, stated, output, is_sold=book is Book.PRICE)
    if refused:
        fail(refused)


def _write(period: Period, stated: StatedMonth, output: Path, *, is_sold: bool) -> None:
    from ..documents.render import html, pdf
    from ..documents.statement_view import view_statement

    found = stated.statement
    if found is None:
        fail(f"no statement for {period.name}: nothing is due, and nothing is unrated")
    view = view_statement(found, stated.groups(GroupBy.DAY), is_sold=is_sold)
    try:
        if output.suffix.lower() == ".pdf":
            output.write_bytes(pdf(view, found.issued_at or period.end))
        else:
            output.write_text(html(view), "utf-8")
    except DocumentError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write {output}: {error.strerror}")
    typer.echo(f"{output.absolute()}")


def _print(
    period: Period, stated: StatedMonth, by: GroupBy | None, *, as_csv: bool, as_json: bool
) -> None:
    found = stated.statement
    try:
        groups = stated.groups(by) if by is not None else []
    except StatementError as error:
        fail(str(error))
    if as_json and (found is None or by is None):
        sys.stdout.write(stated.text)
    elif as_json:
        listed = [group.to_json() for group in groups]
        print_json(json.loads(stated.text) | {"by": str(by), "groups": listed})
    elif found is None:
        typer.echo(f"no statement for {period.name}: nothing is due, and nothing is unrated")
    elif as_csv:
        sys.stdout.write(statement_csv(found))
    else:
        print_statement(console(), found)
        if by is not None:
            console().print()
            console().print(groups_table(groups, by, found.bill.currency))


@app.command()
def statements(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the statements that were issued, first to last."""

    async def work() -> list[Issued]:
        async with Ledger(MeterSettings.load().ledger_url) as ledger:
            return await issued_statements(ledger, tenant)

    found = run(work)
    if as_json:
        sys.stdout.write(json_text([_head(one) for one in found]))
    elif found:
        console().print(issued_table(found))
    else:
        typer.echo("no statement was issued yet")


def _head(issued: Issued) -> dict[str, Any]:
    return {
        "statement_id": issued.statement_id,
        "book": issued.book,
        "tenant": issued.tenant,
        "period": issued.period,
        "timezone": issued.timezone,
        "plan": issued.plan,
        "currency": issued.currency,
        "total": format_decimal(issued.total),
        "issued_at": format_stamp(issued.issued_at),
    }


def read_period(month: str, timezone: str) -> Period:
    """The month that a command was asked for; one that is none is wrong usage."""
    try:
        return parse_period(month, timezone)
    except RateError as error:
        raise typer.BadParameter(str(error)) from None
