"""In which order a job ends: the next transcriber before the last words, notes in any case."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import JobContext

from agent import ending
from agent.session import TranscriptionSession
from metering import JobMeter, WebhookEvent

CONTEXT = cast(JobContext, SimpleNamespace())


class Ending:
    """A session that ends, and what happens in which order."""

    def __init__(self, *, is_cut_off: bool = False, has_left_an_empty_room: bool = False) -> None:
        self.is_cut_off = is_cut_off
        self.has_left_an_empty_room = has_left_an_empty_room
        self.has_company_again = asyncio.Event()
        self.elapsed = 90.0
        self.order: list[str] = []
        self.limits: dict[str, Any] = {}
        self.comes = True
        self.notes_are_made = asyncio.Event()
        self.notes_are_made.set()
        self.trouble: Exception | None = None
        self.has_come = asyncio.Event()

    async def until_disconnected(self, seconds: float) -> None:
        assert seconds <= 1.0

    async def finish(self) -> None:
        await asyncio.sleep(0.01)
        self.order.append("last words")

    async def conclude(self) -> None:
        await self.notes_are_made.wait()
        self.order.append("notes")

    async def announce(self, event: WebhookEvent) -> None:
        assert event is WebhookEvent.ENDED
        self.order.append("told")

    async def come_back(self, ctx: Any, settings: Any, elapsed: float, **limits: Any) -> bool:
        assert (ctx, elapsed) == (CONTEXT, 90.0)
        self.order.append("another")
        self.limits = limits
        self.has_come.set()
        if self.trouble:
            raise self.trouble
        return self.comes

    def end(self) -> asyncio.Task[None]:
        return asyncio.create_task(
            ending.end(CONTEXT, cast(TranscriptionSession, self), cast(JobMeter, self))
        )


def begin(monkeypatch: pytest.MonkeyPatch, **values: bool) -> Ending:
    job = Ending(**values)
    monkeypatch.setattr(ending, "come_back", job.come_back)
    return job


async def test_a_job_that_ends_well_brings_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(monkeypatch)
    await job.end()
    assert job.order == ["last words", "told", "notes"]


async def test_whoever_is_cut_off_has_another_come_before_the_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = begin(monkeypatch, is_cut_off=True)
    await job.end()
    assert job.order == ["another", "last words", "told", "notes"]


async def test_what_is_known_later_of_why_it_ends_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    job = begin(monkeypatch)

    async def until_disconnected(seconds: float) -> None:
        job.is_cut_off = True

    monkeypatch.setattr(job, "until_disconnected", until_disconnected)
    await job.end()
    assert "another" in job.order
    job.is_cut_off = False
    assert not job.limits["wanted"]()


async def test_an_empty_room_is_looked_at_at_once_and_once_more_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = begin(monkeypatch, has_left_an_empty_room=True)
    job.comes = False
    await job.end()
    assert job.order == ["another", "last words", "told", "notes", "another"]
    assert job.limits["returning"] == 0.0


async def test_who_comes_while_notes_are_made_does_not_wait_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = begin(monkeypatch, has_left_an_empty_room=True)
    job.notes_are_made.clear()
    job.comes = False
    ending_job = job.end()
    for _ in range(2):
        # One is gone again by the time that the server is asked, and another comes.
        await asyncio.wait_for(job.has_come.wait(), 10)
        job.has_come.clear()
        await asyncio.sleep(0)
        job.has_company_again.set()
    job.comes = True
    await asyncio.wait_for(job.has_come.wait(), 10)
    assert job.limits["returning"] > 0
    assert "notes" not in job.order
    job.notes_are_made.set()
    await ending_job
    assert job.order[-1] == "notes"


@pytest.mark.parametrize("how", ["is_cut_off", "has_left_an_empty_room"])
async def test_whatever_goes_wrong_with_it_costs_no_notes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    job = begin(monkeypatch, **{how: True})
    job.trouble = ValueError("a kind that nobody knows")
    await job.end()
    assert "notes" in job.order
    assert "no other transcriber was asked for: ValueError" in caplog.messages


async def test_another_comes_though_the_end_itself_goes_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = begin(monkeypatch, is_cut_off=True)

    async def fail() -> None:
        raise RuntimeError("the last words")

    monkeypatch.setattr(job, "finish", fail)
    with pytest.raises(RuntimeError):
        await job.end()
    assert job.order == ["another"]
