"""Meetings as their jobs left them on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.request import TranscriptFormat
from agent.segments import Segment
from agent.transcript import TranscriptWriter
from tests.unit.agent.builders import meeting, segment

SAID = (
    segment(segment_id="SG_1", text="The budget is twelve thousand.", start=1.0, end=2.5),
    segment(
        segment_id="SG_2",
        speaker="bob",
        name="Bob",
        text="And the roof?",
        start=3.0,
        end=4.0,
        track_id="TR_bob",
    ),
)


def keep_meeting(
    data: Path,
    said: Iterable[Segment] = SAID,
    *,
    finished: bool = True,
    **head: Any,
) -> Path:
    """A meeting's transcript in a data folder; without its files where the job was killed."""

    async def write() -> Path:
        held = meeting(**head)
        writer = TranscriptWriter(data / "transcripts" / held.job_id, held)
        for one in said:
            await writer.add(one)
        await writer.finish(TranscriptFormat if finished else ())
        return writer.folder

    return asyncio.run(write())
