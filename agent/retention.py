"""Transcripts whose time is over are removed: by the worker each hour, and by `tallyroom prune`."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from metering import MeteringError, MeterSettings
from metering.retention import Retention

from .errors import TranscriberError, TranscriptError
from .settings import AgentSettings
from .transcript import read_original, transcript_folders

if TYPE_CHECKING:
    from livekit.agents import AgentServer

logger = logging.getLogger("tallyroom.agent")

INTERVAL_SECONDS = 3600.0


def due_meetings(transcripts: Path, retention: Retention, now: datetime) -> list[str]:
    """The jobs whose transcripts have been kept for as long as their tenant said.

    As far as a transcript tells, a meeting ended with the last that was said in it.
    """
    due = []
    for folder in transcript_folders(transcripts):
        try:
            meeting, segments, gaps, _ = read_original(folder)
        except TranscriptError as error:
            logger.error("nobody can say how long this is to be kept: %s", error)
            continue
        ends = [*(one.end for one in segments), *(one.end for one in gaps)]
        ended_at = meeting.stamp(max(ends, default=0.0))
        if retention.is_over(meeting.tenant, ended_at, now):
            due.append(folder.name)
    return due


def retain(*, now: datetime | None = None, dry_run: bool = False) -> list[str]:
    """Remove the transcripts whose time is over, with all that was made of them; returns which.

    Raises:
        SettingsError: how long they are kept cannot be read.
        TranscriptError: one cannot be removed.
        SearchError: the index cannot be removed.
    """
    from metering.sweeping import running

    from .forgetting import forget_meetings

    settings = MeterSettings.load()
    if settings.retention.is_forever:
        return []
    transcripts = AgentSettings.load().transcripts_path
    due = due_meetings(transcripts, settings.retention, now or datetime.now(UTC))
    alive = {run.info.job_id for run in running(settings)} if due else set()
    due = [job_id for job_id in due if job_id not in alive]
    if due and not dry_run:
        forget_meetings(transcripts, due)
    return due


def attach_retention(server: AgentServer) -> None:
    """Let a worker remove transcripts whose time is over, for as long as it runs."""
    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        task = asyncio.get_running_loop().create_task(_forever(), name="tallyroom-retention")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server.on("worker_started", start)


async def _forever() -> None:
    while True:
        try:
            await asyncio.to_thread(retain)
        except Exception as error:
            # Whatever a disk raises, the next hour is not given up.
            ours = isinstance(error, TranscriberError | MeteringError)
            told = error if ours else type(error).__name__
            logger.error("transcripts whose time is over are not removed: %s", told)
        await asyncio.sleep(INTERVAL_SECONDS)
