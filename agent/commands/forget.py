"""`forget`: words and names of a person, a meeting or a tenant, wherever we keep any."""

from __future__ import annotations

import asyncio

import typer

from metering import MeterSettings
from metering.cli import AsJson, fail, print_json
from metering.commands.forget import (
    Backups,
    IdArgument,
    KindArgument,
    Yes,
    ask,
    print_forgotten,
    tell_missing,
)
from metering.sweeping import running
from metering.upkeep.forget import Forgotten, Kind
from metering.upkeep.forget import forget as forget_metered

from ..forgetting import (
    Traces,
    forget_meetings,
    forget_person,
    meetings_of_tenant,
    traces_of_person,
)
from ..settings import AgentSettings
from .app import app, attempt


@app.command()
def forget(
    kind: KindArgument,
    id_: IdArgument,
    backup: Backups = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget words, names and identities, in the backups too; money and statements stay."""
    ask(kind, id_, yes)

    def work() -> tuple[Forgotten, int]:
        transcripts = AgentSettings.load().transcripts_path
        settings = MeterSettings.load()
        traces = Traces(frozenset(), frozenset())
        if kind is Kind.PERSON:
            traces = traces_of_person(transcripts, id_)
        elif kind is Kind.TENANT:
            traces = Traces(meetings_of_tenant(transcripts, id_), frozenset())
        # The meter first: it refuses where a meeting goes on.
        forgotten = asyncio.run(
            forget_metered(
                settings,
                kind,
                id_,
                also_jobs=traces.job_ids,
                also_named=traces.names,
                backups=backup or (),
            )
        )
        job_ids = traces.job_ids | set(forgotten.jobs)
        if kind is not Kind.PERSON:
            asked = {id_} if kind is Kind.MEETING else set()
            return forgotten, forget_meetings(transcripts, job_ids | asked)
        names = traces.names | set(forgotten.names)
        alive = {run.info.job_id for run in running(settings)}
        return forgotten, forget_person(transcripts, id_, Traces(job_ids, names), running=alive)

    forgotten, changed = attempt(work)
    if forgotten.is_empty and not changed:
        fail(f"nothing is known of {kind} {id_!r}")
    if as_json:
        print_json(forgotten.model_dump(mode="json") | {"transcripts": changed})
    else:
        print_forgotten(forgotten)
        typer.echo(f"{changed} transcripts {'changed' if kind is Kind.PERSON else 'removed'}")
    tell_missing(forgotten)
