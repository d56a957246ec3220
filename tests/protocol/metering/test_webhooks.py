"""Webhooks against a receiver that checks every signature, misbehaves, and keeps a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from metering.cli import app
from metering.outbox import Item, Outbox, TryLater
from metering.settings import MeterSettings
from metering.webhooks.delivery import Delivery, client_session
from metering.webhooks.endpoints import endpoints
from metering.webhooks.events import WebhookEvent, owe
from tests.providers.webhooks import SECRET, Trouble, WebhookReceiver
from tests.unit.metering.samples import settings
from tests.unit.metering.test_settings import VARIABLES

ROOT = Path(__file__).resolve().parents[3]

WORKER = """
import asyncio
from metering.sweeper import deliver_forever
asyncio.run(deliver_forever())
"""
"""What a worker does with webhooks, and nothing else."""


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver() as one:
        yield one


def telling(folder: Path, *receivers: WebhookReceiver) -> MeterSettings:
    urls = " ".join(receiver.url for receiver in receivers)
    return settings(folder, webhook_url=urls, webhook_secret=SecretStr(SECRET))


def happen(machine: MeterSettings, *job_ids: str) -> None:
    for job_id in job_ids:
        assert owe(machine, WebhookEvent.STARTED, {"job_id": job_id, "title": "Zoë"})


def owed(machine: MeterSettings) -> list[Item]:
    (endpoint,) = endpoints(machine)
    return Outbox(machine.outbox_path).waiting(endpoint.destination)


def jobs(receiver: WebhookReceiver) -> list[str]:
    return [one.event["data"]["job_id"] for one in receiver.taken]


@contextlib.asynccontextmanager
async def delivering(
    machine: MeterSettings, *, timeout_seconds: float = 20, longest_seconds: float = 0.1
) -> AsyncIterator[None]:
    """As the worker does, in less of a hurry to give up and more to try again."""
    outbox = Outbox(machine.outbox_path)
    async with client_session() as session:
        tasks = [
            asyncio.create_task(
                outbox.deliver_forever(
                    one.destination,
                    Delivery(one, session, timeout_seconds=timeout_seconds),
                    idle_seconds=0.01,
                    longest_seconds=longest_seconds,
                )
            )
            for one in endpoints(machine)
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def send_once(machine: MeterSettings) -> int:
    (endpoint,) = endpoints(machine)
    async with client_session() as session:
        return await Outbox(machine.outbox_path).deliver(
            endpoint.destination, Delivery(endpoint, session)
        )


async def test_an_event_as_it_arrives(tmp_path: Path, receiver: WebhookReceiver) -> None:
    machine = telling(tmp_path, receiver)
    happen(machine, "AJ_1")
    assert await send_once(machine) == 1
    (taken,) = receiver.taken
    assert taken.webhook_id.startswith("msg_")
    assert taken.event["type"] == "meeting.started"
    assert taken.event["data"] == {"job_id": "AJ_1", "title": "Zoë"}
    assert datetime.fromisoformat(taken.event["timestamp"]).tzinfo is not None
    assert receiver.forged == []


async def test_in_order_none_lost_none_twice_whatever_goes_wrong(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    machine = telling(tmp_path, receiver)
    troubles = [
        Trouble(500),
        Trouble(fate="drop"),
        Trouble(503, retry_after="0"),
        Trouble(fate="hang"),
        Trouble(404),
        Trouble(401),
        Trouble(302),
        Trouble(429),
    ]
    receiver.troubles.extend(troubles)
    expected = [f"AJ_{number}" for number in range(20)]
    async with delivering(machine, timeout_seconds=2):
        for job_id in expected:
            happen(machine, job_id)
        await receiver.until(len(expected))
    assert jobs(receiver) == expected
    ids = [one.webhook_id for one in receiver.taken]
    assert len(set(ids)) == len(ids)
    # What was not taken came again, by the same id, before anything else.
    assert receiver.asked == [ids[0]] * len(troubles) + ids
    assert receiver.forged == []


@pytest.mark.parametrize("status", [400, 410, 413, 415, 422, 451])
async def test_what_is_never_taken_is_put_aside(
    tmp_path: Path, receiver: WebhookReceiver, status: int
) -> None:
    machine = telling(tmp_path, receiver)
    happen(machine, "AJ_1", "AJ_2")
    receiver.troubles.append(Trouble(status))
    assert await send_once(machine) == 1
    assert jobs(receiver) == ["AJ_2"]
    outbox, (endpoint,) = Outbox(machine.outbox_path), endpoints(machine)
    (aside,) = outbox.rejected(endpoint.destination)
    assert (aside.payload["data"]["job_id"], aside.reason) == ("AJ_1", f"answered {status}")
    assert outbox.waiting(endpoint.destination) == []


@pytest.mark.parametrize("seconds", ["7", "date"])
async def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    tmp_path: Path, receiver: WebhookReceiver, seconds: str
) -> None:
    (endpoint,) = endpoints(telling(tmp_path, receiver))
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)
    for given, least, most in (
        (later if seconds == "date" else "7", 3500 if seconds == "date" else 7, 3600),
        ("soon", 0, 0),
        ("", 0, 0),
    ):
        receiver.troubles.append(Trouble(429, retry_after=given))
        async with client_session() as session:
            with pytest.raises(TryLater, match="answered 429") as asked:
                await Delivery(endpoint, session)(Item(endpoint.destination, "k", {}))
        assert least <= asked.value.seconds <= (7 if given == "7" else most)


async def test_nobody_is_followed_elsewhere(tmp_path: Path, receiver: WebhookReceiver) -> None:
    (endpoint,) = endpoints(telling(tmp_path, receiver))
    receiver.troubles.append(Trouble(307))
    async with client_session() as session:
        with pytest.raises(TryLater, match="answered 307"):
            await Delivery(endpoint, session)(Item(endpoint.destination, "k", {}))
    assert len(receiver.asked) == 1


async def test_a_receiver_that_is_away_delays_no_other(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    async with WebhookReceiver() as away:
        machine = telling(tmp_path, away, receiver)
        away.troubles.extend([Trouble(fate="hang")] * 2)
        async with delivering(machine, timeout_seconds=600):
            happen(machine, "AJ_1", "AJ_2")
            await receiver.until(2)
            await away.until(0, asked=1)
    assert jobs(receiver) == ["AJ_1", "AJ_2"]
    assert jobs(away) == []


async def test_a_receiver_that_knows_another_secret_gets_it_once_that_is_put_right(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    machine = telling(tmp_path, receiver)
    happen(machine, "AJ_1")
    wrong = machine.model_copy(update={"webhook_secret": SecretStr("whsec_" + "A" * 32)})
    with pytest.raises(TryLater, match="answered 401"):
        await send_once(wrong)
    assert receiver.taken == []
    # While keys are rotated both sign.
    both = SecretStr(f"whsec_{'A' * 32} {SECRET}")
    assert await send_once(machine.model_copy(update={"webhook_secret": both})) == 1
    assert jobs(receiver) == ["AJ_1"]


async def test_a_worker_that_is_killed_loses_nothing(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    machine = telling(tmp_path, receiver)
    happen(machine, "AJ_1", "AJ_2", "AJ_3")
    receiver.troubles.extend([Trouble(500), Trouble(fate="hang")])
    killed = await worker(tmp_path, receiver)
    await receiver.until(0, asked=2)
    # In the middle of sending: it has been read over there, and was not answered.
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    assert receiver.taken == []
    after = await worker(tmp_path, receiver)
    await receiver.until(3)
    after.terminate()
    await after.wait()
    assert jobs(receiver) == ["AJ_1", "AJ_2", "AJ_3"]
    assert len(set(receiver.asked)) == 3


async def worker(folder: Path, receiver: WebhookReceiver) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER), cwd=ROOT, env=os.environ | environment(folder, receiver)
    )


def environment(folder: Path, receiver: WebhookReceiver) -> dict[str, str]:
    return {
        "TALLYROOM_DATA_DIR": str(folder),
        "TALLYROOM_WEBHOOK_URL": receiver.url,
        "TALLYROOM_WEBHOOK_SECRET": SECRET,
    }


@pytest.fixture
def set_up(
    tmp_path: Path, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> MeterSettings:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for name, value in environment(tmp_path, receiver).items():
        monkeypatch.setenv(name, value)
    return telling(tmp_path, receiver)


async def call(*arguments: str) -> Result:
    """Beside the receiver, which needs this thread's event loop to answer."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["webhooks", *arguments])


async def test_what_waits_and_was_put_aside_is_listed_and_sent_by_hand(
    set_up: MeterSettings, receiver: WebhookReceiver
) -> None:
    happen(set_up, "AJ_1", "AJ_2", "AJ_3")
    receiver.troubles.extend([Trouble(410), Trouble(500)])
    with pytest.raises(TryLater):
        await send_once(set_up)
    listed = await call("--json")
    (one,) = json.loads(listed.stdout)["receivers"]
    assert one["origin"] == receiver.origin
    assert [item["job_id"] for item in one["waiting"]] == ["AJ_2", "AJ_3"]
    (aside,) = one["rejected"]
    assert (aside["job_id"], aside["type"], aside["reason"]) == (
        "AJ_1",
        "meeting.started",
        "answered 410",
    )
    shown = (await call()).stdout
    assert "2 waiting, 1 rejected" in shown
    assert "AJ_1  answered 410" in shown
    receiver.troubles.append(Trouble(503))
    refused = await call("--retry")
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"tallyroom: {receiver.origin}: answered 503\n",
    )
    assert "3 waiting, 0 rejected" in refused.stdout
    done = await call("--retry")
    assert (done.exit_code, "0 waiting, 0 rejected" in done.stdout) == (0, True)
    assert jobs(receiver) == ["AJ_1", "AJ_2", "AJ_3"]
    for said in (listed, refused, done):
        assert "hush" not in said.output


async def test_a_ping(set_up: MeterSettings, receiver: WebhookReceiver) -> None:
    happen(set_up, "AJ_1")
    pinged = await call("test", "--json")
    assert json.loads(pinged.stdout) == {
        "receivers": [{"origin": receiver.origin, "ok": True, "problem": ""}]
    }
    assert receiver.types == ["ping"]
    receiver.troubles.append(Trouble(410))
    gone = await call("test")
    assert (gone.exit_code, gone.stdout) == (1, f"{receiver.origin}: answered 410\n")


async def test_nobody_to_tell(
    tmp_path: Path, set_up: MeterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(set_up, "AJ_1")
    monkeypatch.delenv("TALLYROOM_WEBHOOK_URL")
    assert "no longer in TALLYROOM_WEBHOOK_URL): 1 waiting" in (await call()).stdout
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path / "empty"))
    assert (await call()).stdout.startswith("nobody is told: set TALLYROOM_WEBHOOK_URL")
    assert (await call("test")).exit_code == 1


async def test_what_is_owed_to_a_receiver_that_is_not_there_waits(
    set_up: MeterSettings, receiver: WebhookReceiver
) -> None:
    happen(set_up, "AJ_1")
    nowhere = set_up.model_copy(update={"webhook_url": "http://127.0.0.1:1/hook"})
    happen(nowhere, "AJ_1")
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await send_once(nowhere)
    assert [len(owed(machine)) for machine in (nowhere, set_up)] == [1, 1]
