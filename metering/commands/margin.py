"""`margin`: what is left of what tenants pay, once what they cost is paid."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ..billing.margin import MarginRow, Margins
from ..billing.period import Period
from ..display.layout import Column, Sheet
from ..display.records import money, plain
from ..ledger.store import Ledger
from ..reports.tenants import MonthMargins, month_margins
from ..settings import MeterSettings
from ..usage import format_decimal
from .app import AsJson, app, console, print_json, run
from .statement import read_period


class MarginBy(StrEnum):
    """What a row is."""

    TENANT = "tenant"
    JOB = "job"


@app.command()
def margin(
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    by: Annotated[MarginBy, typer.Option(help="A row for each of these.")] = MarginBy.TENANT,
    plan: Annotated[
        str | None, typer.Option(help="The plan we are on; by default the one the jobs ran on.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Ours, as Europe/Zurich.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Show a month's price less cost, by tenant or job; who costs more than they pay stands out."""
    period = read_period(month, timezone)

    async def work() -> MonthMargins:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            return await month_margins(ledger, settings, period, cost_plan=plan)

    found = run(work)
    rows = found.margins.jobs if by is MarginBy.JOB else found.margins.tenants
    if as_json:
        print_json(_to_json(period, by, found, rows))
        return
    console().print(_table(by, found.margins, rows))
    for one, tenants in found.not_sold.items():
        why = "".join(f", {name} {value}" for name, value in one.attributes)
        names = ", ".join(tenant or "-" for tenant in tenants)
        said = f"not sold, so in the cost only: {one.meter} of {one.provider}{why}; used by {names}"
        console().print(plain(said))


def _to_json(
    period: Period, by: MarginBy, found: MonthMargins, rows: tuple[MarginRow, ...]
) -> dict[str, Any]:
    made = found.margins
    price, cost = made.unallocated(rows)
    return {
        "period": period.name,
        "timezone": period.timezone,
        "rate_card": found.rate_card,
        "currency": made.currency,
        "by": str(by),
        "rows": [row.to_json() for row in rows],
        "unallocated": {"price": format_decimal(price), "cost": format_decimal(cost)},
        "price": format_decimal(made.price),
        "cost": format_decimal(made.cost),
        "margin": format_decimal(made.margin),
        "not_sold": [
            {
                "provider": one.provider,
                "meter": one.meter,
                "attributes": dict(one.attributes),
                "tenants": list(tenants),
            }
            for one, tenants in found.not_sold.items()
        ],
    }


def _table(by: MarginBy, made: Margins, rows: tuple[MarginRow, ...]) -> Sheet:
    sheet = Sheet(
        (
            Column(str(by)),
            Column("plan"),
            Column("price", "figure"),
            Column("cost", "figure"),
            Column("margin", "figure"),
            Column("remarks"),
        ),
        stacks=((str(by), "plan"), ("price", "cost"), ("margin",), ("remarks",)),
        ruled=False,
    )
    for row in rows:
        remarks = [row.flag] if row.flag else []
        if row.unrated:
            remarks.append(f"{row.unrated} unrated")
        sheet.add(
            plain((row.job_id if by is MarginBy.JOB else row.tenant) or "-"),
            row.plan_id or "-",
            money(row.price, made.currency),
            money(row.cost, made.currency),
            "-" if row.margin is None else money(row.margin, made.currency),
            plain("; ".join(remarks)),
        )
    price, cost = made.unallocated(rows)
    if price or cost:
        amounts = (money(one, made.currency) for one in (price, cost))
        sheet.add(f"of no {by}", "", *amounts, "", "")
    sheet.add(
        "total",
        "",
        money(made.price, made.currency),
        money(made.cost, made.currency),
        money(made.margin, made.currency),
        "",
    )
    return sheet
