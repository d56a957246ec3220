"""`plans replay`: a month that was, on any plan and hosting, with any models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..billing.comparison import Offer, offer_to_json
from ..billing.swap import parse_swap
from ..display.bills import offers_table
from ..errors import RateError
from ..ledger.store import Ledger
from ..reports.replay import Replay, replay_month
from ..settings import MeterSettings
from ..usage import format_decimal
from .app import AsJson, console, print_json, run
from .statement import read_period


def replay(
    month: Annotated[str, typer.Argument(help="The calendar month, YYYY-MM.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's jobs.")] = None,
    timezone: Annotated[str, typer.Option(help="The payer's, as Europe/Zurich.")] = "UTC",
    swap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=MODEL",
            help="As if another provider/model had been used: deepgram/nova-3=acme/best."
            " May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a month of the ledger on every plan and hosting: limits first, then price."""
    period = read_period(month, timezone)
    try:
        swaps = [parse_swap(one) for one in swap or ()]
    except RateError as error:
        raise typer.BadParameter(str(error), param_hint="'--swap'") from None

    async def work() -> Replay:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            return await replay_month(ledger, settings, period, tenant=tenant, swaps=swaps)

    found = run(work)
    if as_json:
        print_json(_to_json(found))
        return
    console().print(offers_table(found.offers, {}, found.as_used))
    for one in _swapped(found):
        used = ", ".join(f"{one['quantities'][meter]} of {meter}" for meter in one["quantities"])
        typer.echo(f"{one['to']} for {one['from']}: {one['instances']} instances, {used}")
    for assumption in found.assumptions:
        typer.echo(f"assumed: {assumption}")


def _to_json(found: Replay) -> dict[str, Any]:
    offers = [_offer(offer, found) for offer in found.offers]
    if not found.swapped:
        return {"offers": offers}
    return {
        "offers": offers,
        "swapped": _swapped(found),
        "assumptions": list(found.assumptions),
    }


def _offer(offer: Offer, found: Replay) -> dict[str, Any]:
    plain: dict[str, Any] = offer_to_json(offer, None)
    as_used = found.as_used.get((offer.plan.plan_id, offer.hosting))
    if as_used is None:
        return plain
    before = offer_to_json(as_used, None)
    plain["as_used"] = {name: before[name] for name in ("exact_total", "total", "fits", "unrated")}
    plain["unrated_meters"] = sorted({item.meter for item in offer.bill.unrated})
    return plain


def _swapped(found: Replay) -> list[dict[str, Any]]:
    return [
        {
            "from": _name(swap.source),
            "to": _name(swap.target),
            "instances": swapped.instances,
            "quantities": {
                meter: format_decimal(swapped.quantities[meter])
                for meter in sorted(swapped.quantities)
            },
        }
        for swap, swapped in found.swapped.items()
    ]


def _name(model: tuple[str, str]) -> str:
    return "/".join(model)
