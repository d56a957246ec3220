"""The meter's commands: what was used, what it cost, what has not been settled yet."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from .clock import utc_now
from .errors import MeteringError
from .ledger.queries import cost_record, list_jobs
from .ledger.store import Ledger
from .ledger.upkeep import pruned_at, refuse_pruned
from .pricing.loading import load_card
from .prune import Pruned, What
from .prune import prune as prune_old
from .record import CostRecord, JobSummary
from .run import Run, Status
from .settings import MeterSettings
from .settle import rate_job
from .sweeping import running, sweep
from .tables import jobs_table, plain, print_record
from .usage import format_stamp

T = TypeVar("T")

_UNCUT_WIDTH = 180

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as the contract has it.")]


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work; what it cannot do is one line on stderr and exit code 1."""
    try:
        return asyncio.run(work())
    except MeteringError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """One clear line on stderr, and exit code 1."""
    typer.echo(f"tallyroom: {' '.join(message.split())}", err=True)
    raise typer.Exit(1)


def console() -> Console:
    """The terminal; where there is none, wide enough that no figure is cut off."""
    return Console(width=None if sys.stdout.isatty() else _UNCUT_WIDTH)


def print_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
    """A model, or a list of models, as JSON on stdout."""
    data: Any = value
    if isinstance(value, BaseModel):
        data = value.model_dump(mode="json")
    elif not isinstance(value, dict):
        data = [item.model_dump(mode="json") for item in value]
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


@app.command()
def jobs(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first, with those that run on this machine now."""

    async def work() -> list[JobSummary]:
        settings = MeterSettings.load()
        async with Ledger(settings.ledger_url) as ledger:
            stored = await list_jobs(ledger, tenant=tenant, status=status, limit=limit)
        known = {job.job_id for job in stored}
        live = [_summary(going) for going in running(settings) if going.info.job_id not in known]
        wanted = [
            job for job in live if status in (None, job.status) and tenant in (None, job.tenant)
        ]
        return [*wanted, *stored][:limit]

    found = run(work)
    if as_json:
        print_json(found)
    elif found:
        console().print(jobs_table(found))
    else:
        typer.echo(f"no jobs in {MeterSettings.load().data_path}")


def _summary(going: Run) -> JobSummary:
    info = going.info
    return JobSummary(
        job_id=info.job_id,
        status=going.status,
        tenant=info.tenant,
        title=info.title,
        room_name=info.room_name,
        hosting=info.hosting,
        plan=info.plan,
        started_at=info.started_at,
        ended_at=going.ended_at,
        list_cost=None,
        currency=None,
        unrated=0,
        error="",
    )


@app.command()
def show(
    job: Annotated[str, typer.Argument(help="The job's id, as `jobs` lists it.")],
    usage: Annotated[bool, typer.Option(help="List every measured instance too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one job's cost record."""

    async def work() -> tuple[CostRecord, datetime | None]:
        async with Ledger(MeterSettings.load().ledger_url) as ledger:
            return await cost_record(ledger, job), await pruned_at(ledger, job)

    record, pruned = run(work)
    if as_json:
        said = {"usage_pruned_at": format_stamp(pruned)} if pruned else {}
        print_json(record.model_dump(mode="json") | said)
        return
    print_record(console(), record, with_usage=usage and not pruned)
    if pruned:
        typer.echo(f"its usage was pruned on {pruned:%Y-%m-%d}; the charges stand")


@app.command()
def rerate(
    job: Annotated[str, typer.Argument(help="The job's id, as `jobs` lists it.")],
    as_json: AsJson = False,
) -> None:
    """Rate a job again by today's rate card, as a new revision beside the old ones.

    Its hosting and plan are those it ran with. A rate file that cannot be used rates nothing.
    """

    async def work() -> CostRecord:
        settings = MeterSettings.load()
        load_card(settings.rates)  # By hand a broken rate file is refused, and rates nothing.
        async with Ledger(settings.ledger_url) as ledger:
            await refuse_pruned(ledger, job)
            return await rate_job(job, ledger, settings)

    record = run(work)
    if as_json:
        print_json(record)
    else:
        print_record(console(), record)


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
    from .verify import verify as look

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
    from .backup import backup as copy

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
    from .restore import restore as put_back

    restored = run(lambda: put_back(MeterSettings.load(), path, force=force))
    if as_json:
        print_json(restored)
        return
    typer.echo(f"restored {_listed(restored.counts)}; {restored.settled} settled now")
    if restored.moved_to:
        typer.echo(f"what was there is in {restored.moved_to}")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


@app.command()
def prune(
    before: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="A UTC day; what ended on or after it stays."),
    ],
    what: Annotated[What, typer.Option(help="Settled journals, usage, or both.")] = What.ALL,
    dry_run: Annotated[bool, typer.Option(help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old journals and usage that the store can do without; every charge stays."""
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


def main() -> None:
    """`python -m metering`."""
    app()


# Modules of their own, whose commands need what is above.
from . import estimate_cli as estimate_cli  # noqa: E402
from . import import_cli as import_cli  # noqa: E402
from . import margin_cli as margin_cli  # noqa: E402
from . import rates_cli as rates_cli  # noqa: E402
from . import statement_cli as statement_cli  # noqa: E402
