"""`webhooks`, `webhooks test`: what other software has not taken yet, and whether it could."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, Any

import aiohttp
import typer

from ..display.records import plain
from ..errors import MeteringError
from ..outbox import Item, Outbox, Rejected, TryLater
from ..settings import MeterSettings
from ..webhooks.delivery import Delivery, client_session
from ..webhooks.endpoints import PREFIX, Endpoint, endpoints
from ..webhooks.events import WebhookEvent, payload
from .app import AsJson, app, console, fail, print_json, run

webhooks_app = typer.Typer(help="What other software is told of meetings, and has not taken yet.")
app.add_typer(webhooks_app, name="webhooks")


@webhooks_app.callback(invoke_without_command=True)
def webhooks(
    context: typer.Context,
    retry: Annotated[
        bool, typer.Option("--retry", help="Send it now, with what was put aside before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what waits for each receiver, and what it would not take."""
    if context.invoked_subcommand is not None:
        return

    async def work() -> tuple[list[dict[str, Any]], list[str]]:
        settings = MeterSettings.load()
        receivers = endpoints(settings)
        outbox = Outbox(settings.outbox_path)
        problems = await _retry(outbox, receivers) if retry else []
        return await asyncio.to_thread(_listed, outbox, receivers), problems

    receivers, problems = run(work)
    if as_json:
        print_json({"receivers": receivers, "problems": problems})
    else:
        for receiver in receivers:
            _print(receiver)
        if not receivers:
            typer.echo("nobody is told: set TALLYROOM_WEBHOOK_URL and TALLYROOM_WEBHOOK_SECRET")
    if problems:
        fail("; ".join(problems))


def _listed(outbox: Outbox, receivers: Sequence[Endpoint]) -> list[dict[str, Any]]:
    """Every receiver, those too that are no longer set and are owed something still."""
    origins: dict[str, str | None] = {one.destination: one.origin for one in receivers}
    for destination in outbox.destinations():
        if destination.startswith(PREFIX):
            origins.setdefault(destination, None)
    listed = [
        {
            "destination": destination,
            "origin": origin,
            "waiting": [_told(item) for item in outbox.waiting(destination)],
            "rejected": [
                _told(item) | {"reason": item.reason} for item in outbox.rejected(destination)
            ],
        }
        for destination, origin in origins.items()
    ]
    return [one for one in listed if one["origin"] or one["waiting"] or one["rejected"]]


def _told(item: Item) -> dict[str, Any]:
    return {
        "type": item.payload["type"],
        "job_id": item.payload["data"].get("job_id"),
        "timestamp": item.payload["timestamp"],
    }


def _print(receiver: dict[str, Any]) -> None:
    where = receiver["origin"] or "no longer in TALLYROOM_WEBHOOK_URL"
    waiting, rejected = receiver["waiting"], receiver["rejected"]
    typer.echo(
        f"{receiver['destination']} ({where}): {len(waiting)} waiting, {len(rejected)} rejected"
    )
    for state, items in (("waiting", waiting), ("rejected", rejected)):
        for item in items:
            told = f"  {state}  {item['timestamp']}  {item['type']}  {item['job_id']}"
            reason = item.get("reason")
            console().print(plain(f"{told}  {reason}" if reason else told))


async def _retry(outbox: Outbox, receivers: Sequence[Endpoint]) -> list[str]:
    """Send all that is owed, once; returns what did not work."""
    problems = []
    async with client_session() as session:
        for receiver in receivers:
            await asyncio.to_thread(outbox.retry, receiver.destination)
            try:
                await outbox.deliver(receiver.destination, Delivery(receiver, session))
            except (aiohttp.ClientError, TimeoutError, TryLater) as error:
                problems.append(f"{receiver.origin}: {_why(error)}")
    return problems


@webhooks_app.command("test")
def ping(as_json: AsJson = False) -> None:
    """Send each receiver a signed ping now, beside whatever waits for it."""

    async def work() -> list[dict[str, Any]]:
        receivers = endpoints(MeterSettings.load())
        if not receivers:
            raise MeteringError("nobody to ping: set TALLYROOM_WEBHOOK_URL")
        async with client_session() as session:
            return [await _ping(receiver, session) for receiver in receivers]

    pinged = run(work)
    if as_json:
        print_json({"receivers": pinged})
    else:
        for one in pinged:
            typer.echo(f"{one['origin']}: {'ok' if one['ok'] else one['problem']}")
    if not all(one["ok"] for one in pinged):
        raise typer.Exit(1)


async def _ping(receiver: Endpoint, session: aiohttp.ClientSession) -> dict[str, Any]:
    item = Item(receiver.destination, f"ping/{time.time_ns()}", payload(WebhookEvent.PING, {}))
    problem = ""
    try:
        await Delivery(receiver, session)(item)
    except (aiohttp.ClientError, TimeoutError, TryLater, Rejected) as error:
        problem = _why(error)
    return {"origin": receiver.origin, "ok": not problem, "problem": problem}


def _why(error: Exception) -> str:
    """In words that show no more of the URL than where it is."""
    if isinstance(error, TryLater | Rejected):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"cannot be reached ({type(error).__name__})"
