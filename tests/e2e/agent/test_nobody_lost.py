"""A crowd, many rooms, a server that restarts, a network that is gone: nobody is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.clips import SAMPLE_RATE
from demo.server import LocalServer
from demo.speaker import Speaker
from demo.worker_process import WorkerProcess
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.network import NoNetwork, OwnNetwork, own_network
from tests.providers.deepgram import EndpointingDeepgramServer

CROWD = 50
TALKING_AT_ONCE = 5
ROOMS = 6
GONE_SECONDS = 30.0
SHORTLY_GONE_SECONDS = 8.0
ON_THE_CABLE_AGAIN = timedelta(seconds=2)
PAUSE = 1.5


def speakers(transcript: Any) -> list[str]:
    return [segment["speaker"] for segment in transcript["segments"]]


def deepgram_settings(deepgram: EndpointingDeepgramServer) -> dict[str, str]:
    return {"DEEPGRAM_API_KEY": deepgram.api_key, "DEEPGRAM_BASE_URL": deepgram.origin}


@pytest.mark.crowd
@pytest.mark.timeout(360)
async def test_fifty_people_in_one_room(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with (
        EndpointingDeepgramServer() as deepgram,
        own_worker(livekit_server, tmp_path, deepgram_settings(deepgram)) as worker,
    ):
        tallyroom = Tallyroom(worker, tmp_path)
        people = [
            Speaker(livekit_server, room_name, f"person-{number}", hears=False)
            for number in range(CROWD)
        ]
        tables = [people[at : at + TALKING_AT_ONCE] for at in range(0, CROWD, TALKING_AT_ONCE)]
        for table in tables:
            await asyncio.gather(*(person.join(microphone=False) for person in table))
        job_id = await tallyroom.dispatch(room_name)
        for table in tables:
            await asyncio.gather(*(_take_the_floor(person) for person in table))
        for table in tables:
            await asyncio.gather(*(person.leave() for person in table))
        record = await tallyroom.record(job_id)
    everybody = {person.identity for person in people}
    assert set(speakers(tallyroom.transcript(job_id))) == everybody
    assert record["status"] == "complete"
    assert {
        item["participant"] for item in record["usage"] if item["meter"] == "stt_audio"
    } == everybody


async def _take_the_floor(person: Speaker) -> None:
    """Microphone on, a sentence, microphone off."""
    microphone = await person.publish()
    await person.say("austen_0890", on=microphone)
    await microphone.play(np.zeros(round(PAUSE * SAMPLE_RATE), np.int16))
    await person.wait_for_final(matching=lambda caption: caption.sender_identity == person.identity)
    await person.unpublish(microphone)


@pytest.mark.crowd
@pytest.mark.timeout(240)
async def test_many_rooms_on_one_worker(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    rooms = [f"{room_name}-{number}" for number in range(ROOMS)]
    async with (
        EndpointingDeepgramServer() as deepgram,
        own_worker(livekit_server, tmp_path, deepgram_settings(deepgram)) as worker,
    ):
        tallyroom = Tallyroom(worker, tmp_path)

        async def hold(name: str) -> str:
            async with Speaker(livekit_server, name, "alice") as alice:
                job_id = await tallyroom.dispatch(name)
                await alice.say("austen_0890")
                await alice.silence(PAUSE)
                await alice.wait_for_final()
            return job_id

        jobs = await asyncio.gather(*map(hold, rooms))
        records = [await tallyroom.record(job_id) for job_id in jobs]
    assert [record["room_name"] for record in records] == rooms
    assert all(record["status"] == "complete" for record in records)
    for job_id in jobs:
        assert set(speakers(tallyroom.transcript(job_id))) == {"alice"}


async def _first_heard(tallyroom: Tallyroom, alice: Speaker, room_name: str) -> str:
    """Send a transcriber, which hears her; returns its job's id."""
    job_id = await tallyroom.dispatch(room_name)
    await alice.say("austen_0890")
    await alice.silence(PAUSE)
    await alice.wait_for_final()
    return job_id


async def test_a_server_that_restarts_finds_everyone_still_heard(
    room_name: str, tmp_path: Path
) -> None:
    async with (
        LocalServer(config={"room": {"departure_timeout": 2}}) as server,
        EndpointingDeepgramServer() as deepgram,
        own_worker(server, tmp_path, deepgram_settings(deepgram)) as worker,
    ):
        tallyroom = Tallyroom(worker, tmp_path)
        async with Speaker(server, room_name, "alice", name="Alice") as alice:
            job_id = await _first_heard(tallyroom, alice, room_name)
            await server.restart()
            await server.wait_until(
                lambda seen: len(seen.of_room(room_name).participants) == 4, timeout=30
            )
            before = len(alice.captions)
            # Media comes back a moment after the people do.
            while len(alice.captions) == before:
                await alice.say("austen_0920")
                await alice.silence(PAUSE)
        record = await tallyroom.record(job_id)
    transcript = tallyroom.transcript(job_id)
    assert record["status"] == "complete"
    assert len(set(speakers(transcript))) == 1
    assert len(transcript["segments"]) >= 2
    assert len({segment["segment_id"] for segment in transcript["segments"]}) == len(
        transcript["segments"]
    )


@asynccontextmanager
async def _meeting_by_cable(
    room_name: str, data: Path
) -> AsyncIterator[tuple[OwnNetwork, Tallyroom, Speaker, str]]:
    """Alice, who is heard, and a transcriber that has reached the server by a cable of its own."""
    with ExitStack() as networks:
        try:
            cable = networks.enter_context(own_network())
        except NoNetwork as why:
            pytest.skip(f"NOT TESTED WITHOUT A NETWORK: {why}")
        config = {
            "bind_addresses": ["127.0.0.1", cable.host],
            "rtc": {"node_ip": cable.host, "ips": {"includes": [f"{cable.host}/32"]}},
            "room": {"departure_timeout": 2},
        }
        deepgram = EndpointingDeepgramServer()
        deepgram.host = cable.host
        async with LocalServer(config=config) as server, deepgram:
            settings = {
                **deepgram_settings(deepgram),
                "LIVEKIT_URL": server.url.replace("127.0.0.1", cable.host),
                "TALLYROOM_AGENT_NAME": f"transcriber-{room_name}",
            }
            async with WorkerProcess(server, data, settings, enter=cable.enter) as worker:
                tallyroom = Tallyroom(worker, data)
                async with Speaker(server, room_name, "alice", name="Alice") as alice:
                    job_id = await _first_heard(tallyroom, alice, room_name)
                    yield cable, tallyroom, alice, job_id


async def _without_network(cable: OwnNetwork, alice: Speaker, seconds: float) -> datetime:
    """Nobody says anything in the meantime; returns when it began."""
    cut_at = datetime.now(UTC)
    cable.cut()
    await alice.silence(seconds)
    cable.mend()
    return cut_at


async def test_a_network_that_is_gone_for_so_short_that_nobody_is_told(
    room_name: str, tmp_path: Path
) -> None:
    async with _meeting_by_cable(room_name, tmp_path) as (cable, tallyroom, alice, job_id):
        cut_at = await _without_network(cable, alice, SHORTLY_GONE_SECONDS)
        await alice.say("austen_0920")
        await alice.silence(PAUSE)
        await alice.wait_for_final(2)
        await alice.leave()
        await tallyroom.record(job_id)
    transcript = tallyroom.transcript(job_id)
    (gap,) = transcript["gaps"]
    gone, back = when(transcript, gap)
    assert abs(gone - cut_at) < timedelta(seconds=1)
    mended_at = cut_at + timedelta(seconds=SHORTLY_GONE_SECONDS)
    # The last look that saw nothing may be a second old.
    assert abs(back - mended_at) < ON_THE_CABLE_AGAIN
    before, *_, after = transcript["segments"]
    assert before["end"] < gap["start"]
    assert gap["end"] < after["end"]


@pytest.mark.timeout(360)
async def test_a_network_that_is_gone_for_half_a_minute(room_name: str, tmp_path: Path) -> None:
    async with _meeting_by_cable(room_name, tmp_path) as (cable, tallyroom, alice, job_id):
        cut_at = await _without_network(cable, alice, GONE_SECONDS)
        before = len(alice.captions)

        async def talk() -> None:
            while len(alice.captions) == before:
                await alice.say("austen_0920")
                await alice.silence(PAUSE)

        await asyncio.wait_for(talk(), 180)
        await alice.leave()
        jobs = await _ended_jobs(tallyroom)
    assert {job["status"] for job in jobs} == {"complete"}
    assert jobs[0]["job_id"] == job_id
    # A server that had taken it for gone has ended the job, and another goes on; else it does.
    assert len(jobs) <= 2
    transcripts = [tallyroom.transcript(job["job_id"]) for job in jobs]
    (gap,) = transcripts[0]["gaps"]
    assert (gap["speaker"], gap["track_id"]) == ("", "")
    gone, back = when(transcripts[0], gap)
    assert abs(gone - cut_at) < timedelta(seconds=1)
    assert GONE_SECONDS - 2 < gap["end"] - gap["start"] < GONE_SECONDS + 30
    heard = [
        (one, *when(transcript, one))
        for transcript in transcripts
        for one in transcript["segments"]
    ]
    assert {one["speaker"] for one, *_ in heard} == {"alice"}
    assert any(end < gone for _, _, end in heard)
    assert any(start > back for _, start, _ in heard)
    # Who is back before the job is told that it has ended hears until then; the other from then on.
    assert all(end <= start for (_, _, end), (_, start, _) in pairwise(heard))


def when(transcript: Any, item: Any) -> tuple[datetime, datetime]:
    """From when until when something in a transcript was, by the clock."""
    started_at = datetime.fromisoformat(transcript["started_at"])
    start, end = (started_at + timedelta(seconds=item[key]) for key in ("start", "end"))
    return start, end


async def _ended_jobs(tallyroom: Tallyroom) -> list[Any]:
    """All jobs in the order in which they began, once each has a record."""
    worker = tallyroom.worker

    def are_recorded(entry: Any) -> bool:
        taken = {
            entry["job_id"]
            for entry in worker.log
            if entry.get("message") == "received job request"
        }
        return taken <= {entry.get("cost_record", {}).get("job_id") for entry in worker.log}

    await worker.until_logged(are_recorded, timeout=60)
    jobs = (await tallyroom.run("jobs", "--json")).json
    return sorted(jobs, key=lambda job: str(job["started_at"]))
