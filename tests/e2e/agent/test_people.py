"""Who is heard and who is not, however they come and go."""

from __future__ import annotations

import asyncio
from itertools import groupby, pairwise
from typing import Any

import pytest

from demo.server import LocalServer, ParticipantKind
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom
from tests.waiting import until

PAUSE = 1.0


def speakers(transcript: Any) -> set[str]:
    return {segment["speaker"] for segment in transcript["segments"]}


async def test_people_see_an_agent_that_listens(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        job_id = await tallyroom.dispatch(room_name)
        agents = alice.room.remote_participants
        agent = await until(lambda: agents.get(f"agent-{job_id}"))
        await until(lambda: "lk.agent.state" in agent.attributes)
        attributes = agent.attributes
    assert attributes["lk.agent.state"] == "listening"
    assert attributes["tallyroom.job_id"] == job_id


@pytest.mark.parametrize("kind", ["sip", "ingress"])
async def test_whoever_calls_in_is_heard_and_metered_as_what_they_are(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str, kind: ParticipantKind
) -> None:
    async with Speaker(livekit_server, room_name, "caller", kind=kind) as caller:
        job_id = await tallyroom.dispatch(room_name)
        await caller.say("austen_0890")
        await caller.silence(PAUSE)
        await caller.wait_for_final()
    record = await tallyroom.record(job_id)
    assert speakers(tallyroom.transcript(job_id)) == {"caller"}
    (connection,) = [
        item
        for item in record["usage"]
        if item["meter"] == "participant_connection" and item["participant"] == "caller"
    ]
    assert connection["attributes"] == {"kind": kind}


async def test_agents_are_metered_and_not_heard(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    robot = Speaker(livekit_server, room_name, "robot", kind="agent")
    async with Speaker(livekit_server, room_name, "alice") as alice, robot:
        job_id = await tallyroom.dispatch(room_name)
        await robot.say("austen_0890")
        await alice.say("austen_0920")
        await alice.silence(PAUSE)
        await alice.wait_for_final()
    record = await tallyroom.record(job_id)
    assert speakers(tallyroom.transcript(job_id)) == {"alice"}
    kinds = {
        item["participant"]: item["attributes"]["kind"]
        for item in record["usage"]
        if item["meter"] == "participant_connection"
    }
    assert kinds == {"alice": "webrtc", "robot": "agent", f"agent-{job_id}": "agent"}
    assert {item["participant"] for item in record["usage"] if item["meter"] == "stt_audio"} == {
        "alice"
    }


async def test_a_muted_person_is_heard_again_and_a_second_track_too(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        job_id = await tallyroom.dispatch(room_name)
        await alice.say("austen_0890")
        await alice.silence(PAUSE)
        await alice.wait_for_final()
        alice.mute()
        await alice.silence(2 * PAUSE)
        alice.unmute()
        await alice.say("austen_0920")
        await alice.silence(PAUSE)
        await alice.wait_for_final(2)
        second = await alice.publish("second")
        await alice.say("austen_0870", on=second)
        await alice.wait_for_final(matching=lambda caption: caption.track_id == second.sid)
        first_sid, second_sid = alice.microphone.sid, second.sid
    await tallyroom.record(job_id)
    segments = tallyroom.transcript(job_id)["segments"]
    in_turn = [track_id for track_id, _ in groupby(one["track_id"] for one in segments)]
    assert in_turn == [first_sid, second_sid]
    on_first = [one for one in segments if one["track_id"] == first_sid]
    # The mute lies between them on the meeting's clock, though no audio of it was sent.
    pauses = [after["start"] - before["end"] for before, after in pairwise(on_first)]
    assert max(pauses) > 2 * PAUSE


async def test_who_leaves_while_it_starts_is_no_trouble(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        dispatching = asyncio.create_task(tallyroom.dispatch(room_name))
        for number in range(6):
            async with Speaker(livekit_server, room_name, f"visitor-{number}"):
                pass
        job_id = await dispatching
        await alice.say("austen_0890")
        await alice.silence(PAUSE)
        await alice.wait_for_final()
    record = await tallyroom.record(job_id)
    assert record["status"] == "complete"
    assert speakers(tallyroom.transcript(job_id)) == {"alice"}


async def test_it_leaves_when_alone(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice"):
        job_id = await tallyroom.dispatch(room_name, leave_when_alone_seconds=0.3)
    await tallyroom.record(job_id)
    joins = {join.identity: join for join in livekit_server.timeline(room_name).participants}
    agent, alice = joins[f"agent-{job_id}"], joins["alice"]
    # By itself, and not because the server closed the room around it, 2 s after she had left.
    assert agent.reason == "CLIENT_REQUEST_LEAVE"
    assert agent.left_at is not None
    assert alice.left_at is not None
    assert 0.3 <= (agent.left_at - alice.left_at).total_seconds() < 2


async def test_it_leaves_when_time_is_up_and_says_what_it_has_not_seen(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "bob") as bob:
        job_id = await tallyroom.dispatch(room_name, leave_after_minutes=5 / 60)
        await bob.wait_for_participant(lambda one: one.identity == f"agent-{job_id}")
        await bob.wait_until_gone(f"agent-{job_id}")
        record = await tallyroom.record(job_id)
    (session,) = [item for item in record["usage"] if item["meter"] == "agent_session"]
    assert 5 <= float(session["quantity"]) < 7
    (seen,) = [
        item
        for item in record["usage"]
        if item["meter"] == "participant_connection" and item["participant"] == "bob"
    ]
    # Bob stays, and is billed on: what was seen of him is a part, and says so.
    assert seen["certainty"] == "partial"
    assert seen["quantity_lower"] == seen["quantity"]
    assert seen["quantity_upper"] is None
