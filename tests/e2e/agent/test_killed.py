"""A job that is killed loses a heartbeat at most, and no segment that was final."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from agent.transcript import read_transcript
from demo.server import LocalServer
from demo.speaker import Speaker
from metering.journal import HEARTBEAT_SECONDS
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.e2e.processes import kill_job
from tests.waiting import until

# The heartbeat that never came, and a busy machine's delay in noticing anything.
TOLERANCE_SECONDS = HEARTBEAT_SECONDS + 0.5


async def test_a_killed_job_is_settled_by_its_worker_as_recovered(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with own_worker(livekit_server, data) as worker:
        tallyroom = Tallyroom(worker, data)
        async with Speaker(livekit_server, room_name, "alice", name="Alice") as alice:
            job_id = await tallyroom.dispatch(room_name)
            await alice.say("austen_0890")
            await alice.silence(1.0)
            (caption,) = await alice.wait_for_final()
            # Caption and disk do not wait for each other.
            written = data / "transcripts" / job_id / "segments.jsonl"
            await until(lambda: written.read_text("utf-8").endswith("\n"))
            killed_at = await kill_job(data)
            recovered = await tallyroom.run("recover", "--json")
        assert [record["job_id"] for record in recovered.json] == [job_id]
        record = (await tallyroom.run("show", job_id, "--json")).json
        again = await tallyroom.run("recover", "--json")
        assert again.json == []

    assert record["status"] == "recovered"
    (session,) = [item for item in record["usage"] if item["meter"] == "agent_session"]
    assert session["certainty"] == "bounded"
    lived = (killed_at - datetime.fromisoformat(session["started_at"])).total_seconds()
    assert lived - TOLERANCE_SECONDS < float(session["quantity"]) <= lived
    assert float(session["quantity_lower"]) <= lived <= float(session["quantity_upper"])
    (alices,) = [
        item
        for item in record["usage"]
        if item["meter"] == "participant_connection" and item["participant"] == "alice"
    ]
    # She stayed after the agent died; nobody saw her go.
    assert alices["certainty"] == "partial"
    meeting, segments, *_ = read_transcript(data / "transcripts" / job_id)
    assert meeting.job_id == job_id
    assert [segment.text for segment in segments] == [caption.text]


async def test_a_killed_worker_and_job_are_settled_by_the_next_worker(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with Speaker(livekit_server, room_name, "alice"):
        async with own_worker(livekit_server, data) as first:
            job_id = await Tallyroom(first, data).dispatch(room_name)
            # One heartbeat is on disk once the downstream counter has been written.
            await asyncio.sleep(2 * HEARTBEAT_SECONDS)
            first.kill_all()
        async with own_worker(livekit_server, data) as second:
            record = await Tallyroom(second, data).record(job_id)
    assert record["status"] == "recovered"
    assert record["list_cost"] == "0"
    assert {item["meter"] for item in record["usage"]} == {
        "agent_session",
        "participant_connection",
        "downstream_data",
        "stt_listening",
    }
