"""Where nothing can be written, the meeting still has its captions and the job its record."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.e2e.processes import job_process


async def test_a_data_folder_that_cannot_be_written_costs_no_caption_and_no_record(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    # Permissions do not bind root, a file in the folder's place does.
    blocked = tmp_path / "file"
    blocked.write_text("")
    async with own_worker(livekit_server, blocked / "data") as worker:
        tallyroom = Tallyroom(worker, blocked / "data")
        async with Speaker(livekit_server, room_name, "alice") as alice:
            job_id = await tallyroom.dispatch(room_name, tenant="acme")
            await alice.say("austen_0890")
            await alice.silence(1.0)
            await alice.wait_for_final()
        logged = await worker.until_logged(
            lambda entry: entry.get("cost_record", {}).get("job_id") == job_id
        )
        record = logged["cost_record"]
        assert (record["status"], record["tenant"]) == ("complete", "acme")
        assert {charge["meter"] for charge in record["charges"]} >= {
            "agent_session",
            "participant_connection",
            "stt_audio",
        }
        listed = await tallyroom.run("jobs")
        assert listed.code == 1
        assert str(blocked) in listed.err
        examined = await tallyroom.run("doctor", "--json")
        assert examined.code == 1
        assert "set TALLYROOM_DATA_DIR" in examined.out


@contextmanager
def full_disk(data: Path) -> Iterator[None]:
    """The running job's process can make no file any longer than it is."""
    pid = job_process(data)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_is_full_for_a_while_costs_nothing(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with own_worker(livekit_server, tmp_path) as worker:
        tallyroom = Tallyroom(worker, tmp_path)
        async with Speaker(livekit_server, room_name, "alice") as alice:
            job_id = await tallyroom.dispatch(room_name)
            with full_disk(tmp_path):
                await alice.say("austen_0890")
                await alice.silence(1.0)
                (caption,) = await alice.wait_for_final()
                await worker.until_logged(
                    lambda entry: "journal cannot be written" in entry["message"]
                )
        record = await tallyroom.record(job_id)
    assert record["status"] == "complete"
    (session,) = [item for item in record["usage"] if item["meter"] == "agent_session"]
    assert session["certainty"] == "exact"
    (sound,) = [item for item in record["usage"] if item["meter"] == "stt_audio"]
    assert float(sound["quantity"]) > 1
    assert [said["text"] for said in tallyroom.transcript(job_id)["segments"]] == [caption.text]


async def test_a_disk_that_stays_full_leaves_the_record_in_the_log(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with own_worker(livekit_server, tmp_path) as worker:
        tallyroom = Tallyroom(worker, tmp_path)
        async with Speaker(livekit_server, room_name, "alice") as alice:
            job_id = await tallyroom.dispatch(room_name)
            with full_disk(tmp_path):
                await alice.say("austen_0890")
                await alice.silence(1.0)
                await alice.wait_for_final()
                await alice.leave()
                logged = await worker.until_logged(
                    lambda entry: entry.get("cost_record", {}).get("job_id") == job_id
                )
    assert logged["cost_record"]["status"] == "complete"
    (sound,) = [
        charge for charge in logged["cost_record"]["charges"] if charge["meter"] == "stt_audio"
    ]
    assert float(sound["consumed_quantity"]) > 1


async def test_a_store_that_is_no_database_keeps_the_journal_until_it_is_one(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    store = tmp_path / "ledger.sqlite3"
    store.write_bytes(b"this is no database, " * 100)
    async with own_worker(livekit_server, tmp_path) as worker:
        tallyroom = Tallyroom(worker, tmp_path)
        async with Speaker(livekit_server, room_name, "alice"):
            job_id = await tallyroom.dispatch(room_name)
        await worker.until_logged(
            lambda entry: entry["message"].startswith("this job is not settled yet")
        )
        refused = await tallyroom.run("show", job_id)
        assert refused.code == 1
        assert "corrupt" in refused.err
        store.unlink()
        recovered = (await tallyroom.run("recover", "--json")).json
    assert [record["job_id"] for record in recovered] == [job_id]
    assert recovered[0]["status"] == "complete"
    assert store.read_bytes().startswith(b"SQLite format 3")
