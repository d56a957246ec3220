"""`recover`, `verify`, `backup`, `restore` and `prune`: what keeps the records whole."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..clock import utc_now
from ..display.records import plain
from ..ledger.queries import cost_record
from ..ledger.store import Ledger
from ..record import CostRecord
from ..settings import MeterSettings
from ..sweeping import sweep
from ..upkeep.prune import Pruned, What
from ..upkeep.prune import prune as prune_old
from .app import AsJson, app, console, print_json, run


@app.command()
def recover(as_json: AsJson = False) -> None:
    """Settle the journals of dead jobs now, as the sweeper does each minute."""

    async def work() -> list[CostRecord]:
        settings = MeterSettings.load()
        settled = await sweep(settings)
        if not as_json:
            return settled
        async with Ledger(settings.ledger_url) as ledger:
            return [await cost_record(ledger, record.job_id) for record in settled]

    records = run(work)
    if as_json:
        print_json(records)
        return
    for record in records:
        typer.echo(f"{record.job_id} {record.status}")
    typer.echo(f"{len(records)} settled")


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check that every instance is in exactly one record, and that every record adds up."""
    from ..upkeep.verify import verify as look

    verdict = run(lambda: look(MeterSettings.load()))
    if as_json:
        print_json(verdict)
    else:
        for item in verdict.discrepancies:
            console().print(plain(f"{item.where}: {item.what}"))
        found = len(verdict.discrepancies)
        typer.echo(f"{verdict.jobs} jobs, {verdict.journals} journals, {found} discrepancies")
        if verdict.pruned:
            typer.echo(
                f"{verdict.pruned} pruned: their charges multiply out, and cannot be rerated"
            )
    if not verdict.ok:
        raise typer.Exit(1)


@app.command()
def backup(
    path: Annotated[Path, typer.Argument(help="The archive to write; it must not exist.")],
    journals_only: Annotated[
        bool, typer.Option(help="Leave the store out: it has a backup of its own.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy store, journals and outbox into one file, while jobs run."""
    from ..upkeep.backup import backup as copy

    async def work() -> dict[str, Any]:
        settings = MeterSettings.load()
        manifest = await asyncio.to_thread(copy, settings, path, journals_only=journals_only)
        return manifest.model_dump(mode="json")

    manifest = run(work)
    if as_json:
        print_json(manifest)
    else:
        typer.echo(f"{path.absolute()}: {_listed(manifest['counts'])}")


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="The archive that `backup` wrote.")],
    force: Annotated[bool, typer.Option(help="Move what is there out of the way.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty data folder, and settle what was not settled in it."""
    from ..upkeep.restore import restore as put_back

    restored = run(lambda: put_back(MeterSettings.load(), path, force=force))
    if as_json:
        print_json(restored)
        return
    typer.echo(f"restored {_listed(restored.counts)}; {restored.settled} settled now")
    if restored.moved_to:
        typer.echo(f"what was there is in {restored.moved_to}")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


Before = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="A UTC day; what ended on or after it stays."),
]
PruneWhat = Annotated[What, typer.Option(help="Settled journals, usage, or both.")]
DryRun = Annotated[bool, typer.Option(help="Only say what would go.")]


def retained(*, dry_run: bool) -> list[str]:
    """Forget the names of the jobs whose time is over; returns which jobs, or would."""
    from ..upkeep.retain import retain

    async def work() -> list[str] | None:
        settings = MeterSettings.load()
        if settings.retention.is_forever:
            return None
        return await retain(settings, dry_run=dry_run)

    due = run(work)
    if due is None:
        raise typer.BadParameter(
            "give a day, or set TALLYROOM_RETENTION_DAYS: everything is kept forever",
            param_hint="'--before'",
        )
    return due


@app.command()
def prune(
    before: Before = None,
    what: PruneWhat = What.ALL,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove old journals and usage that the store can do without; every charge stays.

    Without a day: forget the names of the jobs whose time is over (TALLYROOM_RETENTION_DAYS).
    """
    if before is None:
        due = retained(dry_run=dry_run)
        if as_json:
            print_json({"dry_run": dry_run, "jobs": due})
        else:
            typer.echo(f"{'would forget' if dry_run else 'forgot'} the names of {len(due)} jobs")
        return
    day = before.date()
    if day > utc_now().date():
        raise typer.BadParameter(f"{day} is later than today", param_hint="'--before'")

    async def work() -> Pruned:
        return await prune_old(MeterSettings.load(), day, what=what, dry_run=dry_run)

    pruned = run(work)
    if as_json:
        print_json(pruned)
        return
    for item in pruned.kept:
        console().print(plain(f"kept {item.where}: {item.why}"))
    typer.echo(
        f"{'would remove' if dry_run else 'removed'} {pruned.journals} journals and the usage of"
        f" {pruned.jobs} jobs ({pruned.instances} instances)"
    )
