"""`rates`, `rates check`, `rates diff`: which prices there are, which are missing or old, and what
others would change."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from ..billing.card_diff import CardDiff
from ..clock import utc_now
from ..display.rates import print_check, print_diff, rates_table
from ..errors import MeteringError, RateError
from ..ledger.store import Ledger
from ..ledger.use_queries import in_use
from ..pricing.account import load_account
from ..pricing.loading import load_card
from ..pricing.plans import find_plan, load_plans
from ..pricing.price_book_file import load_price_book
from ..pricing.rate_check import InUse, RateCheck, check_card, uses_of
from ..pricing.rate_list import RateFilter, entry_to_json, list_entries
from ..reports.rate_diff import diff_month
from ..settings import MeterSettings
from .app import AsJson, app, console, fail, print_json, run
from .statement import read_period

rates_app = typer.Typer(help="The prices: list, check and compare them.")
app.add_typer(rates_app, name="rates")

On = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A UTC day.")]


@rates_app.callback(invoke_without_command=True)
def rates(
    context: typer.Context,
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only this model's, by any name that it goes by.")
    ] = None,
    meter: Annotated[str | None, typer.Option(help="Only of this meter.")] = None,
    plan: Annotated[str | None, typer.Option(help="Only those of this plan.")] = None,
    on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only what holds on this UTC day."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the prices in force: the catalog's, and your own over it."""
    if context.invoked_subcommand is not None:
        return
    try:
        settings = MeterSettings.load()
        card = load_card(settings.rates)
        if plan is not None:
            find_plan(load_plans(settings.rates), plan)
        if meter is not None and meter not in card.meters:
            raise RateError(f"no meter is called {meter!r}; see the list with `rates --json`")
    except MeteringError as error:
        fail(str(error))
    wanted = RateFilter(
        provider=provider.lower() if provider else None,
        model=model,
        meter=meter,
        plan=plan,
        day=None if on is None else on.date(),
    )
    entries = list(list_entries(card, wanted))
    if as_json:
        listed = [entry_to_json(entry) for entry in entries]
        print_json({"rate_card": card.version, "rates": listed})
        return
    console().print(rates_table(entries))
    typer.echo(f"{len(entries)} entries of rate card {card.version}")


@rates_app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="A rate file to check; by default TALLYROOM_RATES.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROVIDER/MODEL", help="In use, whatever the ledger says; may be repeated."
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=0, help="The ledger's last days that count.")] = 30,
    older_than: Annotated[
        int, typer.Option(min=0, help="Days after which a checked price is stale.")
    ] = 90,
    whole_card: Annotated[
        bool, typer.Option("--all", help="Every price that holds, not only those in use.")
    ] = False,
    on: On = None,
    as_json: AsJson = False,
) -> None:
    """Say which prices are missing, stale or disputed; exit with 1 when any is missing.

    A rate file that cannot be used is refused, with its file, line and value.
    """
    named = [_named(text) for text in model or ()]
    day = utc_now().date() if on is None else on.date()

    async def work() -> tuple[str, RateCheck]:
        settings = MeterSettings.load()
        rates_file = file or settings.rates
        card = load_card(rates_file)
        # What any statement would refuse is refused here.
        load_plans(rates_file)
        load_price_book(rates_file)
        load_account(rates_file)
        since = datetime.fromisoformat(f"{day - timedelta(days=days)}T00:00:00+00:00")
        async with Ledger(settings.ledger_url) as ledger:
            uses = await in_use(ledger, since)
        for provider, name in named:
            use = InUse(
                provider=provider,
                model=name,
                meter="",
                plan=settings.resolved_plan,
                hosting=str(settings.resolved_hosting),
            )
            uses += uses_of(card, use, day)
        found = check_card(card, uses, day=day, older_than=older_than, whole_card=whole_card)
        return card.version, found

    version, found = run(work)
    if as_json:
        print_json(_check_json(version, found, day))
    else:
        print_check(console(), found)
    if found.missing:
        fail(f"{len(found.missing)} in use have no price; add a [[rate]] for each")


@rates_app.command()
def diff(
    new_file: Annotated[
        Path, typer.Argument(help="The rate file to hold against the present one.")
    ],
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    plan: Annotated[
        str | None, typer.Option(help="The payer's plan; by default the one the jobs ran on.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's jobs.")] = None,
    timezone: Annotated[str, typer.Option(help="The payer's, as Europe/Zurich.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Rate a past month's usage by another file too, and show what that changes in money."""
    period = read_period(month, timezone)

    async def work() -> CardDiff:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            return await diff_month(ledger, settings, new_file, period, plan_id=plan, tenant=tenant)

    found = run(work)
    if as_json:
        print_json({"period": period.name, **found.to_json()})
    else:
        print_diff(console(), found)


def _named(text: str) -> tuple[str, str]:
    provider, slash, model = text.strip().lower().partition("/")
    if not (provider and slash and model):
        raise typer.BadParameter(
            f"{text!r} must be provider/model, as deepgram/nova-3", param_hint="'--model'"
        )
    return provider, model


def _check_json(version: str, found: RateCheck, day: date) -> dict[str, Any]:
    return {
        "rate_card": version,
        "on": day.isoformat(),
        "entries": len(found.entries),
        "missing": [
            {
                "provider": one.use.provider,
                "model": one.use.model,
                "meter": one.use.meter,
                "attributes": dict(one.use.attributes),
                "plan": one.use.plan,
                "hosting": one.use.hosting,
                "instances": one.use.instances,
                "reason": one.reason,
            }
            for one in found.missing
        ],
        "stale": [{"days": one.days, "entry": entry_to_json(one.entry)} for one in found.stale],
        "disputed": [entry_to_json(one) for one in found.disputed],
    }
