"""`estimate` and `plans compare`: what meetings would cost, before anybody holds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ..billing.comparison import Offer, Quote, compare, mean_concurrency, offer_to_json
from ..billing.pattern import bought_bot
from ..billing.rounding import to_currency
from ..billing.statement_json import bill_to_json
from ..display.bills import offers_table, print_bill
from ..display.records import money
from ..pricing.plans import find_plan
from ..settings import Hosting
from ..usage import format_decimal
from .app import AsJson, app, console, fail, print_json
from .estimate_options import Asked, asks_for_a_pattern


@app.command()
@asks_for_a_pattern
def estimate(
    asked: Asked,
    plan: Annotated[str | None, typer.Option(help="By default TALLYROOM_PLAN's.")] = None,
    hosting: Annotated[Hosting | None, typer.Option(help="By default as set.")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate what a month of equal meetings costs on a plan, a bought bot's price beside it."""
    its_plan = find_plan(asked.plans, plan or asked.settings.resolved_plan)
    if its_plan.book == "price":
        fail(f"plan {its_plan.plan_id!r} is sold to tenants; name one that we pay with --plan")
    its_hosting = str(hosting or asked.settings.resolved_hosting)
    if its_plan.hostings and its_hosting not in its_plan.hostings:
        fail(
            f"plan {its_plan.plan_id!r} is for hosting {' or '.join(its_plan.hostings)},"
            f" not {its_hosting}; name both with --plan and --hosting"
        )
    chosen = asked.plan(its_plan)
    quote = Quote.of(asked.pattern, asked.card, chosen, its_hosting, asked.at)
    _refuse_unknown_stt(asked, [quote])
    offer = quote.offer(asked.pattern, asked.peak)
    if offer.refusals:
        fail("; ".join(offer.refusals))
    if as_json:
        print_json(_estimate_json(asked, offer))
    else:
        _print_estimate(asked, offer)


@asks_for_a_pattern
def compare_plans(asked: Asked, as_json: AsJson = False) -> None:
    """Compare a month of equal meetings on every plan and hosting: limits first, then price."""
    plans = [asked.plan(plan) for plan in asked.plans.values()]
    _refuse_unknown_stt(
        asked,
        (
            Quote.of(asked.pattern, asked.card, plan, hosting, asked.at)
            for plan in plans
            if plan.book == "cost" and not plan.by_contract
            for hosting in plan.hostings or ("self",)
        ),
    )
    offers, crossings = compare(
        asked.pattern,
        asked.card,
        plans,
        peak=asked.peak,
        at=asked.at,
    )
    contracts = [plan.plan_id for plan in asked.plans.values() if plan.by_contract]
    if as_json:
        listed = [
            offer_to_json(offer, crossings.get((offer.plan.plan_id, offer.hosting)))
            for offer in offers
        ]
        print_json({"offers": listed, "by_contract": contracts, **_about(asked)})
        return
    console().print(offers_table(offers, crossings))
    for name in contracts:
        typer.echo(f"{name} is by contract: write its terms into your own rate file")
    _print_about(asked)


def _refuse_unknown_stt(asked: Asked, quotes: Iterable[Quote]) -> None:
    """An estimate without its dearest part would look cheap."""
    if asked.pattern.stt is not None and not any(
        quote.prices_stt(asked.pattern) for quote in quotes
    ):
        name = "/".join(asked.pattern.stt)
        fail(f"no price is known for STT {name!r}; give yours for a minute with --stt-price")


def _about(asked: Asked) -> dict[str, Any]:
    """What stands beside every estimate: concurrency, and the bought bot."""
    pattern = asked.pattern
    bot = bought_bot(pattern, asked.card, asked.at)
    all_day = pattern.days * 24 * 3600
    office = pattern.office_days * pattern.office_hours * 3600
    return {
        "mean_concurrency": format_decimal(mean_concurrency(pattern.agent_seconds, all_day)),
        "mean_concurrency_in_office_hours": format_decimal(
            mean_concurrency(pattern.agent_seconds, office)
        ),
        "peak_meetings": asked.peak,
        "peak_from": asked.peak_from,
        "bought_bot": {
            name: {"amount": format_decimal(amount), "currency": currency}
            for name, (amount, currency) in bot.items()
        },
    }


def _estimate_json(asked: Asked, offer: Offer) -> dict[str, Any]:
    bill = bill_to_json(offer.bill)
    for of_jobs in ("jobs", "unallocated"):
        del bill[of_jobs]
    return {
        "plan": offer.plan.plan_id,
        "hosting": offer.hosting,
        "meetings": asked.pattern.meetings,
        "agent_connections_billed": offer.plan.agent_connections_billed,
        **bill,
        "limits": [dataclasses.asdict(check) for check in offer.limits],
        "holds_meetings": offer.holds,
        **_about(asked),
    }


def _print_estimate(asked: Asked, offer: Offer) -> None:
    typer.echo(f"plan {offer.plan.plan_id}, hosting {offer.hosting}")
    print_bill(console(), offer.bill)
    _print_about(asked)


def _print_about(asked: Asked) -> None:
    about = _about(asked)
    typer.echo(
        f"agents at once: {about['mean_concurrency']} on average,"
        f" {about['mean_concurrency_in_office_hours']} within office hours;"
        f" {asked.peak} meeting{'s' if asked.peak != 1 else ''} at the peak, {asked.peak_from}"
    )
    prices = bought_bot(asked.pattern, asked.card, asked.at)
    if {"recording", "with_transcription"} <= prices.keys():
        shown = [
            money(to_currency(*prices[name]), prices[name][1])
            for name in ("recording", "with_transcription")
        ]
        typer.echo(f"a bought bot: {shown[0]}; {shown[1]} with its own transcription")
    if not asked.pattern.gigabytes:
        typer.echo("bandwidth is left out; --gb says what a meeting sends")
