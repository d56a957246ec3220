"""A stranger's hook over the words: in order, given up when slow, and never in the way."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import ModerationError
from agent.moderation import MODERATION, Flag, Moderate, Moderation, load_hook
from agent.segments import Meeting, Segment
from examples.hooks import moderation as example

MEETING = Meeting(
    job_id="AJ_1",
    title="",
    room_name="weekly",
    started_at=datetime(2026, 11, 21, tzinfo=UTC),
    tenant="",
)


def segment(number: int, text: str) -> Segment:
    return Segment(
        segment_id=f"SG_{number}",
        speaker="alice",
        name="Alice",
        text=text,
        start=float(number),
        end=number + 1.0,
        language="en",
        confidence=None,
        track_id="TR_1",
        voice=None,
    )


async def moderated(hook: Moderate, folder: Path, *texts: str) -> list[dict[str, object]]:
    """What is flagged of a meeting in which this is said."""
    one = Moderation(hook, folder, hook_seconds=0.2)
    await one.on_start(MEETING, ())
    for number, text in enumerate(texts):
        one.on_segment(segment(number, text))
    await one.on_end()
    path = folder / MODERATION
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_the_example_flags_what_has_a_listed_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGGED_WORDS", "secret, bitcoin")
    flags = await moderated(
        example.moderate, tmp_path, "A secret.", "Secretly, no.", "Bitcoin secret?"
    )
    assert flags == [
        {"segment_id": "SG_0", "reason": "says secret", "score": 1.0},
        {"segment_id": "SG_2", "reason": "says bitcoin, secret", "score": 1.0},
    ]


async def test_every_segment_comes_in_order_and_a_bad_one_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def hook(meeting: Meeting, one: Segment) -> Flag | None:
        seen.append(one.text)
        if one.text == "raises":
            raise ValueError("with words of somebody")
        if one.text == "hangs":
            await asyncio.Event().wait()
        return Flag("said it", 0.5) if one.text == "flag" else None

    flags = await moderated(hook, tmp_path, "fine", "raises", "hangs", "flag")
    assert seen == ["fine", "raises", "hangs", "flag"]
    assert flags == [{"segment_id": "SG_3", "reason": "said it", "score": 0.5}]
    assert [record.getMessage() for record in caplog.records] == [
        "a segment was not moderated: ValueError",
        "a segment was not moderated: TimeoutError",
    ]


def not_async() -> None:
    """A hook cannot be this."""


@pytest.mark.parametrize(
    "name",
    ["nothing", "no.such.module:hook", "examples.hooks.moderation:nobody", f"{__name__}:not_async"],
)
def test_a_hook_that_is_none_is_refused_by_name(name: str) -> None:
    with pytest.raises(ModerationError, match="TALLYROOM_MODERATION="):
        load_hook(name)


def test_a_hook_is_found() -> None:
    assert load_hook("examples.hooks.moderation:moderate") is example.moderate
