"""Segments and meetings to test with; what a test does not care for is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from agent.segments import Gap, Meeting, Segment, Transcript


def segment(**changes: Any) -> Segment:
    values: dict[str, Any] = {
        "segment_id": "SG_1",
        "speaker": "alice",
        "name": "Alice",
        "text": "Good morning.",
        "start": 1.0,
        "end": 2.5,
        "language": "en",
        "confidence": 0.9,
        "track_id": "TR_alice",
    }
    return Segment(**values | changes)


def meeting(**changes: Any) -> Meeting:
    values: dict[str, Any] = {
        "job_id": "AJ_test",
        "title": "Weekly",
        "room_name": "weekly-room",
        "started_at": datetime(2026, 11, 20, 9, 30, 15, 250_000, tzinfo=UTC),
    }
    return Meeting(**values | changes)


def transcript(segments: Sequence[Segment], gaps: Sequence[Gap] = (), **changes: Any) -> Transcript:
    return Transcript(meeting(**changes), list(segments), list(gaps))
