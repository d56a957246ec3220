"""The transcriber among people: it says that it is there, hears who wants it only, and goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.waiting import until

PAUSE = 1.5
NOTICE = "This meeting is being transcribed."


def speakers(transcript: Any) -> set[str]:
    return {segment["speaker"] for segment in transcript["segments"]}


def heard_of(record: Any) -> set[str]:
    return {item["participant"] for item in record["usage"] if item["meter"] == "stt_audio"}


async def test_whoever_is_there_and_whoever_comes_is_told_once(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        job_id = await tallyroom.dispatch(room_name)
        agent = f"agent-{job_id}"
        told = await alice.wait_for_message()
        assert (told.sender_identity, told.text) == (agent, NOTICE)
        async with Speaker(livekit_server, room_name, "bob") as bob:
            assert (await bob.wait_for_message()).text == NOTICE
            shown = bob.room.remote_participants[agent].attributes
            assert shown["tallyroom.notice"] == NOTICE
            await bob.rejoin()
            await until(lambda: len(bob.messages) == 2)
        assert [message.text for message in alice.messages] == [NOTICE]
        assert len(bob.messages) == 2


async def test_a_notice_is_worded_by_whoever_asks_or_not_given(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        silent = await tallyroom.dispatch(room_name, notice=False)
        ran = await tallyroom.run(
            *("dispatch", room_name, "--force", "--json"),
            *("--metadata", '{"notice": "Wird mitgeschrieben."}'),
        )
        told = await alice.wait_for_message()
        assert (told.sender_identity, told.text) == (
            f"agent-{ran.json['job_id']}",
            "Wird mitgeschrieben.",
        )
        shown = alice.room.remote_participants[f"agent-{silent}"].attributes
        assert "tallyroom.notice" not in shown


async def test_who_opts_out_is_not_heard_until_they_take_it_back(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    wish = {"tallyroom.opt_out": "true"}
    quiet = Speaker(livekit_server, room_name, "quiet", attributes=wish)
    listed = Speaker(livekit_server, room_name, "listed")
    async with Speaker(livekit_server, room_name, "alice") as alice, quiet, listed:
        job_id = await tallyroom.dispatch(room_name, opt_out=["listed"])
        await asyncio.gather(quiet.say("austen_0890"), listed.say("austen_0920"))
        await alice.say("austen_0890")
        await alice.silence(PAUSE)
        await alice.wait_for_final()
        assert {one.sender_identity for one in alice.captions} == {"alice"}

        await quiet.room.local_participant.set_attributes({"tallyroom.opt_out": ""})
        await until(lambda: "tallyroom.opt_out" not in _seen(alice, "quiet"))
        while not any(one.sender_identity == "quiet" for one in alice.finals()):
            await quiet.say("austen_0920")
            await quiet.silence(PAUSE)
        await quiet.room.local_participant.set_attributes(wish)
        await until(lambda: _seen(alice, "quiet").get("tallyroom.opt_out"))
        # By the time that alice's words are there, whatever quiet has said before is, too.
        await _say(alice, "austen_0920", finals=2)
        before = len(alice.captions)
        await quiet.say("austen_0870")
        await _say(alice, "austen_0890", finals=3)
        assert {one.sender_identity for one in alice.captions[before:]} == {"alice"}
    record = await tallyroom.record(job_id)
    transcript = tallyroom.transcript(job_id)
    assert speakers(transcript) == {"alice", "quiet"}
    assert heard_of(record) == {"alice", "quiet"}
    assert "listed" not in str(transcript)
    assert not transcript["gaps"]


async def _say(speaker: Speaker, clip: str, *, finals: int) -> None:
    await speaker.say(clip)
    await speaker.silence(PAUSE)
    await speaker.wait_for_final(
        finals, matching=lambda one: one.sender_identity == speaker.identity, timeout=40
    )


def _seen(by: Speaker, identity: str) -> dict[str, str]:
    return by.room.remote_participants[identity].attributes


async def test_it_says_that_it_leaves_before_it_does(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        job_id = await tallyroom.dispatch(room_name, notice=False, leave_after_minutes=0.1)
        agent = f"agent-{job_id}"
        warning = await alice.wait_for_message()
        assert warning.text == "The transcription ends in 1 second: its time is up."
        assert "tallyroom.leaves_at" in _seen(alice, agent)
        await alice.wait_until_gone(agent)
    record = await tallyroom.record(job_id)
    assert record["status"] == "complete"


async def test_where_there_is_no_egress_people_are_told_and_so_is_who_asked(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice") as alice:
        job_id = await tallyroom.dispatch(room_name, notice=False, record="room")
        # The server waits for an Egress that could answer before it says that there is none.
        told, ran = await asyncio.gather(
            alice.wait_for_message(timeout=60), tallyroom.run("record", room_name)
        )
        assert told.text == "This meeting is not being recorded."
        assert (ran.code, ran.out) == (1, "")
        (line,) = ran.err.splitlines()
        assert "has no Egress" in line
    record = await tallyroom.record(job_id)
    assert record["status"] == "complete"
    assert not any(item["meter"].startswith("egress") for item in record["usage"])


async def test_a_hook_gets_every_final_segment_and_flags_beside_the_transcript(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    settings = {
        "TALLYROOM_MODERATION": "examples.hooks.moderation:moderate",
        "FLAGGED_WORDS": "respectable,bitcoin",
    }
    async with own_worker(livekit_server, tmp_path, settings) as worker:
        tallyroom = Tallyroom(worker, tmp_path)
        async with Speaker(livekit_server, room_name, "alice") as alice:
            job_id = await tallyroom.dispatch(room_name)
            for clip in ("austen_0890", "austen_0920"):
                await alice.say(clip)
                await alice.silence(PAUSE)
            await alice.wait_for_final(2)
        await tallyroom.record(job_id)
    said = tallyroom.transcript(job_id)["segments"]
    flagged = {one["segment_id"] for one in said if "respectable" in one["text"].lower()}
    lines = (tmp_path / "transcripts" / job_id / "moderation.jsonl").read_text().splitlines()
    flags = [json.loads(line) for line in lines]
    assert flagged
    assert {flag["segment_id"] for flag in flags} == flagged
    assert {flag["reason"] for flag in flags} == {"says respectable"}
