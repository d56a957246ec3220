"""`jobs`, `show` and `rerate`: what was used, and what it cost."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from ..display.records import jobs_table, print_record
from ..ledger.queries import cost_record, list_jobs
from ..ledger.store import Ledger
from ..ledger.upkeep import pruned_at, refuse_pruned
from ..pricing.loading import load_card
from ..record import CostRecord, JobSummary
from ..run import Run, Status
from ..settings import MeterSettings
from ..settle import rate_job
from ..sweeping import running
from ..usage import format_stamp
from ..webhooks.events import owe_records
from .app import AsJson, app, console, print_json, run


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
            record = await rate_job(job, ledger, settings)
        await asyncio.to_thread(owe_records, [record], settings)
        return record

    record = run(work)
    if as_json:
        print_json(record)
    else:
        print_record(console(), record)
