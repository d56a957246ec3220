"""The meter's commands: what was used, what it cost, what has not been settled yet."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from .errors import MeteringError
from .ledger.queries import cost_record, list_jobs
from .ledger.store import Ledger
from .pricing.loading import load_card
from .record import CostRecord, JobSummary
from .run import Run, Status
from .settings import MeterSettings
from .settle import rate_job, running, sweep
from .tables import jobs_table, plain, print_record

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

    async def work() -> CostRecord:
        async with Ledger(MeterSettings.load().ledger_url) as ledger:
            return await cost_record(ledger, job)

    record = run(work)
    if as_json:
        print_json(record)
    else:
        print_record(console(), record, with_usage=usage)


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
            return await rate_job(await cost_record(ledger, job), ledger, settings)

    record = run(work)
    if as_json:
        print_json(record)
    else:
        print_record(console(), record)


@app.command()
def recover(as_json: AsJson = False) -> None:
    """Settle the journals of dead jobs now, as the sweeper does each minute."""

    async def work() -> list[CostRecord]:
        return await sweep(MeterSettings.load())

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
    if not verdict.ok:
        raise typer.Exit(1)


def main() -> None:
    """`python -m metering`."""
    app()
