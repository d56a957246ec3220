"""`forecast`: what the running month will have come to."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from ..billing.forecast import ASSUMPTION, METHOD, Forecast
from ..billing.period import Period
from ..billing.resampling import PLAIN_METHOD
from ..clock import utc_now
from ..display.records import money
from ..ledger.store import Ledger
from ..reports.forecast import MonthForecast, forecast_month
from ..reports.statements import payer_timezone
from ..settings import MeterSettings
from ..usage import format_decimal, format_stamp
from .app import AsJson, app, print_json, run
from .statement import read_period


@app.command()
def forecast(
    month: Annotated[
        str | None, typer.Argument(help="The calendar month, YYYY-MM; by default the running one.")
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="The payer's plan; by default as a statement has it.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's jobs, as the plan's only payer.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The payer's; by default that of what was issued, else UTC.")
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
            help="As if it were then, in UTC: what ended later is left out.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forecast a month's statement from what has ended so far: its total, with a range."""
    now = utc_now() if as_of is None else as_of.replace(tzinfo=UTC)

    def asked(zone: str) -> Period:
        local = read_period(f"{now:%Y-%m}", zone).local(now)
        return read_period(month or f"{local:%Y-%m}", zone)

    asked(timezone or "UTC")

    async def work() -> tuple[Period, MonthForecast]:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            period = asked(timezone or await payer_timezone(ledger, tenant))
            return period, await forecast_month(
                ledger, settings, period, now, plan_id=plan, tenant=tenant
            )

    period, found = run(work)
    if as_json:
        print_json(_to_json(period, now, tenant or "", found))
    else:
        _print(period, now, found)


def _to_json(period: Period, now: datetime, tenant: str, found: MonthForecast) -> dict[str, Any]:
    made = found.forecast
    history = made.history
    return {
        "period": period.name,
        "timezone": period.timezone,
        "tenant": tenant,
        "plan": found.plan_id,
        "rate_card": found.rate_card,
        "as_of": format_stamp(now),
        "status": "issued" if found.issued else "forecast",
        "currency": made.so_far.currency,
        "so_far": format_decimal(made.so_far_total),
        "total": _text(made.total),
        "low": _text(made.low),
        "high": _text(made.high),
        "days_left": made.days_left,
        "unrated": len(made.so_far.unrated),
        "method": {
            "name": METHOD,
            "how": PLAIN_METHOD,
            "basis": made.basis,
            "history_days": len(history),
            "history_from": history[0].isoformat() if history else None,
            "history_until": history[-1].isoformat() if history else None,
            "replays": made.replays,
            "replays_past_the_plan": made.refused,
        },
        "assumptions": [ASSUMPTION] if made.replays else [],
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format_decimal(amount)


def _print(period: Period, now: datetime, found: MonthForecast) -> None:
    made = found.forecast
    currency = made.so_far.currency
    missing = ", and what is unrated" if made.so_far.unrated else ""
    typer.echo(
        f"{period.name} ({period.timezone}) on {found.plan_id}, as of {format_stamp(now)}:"
        f" {money(made.so_far_total, currency)} so far{missing}"
    )
    if made.total is None:
        typer.echo(f"no forecast: {made.basis}")
        return
    typer.echo(f"expected {money(made.total, currency)}{missing}, {_range(made, currency)}")
    typer.echo(made.basis)
    if made.refused:
        typer.echo(f"{made.refused} of {made.replays} replays are more than the plan holds")
    if made.replays:
        typer.echo(f"{METHOD}: {PLAIN_METHOD}")
        typer.echo(f"assumed: {ASSUMPTION}")


def _range(made: Forecast, currency: str) -> str:
    low = "?" if made.low is None else money(made.low, currency)
    return f"from {low} " + ("up" if made.high is None else f"to {money(made.high, currency)}")
