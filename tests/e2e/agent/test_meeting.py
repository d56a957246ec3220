"""The main job, on real input: words, names, captions, and times as the server had them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from demo.clips import load_clip
from demo.server import LocalServer
from demo.server_log import ServerParticipant
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom
from tests.words import recognised

# What a metered time may differ from the server's own.
TOLERANCE_SECONDS = 0.5
WORDS_RECOGNISED = 0.85

PAUSE = 1.0


async def test_a_meeting_is_captioned_transcribed_and_metered(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    alice = Speaker(livekit_server, room_name, "alice", name="Alice")
    bob = Speaker(livekit_server, room_name, "bob", name="Bob")
    carol = Speaker(livekit_server, room_name, "carol", name="Carol")
    async with alice:
        job_id = await tallyroom.dispatch(room_name, title="Reading", tenant="acme", tags=["a"])
        await carol.join()
        await alice.say("austen_0870")
        await alice.silence(PAUSE)
        await bob.join()
        await asyncio.gather(bob.say("austen_0890"), carol.say("austen_0920"))
        await asyncio.gather(bob.silence(PAUSE), carol.silence(PAUSE))
        await alice.wait_for_final(3)
        await carol.rejoin()
        await carol.say("austen_0890")
        await carol.silence(PAUSE)
        await alice.wait_for_final(2, matching=lambda caption: caption.sender_identity == "carol")
        await asyncio.gather(bob.leave(), carol.leave())
    record = await tallyroom.record(job_id)

    said = {
        "alice": load_clip("austen_0870").said,
        "bob": load_clip("austen_0890").said,
        "carol": f"{load_clip('austen_0920').said} {load_clip('austen_0890').said}",
    }
    transcript = tallyroom.transcript(job_id)
    assert transcript["title"] == "Reading"
    for identity, words in said.items():
        segments = [item for item in transcript["segments"] if item["speaker"] == identity]
        assert {item["name"] for item in segments} == {identity.title()}
        heard = " ".join(item["text"] for item in segments)
        assert recognised(words, heard) >= WORDS_RECOGNISED, (identity, heard)
        captions = " ".join(
            caption.text for caption in alice.finals() if caption.sender_identity == identity
        )
        assert captions == heard
    starts = [item["start"] for item in transcript["segments"]]
    assert starts == sorted(starts)
    overlapping = {item["speaker"]: item for item in transcript["segments"][1:3]}
    assert overlapping["bob"]["start"] < overlapping["carol"]["end"]
    assert overlapping["carol"]["start"] < overlapping["bob"]["end"]

    assert record["status"] == "complete"
    assert (record["tenant"], record["title"], record["tags"]) == ("acme", "Reading", ["a"])
    assert (record["hosting"], record["plan"]) == ("self", "none")
    assert record["list_cost"] == "0"
    assert record["unrated"] == []
    _assert_times_are_the_servers(record, livekit_server.timeline(room_name).participants)
    (downstream,) = _of(record, "downstream_data")
    assert int(downstream["quantity"]) > 10_000
    assert downstream["certainty"] == "partial"
    audio = _of(record, "stt_audio")
    assert {item["participant"] for item in audio} == {"alice", "bob", "carol"}
    assert {item["purpose"] for item in audio} == {"captions"}


def _of(record: Any, meter: str) -> list[Any]:
    return [item for item in record["usage"] if item["meter"] == meter]


def _assert_times_are_the_servers(record: Any, joins: tuple[ServerParticipant, ...]) -> None:
    """Every join is metered once, from the server's joined_at to the leave in its log."""
    connections = {
        item["instance_id"].split("/")[-2]: item for item in _of(record, "participant_connection")
    }
    assert connections.keys() == {join.sid for join in joins}
    for join in joins:
        metered = connections[join.sid]
        assert metered["participant"] == join.identity
        assert metered["certainty"] == "exact"
        assert join.seconds is not None
        assert join.left_at is not None
        assert _apart(metered["started_at"], join.joined_at) < TOLERANCE_SECONDS
        assert _apart(metered["ended_at"], join.left_at) < TOLERANCE_SECONDS
        assert abs(float(metered["quantity"]) - join.seconds) < TOLERANCE_SECONDS
    (session,) = _of(record, "agent_session")
    (agent,) = [join for join in joins if join.identity.startswith("agent-")]
    assert agent.seconds is not None
    assert abs(float(session["quantity"]) - agent.seconds) < TOLERANCE_SECONDS


def _apart(stamp: str, moment: datetime) -> float:
    return abs((datetime.fromisoformat(stamp) - moment).total_seconds())


async def test_a_quiet_voice_is_heard(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "reader", name="Reader") as reader:
        job_id = await tallyroom.dispatch(room_name)
        await reader.say("two_cities")
        await reader.silence(2 * PAUSE)
    await tallyroom.record(job_id)
    segments = tallyroom.transcript(job_id)["segments"]
    heard = " ".join(item["text"] for item in segments)
    assert recognised(load_clip("two_cities").said, heard) >= WORDS_RECOGNISED, heard
