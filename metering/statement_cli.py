"""`statement` and `plans replay`: what a month comes to, from the jobs that the ledger has."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from .bill_tables import groups_table, offers_table, print_statement, statement_csv
from .billing.comparison import Offer, offer_to_json
from .billing.period import Period, parse_period
from .cli import AsJson, app, console, print_json, run
from .errors import RateError
from .estimate_cli import plans_app
from .ledger.store import Ledger
from .settings import Hosting, MeterSettings
from .statements import Group, GroupBy, StatedMonth, replay_month, state_month
from .tenants import state_tenant
from .usage import format_decimal


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
    timezone: Annotated[str, typer.Option(help="The payer's, as Europe/Zurich.")] = "UTC",
    book: Annotated[
        Book, typer.Option(help="What providers charge us, or what a tenant is charged.")
    ] = Book.COST,
    by: Annotated[GroupBy | None, typer.Option(help="Sum the jobs' costs by this, too.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the lines as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draft a month's statement: lines, allowances, overage, credits, fee, rounding, total."""
    if as_csv and (as_json or by is not None):
        raise typer.BadParameter("give it alone", param_hint="'--csv'")
    if book is Book.PRICE and (tenant is None or hosting is not None):
        raise typer.BadParameter("it needs --tenant, and takes no --hosting", param_hint="'--book'")
    period = read_period(month, timezone)

    async def work() -> StatedMonth:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            if book is Book.PRICE and tenant is not None:
                return await state_tenant(ledger, settings, period, tenant, plan_id=plan)
            return await state_month(
                ledger, settings, period, plan_id=plan, hosting=hosting, tenant=tenant
            )

    stated = run(work)
    draft = stated.statement
    groups = stated.groups(by) if by is not None else []
    if as_json:
        if draft is None:
            sys.stdout.write("null\n")
        else:
            print_json(draft.to_json() | _grouped(by, groups))
    elif draft is None:
        typer.echo(f"no statement for {period.name}: nothing is due, and nothing is unrated")
    elif as_csv:
        sys.stdout.write(statement_csv(draft))
    else:
        print_statement(console(), draft)
        if by is not None:
            console().print()
            console().print(groups_table(groups, by, draft.bill.currency))


@plans_app.command("replay")
def replay(
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's jobs.")] = None,
    timezone: Annotated[str, typer.Option(help="The payer's, as Europe/Zurich.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Replay a month of the ledger on every plan and hosting: limits first, then price."""
    period = read_period(month, timezone)

    async def work() -> list[Offer]:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            return await replay_month(ledger, settings, period, tenant=tenant)

    offers = run(work)
    if as_json:
        print_json({"offers": [offer_to_json(offer, None) for offer in offers]})
    else:
        console().print(offers_table(offers, {}))


def read_period(month: str, timezone: str) -> Period:
    """The month that a command was asked for; one that is none is wrong usage."""
    try:
        return parse_period(month, timezone)
    except RateError as error:
        raise typer.BadParameter(str(error)) from None


def _grouped(by: GroupBy | None, groups: list[Group]) -> dict[str, Any]:
    if by is None:
        return {}
    listed = [
        {
            "name": group.name,
            "jobs": group.jobs,
            "list_cost": format_decimal(group.list_cost),
            "marginal_cost": format_decimal(group.marginal_cost),
            "effective_cost": format_decimal(group.effective_cost),
            "unrated": group.unrated,
        }
        for group in groups
    ]
    return {"by": str(by), "groups": listed}
