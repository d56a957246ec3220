"""`timeline`: one meeting in order, with what each turn, answer and note has cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import typer

from metering import MeterSettings
from metering.billing.instance_costs import InstanceCost, instance_costs
from metering.billing.sharing import add_up
from metering.cli import AsJson, print_json
from metering.display.records import money
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.pricing.loading import load_card
from metering.record import CostRecord
from metering.usage import format_decimal, format_stamp

from ..answers.kept import read_answers
from ..rendering import clock, one_line
from ..settings import AgentSettings
from ..timeline import Answered, Cost, Entry, Kind
from ..timeline import timeline as put_together
from ..transcript import read_transcript, transcript_folder, transcript_folders
from .app import app, attempt

Job = Annotated[str, typer.Argument(help="The job's id, as `jobs` lists it.")]


@app.command()
def timeline(job: Job, as_json: AsJson = False) -> None:
    """Show a meeting in order: who said what when, and what each turn, answer and note cost."""

    def work() -> tuple[CostRecord, bool, list[Entry], list[Cost]]:
        record, costs = asyncio.run(_costs_of(job))
        transcripts = AgentSettings.load().transcripts_path
        is_kept = transcripts / job in transcript_folders(transcripts)
        transcript = read_transcript(transcript_folder(transcripts, job)) if is_kept else None
        answered = [
            Answered(one.participant, one.name, one.answer, one.asked_at, one.answered_at)
            for one in (read_answers(transcript_folder(transcripts, job)) if is_kept else ())
        ]
        return record, is_kept, *put_together(costs, transcript, answered)

    record, is_kept, entries, rest = attempt(work)
    if as_json:
        print_json(_to_json(record, entries, rest))
        return
    for entry in entries:
        typer.echo(_line(entry, record.started_at))
    if not is_kept:
        typer.echo("no transcript of this meeting is kept here: what was heard stands together")
    for what, costs in _together(rest):
        typer.echo(f"{'':8}  {_shown(costs)}  {what}")
    typer.echo(f"{'all':8}  {_shown([*rest, *(cost for one in entries for cost in one.costs)])}")


async def _costs_of(job: str) -> tuple[CostRecord, list[InstanceCost]]:
    settings = MeterSettings.load()
    async with Ledger(settings.ledger_url) as ledger:
        record = await cost_record(ledger, job)
    return record, instance_costs(record, load_card(settings.rates))


class _Sum(NamedTuple):
    """What some costs come to. `list_cost` is None where nothing of it is priced, or in several
    currencies, which are never added up."""

    list_cost: Decimal | None
    by_currency: dict[str, Decimal]
    unrated: list[str]


def _sum(costs: Sequence[Cost]) -> _Sum:
    by_currency: dict[str, Decimal] = {}
    unrated: dict[str, None] = {}
    for cost in costs:
        if cost.list_cost is None:
            unrated[_of(cost)] = None
        elif cost.charge.currency is not None:
            before = by_currency.get(cost.charge.currency, Decimal(0))
            by_currency[cost.charge.currency] = add_up([before, cost.list_cost])
    only = next(iter(by_currency.values())) if len(by_currency) == 1 else None
    if not costs:
        only = Decimal(0)
    return _Sum(only, by_currency, list(unrated))


def _of(cost: Cost) -> str:
    charge = cost.charge
    made_by = f"{charge.provider}/{charge.model}" if charge.model else charge.provider
    return f"{charge.meter} {made_by}"


def _together(costs: Iterable[Cost]) -> list[tuple[str, list[Cost]]]:
    """What belongs to no turn, by what it is and what it was for."""
    lines: dict[str, list[Cost]] = {}
    for cost in costs:
        what = f"{_of(cost)}, {cost.purpose}: nobody's words" if cost.purpose else _of(cost)
        lines.setdefault(what, []).append(cost)
    return sorted(lines.items())


def _shown(costs: Sequence[Cost]) -> str:
    found = _sum(costs)
    parts = [money(amount, currency) for currency, amount in sorted(found.by_currency.items())]
    if found.unrated:
        parts.append(f"unrated: {', '.join(found.unrated)}")
    return " + ".join(parts) or "nothing"


def _line(entry: Entry, began_at: datetime) -> str:
    who = one_line(entry.name or entry.participant or "")
    said = one_line(entry.text) if entry.text is not None else "[words not kept]"
    if entry.kind is not Kind.TURN:
        who = f"{entry.kind} for {who}" if who else str(entry.kind)
    seconds = max(0.0, (entry.started_at - began_at).total_seconds())
    words = "" if entry.kind is Kind.NOTES else f": {said}"
    return f"{clock(seconds)}  {_shown(entry.costs)}  {who}{words}"


def _to_json(record: CostRecord, entries: Iterable[Entry], rest: Iterable[Cost]) -> dict[str, Any]:
    told = record.model_dump(mode="json")
    return {
        "schema_version": 1,
        **{name: told[name] for name in _OF_THE_RECORD},
        "entries": [
            {
                "kind": str(entry.kind),
                "started_at": format_stamp(entry.started_at),
                "ended_at": format_stamp(entry.ended_at),
                "participant": entry.participant,
                "name": entry.name,
                "text": entry.text,
                "segment_id": entry.segment_id,
                **_sum_to_json(entry.costs),
            }
            for entry in entries
        ],
        "rest": [{"what": what, **_sum_to_json(costs)} for what, costs in _together(rest)],
    }


_OF_THE_RECORD = (
    "job_id",
    "revision",
    "status",
    "title",
    "started_at",
    "ended_at",
    "list_cost",
    "currency",
    "unrated",
)


def _sum_to_json(costs: Sequence[Cost]) -> dict[str, Any]:
    found = _sum(costs)
    return {
        "list_cost": None if found.list_cost is None else format_decimal(found.list_cost),
        "by_currency": {
            currency: format_decimal(amount) for currency, amount in found.by_currency.items()
        },
        "unrated": found.unrated,
        "costs": [
            {
                "meter": cost.charge.meter,
                "provider": cost.charge.provider,
                "model": cost.charge.model,
                "purpose": cost.purpose,
                "list_cost": None if cost.list_cost is None else format_decimal(cost.list_cost),
                "currency": cost.charge.currency,
            }
            for cost in costs
        ],
    }
