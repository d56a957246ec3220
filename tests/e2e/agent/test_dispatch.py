"""Asking for a transcriber on the real server: who comes, who is refused, and who is told why."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from livekit import api

from demo.server import LocalServer
from demo.speaker import Speaker
from demo.worker_process import LogEntry
from tests.e2e.agent.conftest import Ran, Tallyroom, own_worker
from tests.e2e.metering.metered import AGENT_NAME, metered

HOSTILE_NAMES = {
    "slashes and dots": "../../etc/passwd/..",
    "newline": "room\nINFO forged log line",
    "emoji": "réunion 🎙️ 会議",
    "terminal escape": "\x1b[2J\x1b[31mred\x07",
    "longest": "x" * 256,
}


def assert_refused(ran: Ran) -> str:
    """It could not be done: exit code 1, nothing on stdout, one line on stderr that says why."""
    assert ran.code == 1
    assert ran.out == ""
    # The server can take a few seconds to know of a worker that has just registered.
    (line,) = [line for line in ran.err.splitlines() if not line.endswith("asking again")]
    assert line.startswith("tallyroom: ")
    return line


async def test_a_dispatch_before_any_worker_is_asked_again(
    livekit_server: LocalServer, room_name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("data")
    worker = own_worker(livekit_server, data)
    tallyroom = Tallyroom(worker, data)
    asking = asyncio.create_task(tallyroom.run("dispatch", room_name, "--json"))
    async with worker:
        sent = (await asking).json
        assert sent["room_name"] == room_name
        assert sent["agent_identity"] == f"agent-{sent['job_id']}"


async def test_a_second_transcriber_is_refused_unless_forced(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice"):
        first = await tallyroom.dispatch(room_name)
        line = assert_refused(await tallyroom.run("dispatch", room_name))
        assert "--force" in line
        forced = (await tallyroom.run("dispatch", room_name, "--force", "--json")).json
        assert forced["job_id"] != first
    one, other = [await tallyroom.record(job_id) for job_id in (first, forced["job_id"])]
    # Both have seen Alice, LiveKit bills her once: whoever settles first pays.
    paying = [
        item["instance_id"]
        for record in (one, other)
        for item in record["usage"]
        if item["participant"] == "alice" and item["meter"] == "participant_connection"
    ]
    assert len(paying) == 1


async def test_of_two_who_ask_at_the_same_moment_one_is_refused(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str
) -> None:
    async with Speaker(livekit_server, room_name, "alice"):
        asked = await asyncio.gather(
            *(tallyroom.run("dispatch", room_name, "--json") for _ in range(2))
        )
        (refused,) = [ran for ran in asked if ran.code]
        assert "--force" in assert_refused(refused)
        (sent,) = [ran.json for ran in asked if not ran.code]
    await tallyroom.record(sent["job_id"])


async def test_a_job_that_was_taken_and_never_comes_is_named(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    """Here because it is another program's agent, which does not say whose dispatch it came for."""
    async with metered(livekit_server, tmp_path) as on:
        ran = await Tallyroom(on.worker, tmp_path).run(
            "dispatch", room_name, TALLYROOM_AGENT_NAME=AGENT_NAME
        )
        line = assert_refused(ran)
        taken = [entry["job_id"] for entry in on.worker.log if "dispatch_id" in entry]
    # The server can take a few seconds to know of the worker: it may have been asked again.
    assert any(f"job {job_id} was taken" in line for job_id in taken)


async def decline(
    tallyroom: Tallyroom, server: LocalServer, room_name: str, metadata: str, reason: str
) -> LogEntry:
    """Dispatch past our own command, until the worker has said why it declines; returns the line.

    A raw dispatch is dropped where the server does not know of the worker yet.
    """
    async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as livekit:
        for _ in range(5):
            await livekit.agent_dispatch.create_dispatch(
                api.CreateAgentDispatchRequest(
                    agent_name="transcriber", room=room_name, metadata=metadata
                )
            )
            with contextlib.suppress(TimeoutError):
                return await tallyroom.worker.until_logged(
                    lambda entry: (
                        entry["message"].startswith("declined: ") and reason in entry["message"]
                    ),
                    timeout=8,
                )
    raise AssertionError("no worker has declined")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ('{"titel": "x"}', "'titel' is not known"),
        ('{"language": "de"}', "does not know language 'de'"),
        ('{"leave_after_minutes": -1}', "leave_after_minutes"),
        ("not json", "not a JSON object"),
    ],
)
async def test_bad_metadata_is_declined_before_the_job_joins_and_on_record(
    tallyroom: Tallyroom, livekit_server: LocalServer, room_name: str, metadata: str, reason: str
) -> None:
    logged = await decline(tallyroom, livekit_server, room_name, metadata, reason)
    record = await tallyroom.record(logged["job_id"])
    assert record["status"] == "declined"
    assert reason in record["error"]
    assert (record["usage"], record["charges"]) == ([], [])
    joined = livekit_server.timeline(room_name).participants
    assert joined == ()


async def test_the_command_says_what_was_declined(tallyroom: Tallyroom, room_name: str) -> None:
    line = assert_refused(await tallyroom.run("dispatch", room_name, "--language", "de"))
    assert "declined" in line


async def test_options_that_cannot_be_are_refused_before_anybody_is_asked(
    tallyroom: Tallyroom, room_name: str
) -> None:
    bad = await tallyroom.run("dispatch", room_name, "--metadata", '{"titel": "x"}')
    assert "'titel' is not known" in assert_refused(bad)
    both = await tallyroom.run("dispatch", room_name, "--metadata", "{}", "--title", "x")
    assert both.code == 2
    assert "--metadata" in both.err


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"LIVEKIT_API_SECRET": "wrong" * 8}, "LIVEKIT_API_SECRET"),
        ({"LIVEKIT_URL": "ws://127.0.0.1:9"}, "ws://127.0.0.1:9 cannot be reached"),
        ({"LIVEKIT_URL": ""}, "set LIVEKIT_URL"),
    ],
)
async def test_wrong_keys_and_no_server_are_one_clear_line(
    livekit_server: LocalServer,
    tmp_path_factory: pytest.TempPathFactory,
    env: dict[str, str],
    reason: str,
) -> None:
    data = tmp_path_factory.mktemp("data")
    tallyroom = Tallyroom(own_worker(livekit_server, data), data)
    assert reason in assert_refused(await tallyroom.run("dispatch", "room", **env))
    examined = await tallyroom.run("doctor", "--json", **env)
    assert examined.code == 1
    (server,) = [item for item in json.loads(examined.out) if item["check"] == "server"]
    assert not server["ok"]


async def test_doctor_finds_nothing_to_do(tallyroom: Tallyroom) -> None:
    findings = (await tallyroom.run("doctor", "--json")).json
    assert [item["check"] for item in findings if not item["ok"]] == []
    assert {item["check"] for item in findings} == {
        "server",
        "keys",
        "hosting and plan",
        "rates",
        "speech model",
        "speech limits",
        "data folder",
        "store",
        "webhooks",
        "notes",
        "answers",
    }


async def test_hostile_names_of_rooms_and_people_break_nothing(
    tallyroom: Tallyroom, livekit_server: LocalServer
) -> None:
    async def visit(name: str) -> str:
        async with Speaker(livekit_server, name, name, name=name) as person:
            job_id = await tallyroom.dispatch(name, leave_when_alone_seconds=0)
            await person.wait_for_participant(lambda other: other.identity.startswith("agent-"))
        record = await tallyroom.record(job_id)
        assert record["room_name"] == name
        assert name in {item["participant"] for item in record["usage"]}
        return job_id

    job_ids = await asyncio.gather(*map(visit, HOSTILE_NAMES.values()))
    shown = await tallyroom.run("jobs")
    assert shown.code == 0
    assert "\x1b[2J" not in shown.out
    assert "\nINFO forged" not in shown.out
    folders = {path.name for path in (tallyroom.data / "transcripts").iterdir()}
    assert folders >= set(job_ids)
    assert all(folder.startswith("AJ_") for folder in folders)
    # LiveKit's own lines too, though not what its native library says of a connection.
    logged = [json.dumps(entry, ensure_ascii=False) for entry in tallyroom.worker.log]
    assert any(job_ids[0] in line for line in logged)
    for name in HOSTILE_NAMES.values():
        assert not [line for line in logged if json.dumps(name, ensure_ascii=False)[1:-1] in line]
