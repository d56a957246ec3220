"""`prune`: what is old, transcripts among it."""

from __future__ import annotations

import typer

from metering.cli import AsJson, print_json
from metering.commands.upkeep import Before, DryRun, PruneWhat, retained
from metering.commands.upkeep import prune as prune_metered
from metering.upkeep.prune import What

from ..retention import retain
from .app import app, attempt


@app.command()
def prune(
    before: Before = None,
    what: PruneWhat = What.ALL,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove old journals and usage that the store can do without; every charge stays.

    Without a day: remove the transcripts whose time is over (TALLYROOM_RETENTION_DAYS), and forget
    the names of their jobs.
    """
    if before is not None:
        prune_metered(before, what, dry_run, as_json)
        return
    jobs = retained(dry_run=dry_run)
    transcripts = attempt(lambda: retain(dry_run=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "jobs": jobs, "transcripts": transcripts})
        return
    would = "would be " if dry_run else ""
    typer.echo(
        f"{len(transcripts)} transcripts {would}removed, names of {len(jobs)} jobs {would}forgotten"
    )
