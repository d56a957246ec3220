"""`search`: who said it, in which meeting, and when."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from metering.cli import AsJson

from ..rendering import clock
from ..search_index import FOUND_FROM, FOUND_TO, Hit, SearchIndex
from ..settings import AgentSettings
from .app import app, attempt


@app.command()
def search(
    words: Annotated[
        list[str], typer.Argument(help='All must be in a segment; "several words" as they stand.')
    ],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's meetings.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A UTC day; only what was said from then on."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Search all transcripts; the best first."""

    def work() -> list[Hit]:
        with SearchIndex(AgentSettings.load().transcripts_path) as index:
            index.refresh()
            from_then = since and since.replace(tzinfo=UTC)
            return index.search(words, tenant=tenant, since=from_then, limit=limit)

    hits = attempt(work)
    if as_json:
        sys.stdout.write(json.dumps([_json(hit) for hit in hits], ensure_ascii=False, indent=2))
        sys.stdout.write("\n")
    elif hits:
        console = Console(soft_wrap=True, highlight=False)
        for hit in hits:
            console.print(_shown(hit))
    else:
        typer.echo("nothing found")


def _json(hit: Hit) -> dict[str, object]:
    data: dict[str, object] = {name: getattr(hit, name) for name in Hit.__dataclass_fields__}
    return data | {"snippet": hit.snippet.replace(FOUND_FROM, "").replace(FOUND_TO, "")}


def _shown(hit: Hit) -> Text:
    text = Text(f"{hit.job_id} {hit.meeting_started_at[:10]} {hit.title or hit.room_name}")
    text.stylize("dim")
    text.append(f"\n  [{clock(hit.start)}] {hit.name or hit.speaker or 'unknown'}: ", "default")
    is_found = False
    for part in hit.snippet.replace(FOUND_TO, FOUND_FROM).split(FOUND_FROM):
        text.append(part, "bold" if is_found else "default")
        is_found = not is_found
    return text
