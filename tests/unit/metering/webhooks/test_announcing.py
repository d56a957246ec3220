"""A job tells what happens to it, and whatever is wrong with that never harms the job."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import JobContext
from pydantic import SecretStr

from metering import JobMeter, MeterSettings, WebhookEvent, sweeper
from metering.outbox import Item, Outbox
from metering.webhooks.endpoints import endpoints
from tests.providers.webhooks import SECRET
from tests.unit.metering.meters.test_room import Room
from tests.unit.metering.samples import settings
from tests.unit.metering.test_settings import VARIABLES

OF_THE_JOB = {
    "job_id": "AJ_1",
    "dispatch_id": "AD_1",
    "room_name": "weekly-room",
    "tenant": "acme",
    "tags": ["a"],
}


class Job:
    """A job's context, as far as the meter looks at it."""

    def __init__(self) -> None:
        self.room = Room()
        self.job = SimpleNamespace(
            id="AJ_1",
            dispatch_id="AD_1",
            agent_name="x",
            room=SimpleNamespace(name="weekly-room", sid="RM_1"),
        )
        self._callbacks: list[Callable[[str], Awaitable[None]]] = []

    def add_shutdown_callback(self, callback: Callable[[str], Awaitable[None]]) -> None:
        self._callbacks.append(callback)

    def meter(self, machine: MeterSettings) -> JobMeter:
        context = cast("JobContext", self)
        return JobMeter(context, settings=machine, tenant="acme", title="Weekly", tags=["a"])

    async def end(self) -> None:
        for callback in self._callbacks:
            await callback("")


def telling(folder: Path, secret: str = SECRET) -> MeterSettings:
    return settings(
        folder, webhook_url="https://one.example/hook", webhook_secret=SecretStr(secret)
    )


def waiting(machine: MeterSettings) -> list[Item]:
    (endpoint,) = endpoints(machine)
    return Outbox(machine.outbox_path).waiting(endpoint.destination)


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


async def test_started_notes_ended_and_cost(tmp_path: Path) -> None:
    machine, job = telling(tmp_path), Job()
    meter = job.meter(machine)
    await meter.announce(WebhookEvent.STARTED)
    meter.describe(title="Weekly, at last")
    await meter.announce(WebhookEvent.NOTES, notes={"summary": "All is well."})
    await meter.announce(WebhookEvent.ENDED)
    await meter.announce(WebhookEvent.ENDED)
    await job.end()
    told = [item.payload for item in waiting(machine)]
    assert [one["type"] for one in told] == [
        "meeting.started",
        "meeting.notes",
        "meeting.ended",
        "meeting.cost",
    ]
    started, notes, ended, cost = (one["data"] for one in told)
    assert without(started, "started_at") == {**OF_THE_JOB, "title": "Weekly"}
    assert without(notes, "started_at") == {
        **OF_THE_JOB,
        "title": "Weekly, at last",
        "notes": {"summary": "All is well."},
    }
    assert without(ended, "started_at", "ended_at") == {**OF_THE_JOB, "title": "Weekly, at last"}
    assert {one["started_at"] for one in (started, notes, ended, cost)} == {cost["started_at"]}
    assert started["started_at"] <= ended["ended_at"] <= cost["ended_at"]
    assert (cost["title"], cost["status"]) == ("Weekly, at last", "complete")


async def test_the_end_is_told_for_a_job_that_could_not(tmp_path: Path) -> None:
    machine, job = telling(tmp_path), Job()
    await job.meter(machine).announce(WebhookEvent.STARTED)
    await job.end()
    assert [item.payload["type"] for item in waiting(machine)] == [
        "meeting.started",
        "meeting.ended",
        "meeting.cost",
    ]


async def test_nobody_to_tell(tmp_path: Path) -> None:
    machine, job = settings(tmp_path), Job()
    await job.meter(machine).announce(WebhookEvent.STARTED)
    await job.end()
    assert not machine.outbox_path.exists()


@pytest.mark.parametrize("harm", ["secret", "outbox"])
async def test_what_cannot_be_told_harms_no_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    machine, job = telling(tmp_path, "whsec_hush" if harm == "secret" else SECRET), Job()
    if harm == "outbox":
        tmp_path.joinpath("outbox").touch()
    with caplog.at_level(logging.ERROR):
        await job.meter(machine).announce(WebhookEvent.STARTED)
    assert "nobody is told of meeting.started: " in caplog.text
    assert "hush" not in caplog.text
    await job.end()


async def test_a_worker_says_why_it_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    with caplog.at_level(logging.ERROR):
        await sweeper.deliver_forever()
    assert caplog.text == ""
    monkeypatch.setenv("TALLYROOM_WEBHOOK_URL", "https://one.example/hook")
    await sweeper.deliver_forever()
    assert "no webhook is sent: TALLYROOM_WEBHOOK_URL is set, and" in caplog.text
