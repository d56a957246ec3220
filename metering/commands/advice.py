"""`advice`: what a month could have done without, in money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer

from ..billing.advice import ASSUMPTION
from ..billing.period import Period
from ..display.advice import finding_to_json, findings_table, how_computed
from ..display.records import money
from ..ledger.store import Ledger
from ..reports.advice import Advice, advise_month
from ..reports.statements import payer_timezone
from ..settings import MeterSettings
from ..usage import format_decimal
from .app import AsJson, app, console, print_json, run
from .statement import read_period


@app.command()
def advice(
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    plan: Annotated[
        str | None, typer.Option(help="The payer's plan; by default as a statement has it.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's jobs, as the plan's only payer.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The payer's; by default that of what was issued, else UTC.")
    ] = None,
    alone_seconds: Annotated[
        int, typer.Option(min=1, help="An agent alone for as long is one left alone.")
    ] = 60,
    minute_seconds: Annotated[
        int, typer.Option(min=1, help="Fewer seconds of a last minute are too few to pay it for.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what would have made a month cheaper, and by how much: each finding rated for itself."""
    read_period(month, timezone or "UTC")

    async def work() -> tuple[Period, Advice]:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            period = read_period(month, timezone or await payer_timezone(ledger, tenant))
            return period, await advise_month(
                ledger,
                settings,
                period,
                plan_id=plan,
                tenant=tenant,
                alone=timedelta(seconds=alone_seconds),
                seconds_in=Decimal(minute_seconds),
            )

    period, found = run(work)
    thresholds = Decimal(alone_seconds), Decimal(minute_seconds)
    if as_json:
        print_json(_to_json(period, tenant or "", found, *thresholds))
    else:
        _print(period, found, *thresholds)


def _to_json(
    period: Period, tenant: str, found: Advice, alone: Decimal, seconds_in: Decimal
) -> dict[str, Any]:
    currency = found.bill.currency
    return {
        "period": period.name,
        "timezone": period.timezone,
        "tenant": tenant,
        "plan": found.plan_id,
        "rate_card": found.rate_card,
        "currency": currency,
        "exact_total": format_decimal(found.bill.exact_total),
        "unrated": len(found.bill.unrated),
        "findings": [finding_to_json(one, currency, alone, seconds_in) for one in found.findings],
        "assumptions": [ASSUMPTION] if found.findings else [],
    }


def _print(period: Period, found: Advice, alone: Decimal, seconds_in: Decimal) -> None:
    currency = found.bill.currency
    total = money(found.bill.total, currency)
    missing = ", and what is unrated" if found.bill.unrated else ""
    typer.echo(f"{period.name} ({period.timezone}) on {found.plan_id}: {total}{missing}")
    if not found.findings:
        typer.echo("nothing was found that would have made it cheaper")
        return
    console().print(findings_table(found.findings, currency))
    for one in found.findings:
        typer.echo(f"{one.name}: {how_computed(one, alone, seconds_in)}")
        if one.disputed is not None:
            typer.echo(f"* if billed by {one.disputed.basis}: {one.disputed.reason}")
    typer.echo(f"assumed: {ASSUMPTION}")
