"""What is owed to receivers, by whomever it is told, and once."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from metering.errors import OutboxError, SettingsError
from metering.journal import encode
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.outbox import Item, Outbox
from metering.settings import MeterSettings
from metering.settle import settle_in_memory
from metering.sweeping import sweep
from metering.upkeep.forget import Kind, forget
from metering.webhooks.endpoints import endpoints
from metering.webhooks.events import WebhookEvent, owe, owe_records
from tests.unit.metering.samples import START, end, info, run, settings, usage, write_journal

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ONE = "https://one.example/hook/secret-path"
TWO = "http://two.example:8080/?token=secret"
ANNOUNCED = {"kind": "announced", "at": 5}


def told_by(folder: Path, url: str = ONE, secret: str = SECRET) -> MeterSettings:
    return settings(folder, webhook_url=url, webhook_secret=SecretStr(secret))


def waiting(machine: MeterSettings, number: int = 0) -> list[Item]:
    return Outbox(machine.outbox_path).waiting(endpoints(machine)[number].destination)


def types(machine: MeterSettings) -> list[str]:
    return [item.payload["type"] for item in waiting(machine)]


def killed_job(folder: Path, *entries: Any, name: str = "run_test", **head: Any) -> Path:
    return write_journal(folder, info(run_id=name, **head).to_entry(), *entries, name=name)


def test_receivers_are_named_and_not_shown(tmp_path: Path) -> None:
    one, two = endpoints(told_by(tmp_path, f"{ONE}, {TWO} {ONE}"))
    assert (one.url, one.origin) == (ONE, "https://one.example")
    assert (two.url, two.origin) == (TWO, "http://two.example:8080")
    assert one.destination != two.destination
    for shown in (repr(one), repr(two), one.destination):
        assert "secret" not in shown
        assert "example" not in shown
    assert endpoints(settings(tmp_path)) == ()


@pytest.mark.parametrize(
    ("url", "secret", "told"),
    [
        ("ftp://one.example", SECRET, "TALLYROOM_WEBHOOK_URL: number 1 is not a URL"),
        (f"{ONE} nowhere", SECRET, "TALLYROOM_WEBHOOK_URL: number 2 is not a URL"),
        ("https://one.example:port", SECRET, "number 1"),
        (ONE, "", "TALLYROOM_WEBHOOK_SECRET is not"),
        (ONE, f"{SECRET} whsec_short", "TALLYROOM_WEBHOOK_SECRET must be"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, url: str, secret: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        endpoints(told_by(tmp_path, url, secret))


def test_an_event_is_owed_to_each_once(tmp_path: Path) -> None:
    machine = told_by(tmp_path, f"{ONE} {TWO}")
    data = {"job_id": "AJ_1", "title": "Weekly"}
    assert owe(machine, WebhookEvent.STARTED, data, at=START)
    assert owe(machine, WebhookEvent.STARTED, data | {"title": "again"})
    assert owe(machine, WebhookEvent.NOTES, data, again="1", at=START)
    assert owe(machine, WebhookEvent.NOTES, data, again="2", at=START)
    for number in (0, 1):
        assert [item.payload for item in waiting(machine, number)] == [
            {"type": kind, "timestamp": "2026-11-20T09:00:00.000Z", "data": data}
            for kind in ("meeting.started", "meeting.notes", "meeting.notes")
        ]
    assert not owe(settings(tmp_path), WebhookEvent.STARTED, data)


async def test_whoever_settles_tells_the_cost(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    used = {"kind": "usage", "at": 60_000_000, "usage": usage(participant="eve-7").to_json()}
    killed_job(tmp_path, used, end(60_000_000), title="Weekly", tags=("a",), tenant="acme")
    await sweep(machine)
    (item,) = waiting(machine)
    assert item.payload["type"] == "meeting.cost"
    async with Ledger(machine.ledger_url) as ledger:
        record = await cost_record(ledger, "AJ_test")
    assert item.payload["data"] == record.model_dump(mode="json", exclude={"usage"})
    assert (item.payload["data"]["title"], item.payload["data"]["status"]) == ("Weekly", "complete")
    assert "eve-7" not in json.dumps(item.payload)


async def test_a_killed_job_that_told_its_beginning_has_its_end_told(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    killed_job(tmp_path, ANNOUNCED, {"kind": "beat", "at": 3_000_000}, title="Weekly")
    await sweep(machine)
    assert types(machine) == ["meeting.ended", "meeting.cost"]
    ended = waiting(machine)[0].payload
    assert ended["timestamp"] == "2026-11-20T09:00:03.000Z"
    assert ended["data"] == {
        "job_id": "AJ_test",
        "dispatch_id": "",
        "room_name": "room",
        "tenant": "",
        "title": "Weekly",
        "tags": [],
        "started_at": "2026-11-20T09:00:00.000Z",
        "ended_at": "2026-11-20T09:00:03.000Z",
    }
    assert waiting(machine)[1].payload["data"]["status"] == "recovered"


async def test_a_job_that_told_its_end_itself_has_it_told_once(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    assert owe(machine, WebhookEvent.ENDED, {"job_id": "AJ_test"})
    killed_job(tmp_path, ANNOUNCED, end(1))
    await sweep(machine)
    assert types(machine) == ["meeting.ended", "meeting.cost"]


async def test_a_new_revision_is_told_and_the_same_is_not(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    path = killed_job(tmp_path, end(1))
    content = path.read_bytes()
    await sweep(machine)
    path.write_bytes(content)
    await sweep(machine)
    assert types(machine) == ["meeting.cost"]
    killed_job(tmp_path, end(1), name="run_2")
    await sweep(machine)
    told = [item.payload["data"] for item in waiting(machine)]
    assert [one["revision"] for one in told] == [1, 2]
    assert told[1]["run_ids"] == ["run_2", "run_test"]


async def test_what_waits_is_forgotten_with_its_meeting(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    killed_job(tmp_path, ANNOUNCED, end(1), title="Xanadu", room_name="xanadu", tags=("xanadu",))
    owe(machine, WebhookEvent.NOTES, {"job_id": "AJ_test", "notes": {"summary": "To Xanadu."}})
    await sweep(machine)
    before = [item.payload["data"] for item in waiting(machine)]
    assert (await forget(machine, Kind.MEETING, "AJ_test")).outbox == 3
    notes, ended, cost = (item.payload["data"] for item in waiting(machine))
    assert "xanadu" not in json.dumps([notes, ended, cost]).lower()
    assert notes == {"job_id": "AJ_test", "notes": None}
    assert cost == before[2] | {"title": "", "room_name": "", "tags": []}


async def test_a_declined_dispatch_was_no_meeting(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    killed_job(tmp_path, end(0, "declined", "no such tenant"))
    assert len(await sweep(machine)) == 1
    assert waiting(machine) == []


async def test_a_job_without_a_disk_for_its_journal_is_told_too(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    await settle_in_memory(run(usage()), machine)
    assert types(machine) == ["meeting.cost"]


async def test_what_cannot_be_kept_is_told_by_the_next_sweep(tmp_path: Path) -> None:
    machine = told_by(tmp_path)
    path = killed_job(tmp_path, end(1))
    (tmp_path / "outbox").write_text("a file where the folder should be")
    assert await sweep(machine) == []
    assert path.exists()
    (tmp_path / "outbox").unlink()
    assert len(await sweep(machine)) == 1
    assert not path.exists()
    assert types(machine) == ["meeting.cost"]


async def test_settings_that_cannot_be_used_hold_no_journal_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = told_by(tmp_path, secret="whsec_hush")
    killed_job(tmp_path, end(1))
    with caplog.at_level(logging.ERROR):
        assert len(await sweep(machine)) == 1
    assert "nobody is told what jobs have cost: TALLYROOM_WEBHOOK_SECRET must be" in caplog.text
    assert "hush" not in caplog.text


def test_nobody_to_tell_needs_no_outbox(tmp_path: Path) -> None:
    owe_records([], settings(tmp_path))
    assert not (tmp_path / "outbox").exists()


def test_an_outbox_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "outbox").touch()
    with pytest.raises(OutboxError, match="cannot keep for webhook-"):
        owe(told_by(tmp_path), WebhookEvent.STARTED, {"job_id": "AJ_1"})


def test_a_journal_remembers_that_it_was_announced(tmp_path: Path) -> None:
    from metering.run import scan_run

    path = killed_job(tmp_path, ANNOUNCED)
    assert scan_run(path).announced
    path.write_bytes(encode(info().to_entry()))
    assert not scan_run(path).announced
