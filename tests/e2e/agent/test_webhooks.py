"""What other software is told of a real meeting: in order, signed, also of one that was killed."""

from __future__ import annotations

import pytest

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.e2e.processes import kill_job
from tests.providers.webhooks import SECRET, Trouble, WebhookReceiver


def told(receiver: WebhookReceiver) -> dict[str, str]:
    return {
        "TALLYROOM_WEBHOOK_URL": receiver.url,
        "TALLYROOM_WEBHOOK_SECRET": SECRET,
    }


async def test_a_meeting_starts_ends_and_has_its_cost(
    livekit_server: LocalServer, tmp_path_factory: pytest.TempPathFactory, room_name: str
) -> None:
    data = tmp_path_factory.mktemp("webhooks")
    async with WebhookReceiver() as receiver:
        # The first attempt fails, so that the end of the meeting may overtake its beginning.
        receiver.troubles.append(Trouble(503))
        async with own_worker(livekit_server, data, told(receiver)) as worker:
            tallyroom = Tallyroom(worker, data)
            async with Speaker(livekit_server, room_name, "alice", name="Alice") as alice:
                job_id = await tallyroom.dispatch(
                    room_name, title="Reading", tenant="acme", tags=["a"]
                )
                await alice.say("austen_0870")
                await alice.silence(1.0)
                await alice.wait_for_final(1)
            record = await tallyroom.record(job_id)
            await receiver.until(3)
            listed = (await tallyroom.run("webhooks", "--json")).json
    assert receiver.types == ["meeting.started", "meeting.ended", "meeting.cost"]
    started, ended, cost = (one.event["data"] for one in receiver.taken)
    assert {name: started[name] for name in ("job_id", "room_name", "tenant", "title", "tags")} == {
        "job_id": job_id,
        "room_name": room_name,
        "tenant": "acme",
        "title": "Reading",
        "tags": ["a"],
    }
    assert started == {name: ended[name] for name in started}
    assert ended["ended_at"] > started["started_at"]
    assert cost == {name: value for name, value in record.items() if name != "usage"}
    assert len({one.webhook_id for one in receiver.taken}) == 3
    assert receiver.forged == []
    words = " ".join(one.text for one in alice.finals())
    assert words
    assert words not in str(receiver.taken)
    assert "hush" not in str(worker.log)
    assert SECRET not in str(worker.log)
    assert [one["rejected"] for one in listed["receivers"]] == [[]]


async def test_of_a_killed_job_the_end_and_the_cost_are_told_by_the_sweeper(
    livekit_server: LocalServer, tmp_path_factory: pytest.TempPathFactory, room_name: str
) -> None:
    data = tmp_path_factory.mktemp("webhooks")
    async with WebhookReceiver() as receiver:
        async with own_worker(livekit_server, data, told(receiver)) as worker:
            tallyroom = Tallyroom(worker, data)
            async with Speaker(livekit_server, room_name, "alice"):
                job_id = await tallyroom.dispatch(room_name)
                await receiver.until(1)
                await kill_job(data)
                (settled,) = (await tallyroom.run("recover", "--json")).json
                await receiver.until(3)
        assert settled["job_id"] == job_id
    assert receiver.types == ["meeting.started", "meeting.ended", "meeting.cost"]
    _, ended, cost = (one.event["data"] for one in receiver.taken)
    assert (ended["job_id"], cost["job_id"], cost["status"]) == (job_id, job_id, "recovered")
    assert ended["ended_at"] == cost["ended_at"]
