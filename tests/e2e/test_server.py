"""The ground that the other end-to-end tests stand on: server, people, and what the log says."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest
from livekit import api, rtc

from demo.clips import SAMPLE_RATE, load_clip
from demo.server import LocalServer
from demo.speaker import CAPTIONS, Microphone, Speaker

TOLERANCE = 0.5  # seconds, of the promise that metered times are held to


def utc_now() -> datetime:
    return datetime.now(UTC)


async def first_seconds(
    track: rtc.Track, seconds: float
) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """What is heard on a track from now on."""
    stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
    parts = []
    heard = 0
    try:
        async for event in stream:
            parts.append(np.frombuffer(event.frame.data, np.int16).copy())
            heard += event.frame.samples_per_channel
            if heard >= seconds * SAMPLE_RATE:
                break
    finally:
        await stream.aclose()
    return np.concatenate(parts)


async def test_speech_and_captions_cross_the_server(
    livekit_server: LocalServer, room_name: str
) -> None:
    clip = load_clip("austen_0890")
    async with (
        Speaker(livekit_server, room_name, "ada") as ada,
        Speaker(livekit_server, room_name, "ben") as ben,
    ):
        track_sid = ada.microphone.sid
        remote = await ben.wait_for_participant(
            lambda one: any(p.track is not None for p in one.track_publications.values())
        )
        (publication,) = remote.track_publications.values()
        assert (remote.identity, publication.sid) == ("ada", track_sid)
        assert publication.track is not None

        listening = asyncio.create_task(first_seconds(publication.track, clip.seconds + 1.0))
        spoken = await ada.say(clip)
        heard = await listening

        sender = await ada.room.local_participant.stream_text(
            topic=CAPTIONS,
            sender_identity="ada",
            attributes={
                "lk.segment_id": "SG_1",
                "lk.transcribed_track_id": track_sid,
                "lk.transcription_final": "true",
            },
        )
        await sender.write(clip.said)
        await sender.aclose()
        (caption,) = await ben.wait_for_final()

    assert spoken.ended_at - spoken.started_at == pytest.approx(clip.seconds, abs=TOLERANCE)
    # Opus keeps the loudness within a few percent, and nothing else in the room makes a sound.
    energy_said = float(np.sum(clip.samples.astype(np.float64) ** 2))
    energy_heard = float(np.sum(heard.astype(np.float64) ** 2))
    assert energy_heard == pytest.approx(energy_said, rel=0.25)
    assert (caption.segment_id, caption.track_id) == ("SG_1", track_sid)
    assert (caption.sender_identity, caption.text, caption.final) == ("ada", clip.said, True)


async def test_the_log_has_the_joins_and_leaves(
    livekit_server: LocalServer, room_name: str
) -> None:
    ada = Speaker(livekit_server, room_name, "ada/\u00e9\U0001f600 \x1b[31m", name="Ada")
    await ada.join()
    first_sid = ada.sid
    async with api.LiveKitAPI(
        livekit_server.url, livekit_server.api_key, livekit_server.api_secret
    ) as client:
        listed = await client.room.list_participants(api.ListParticipantsRequest(room=room_name))
    (participant,) = listed.participants
    left_at = utc_now()
    await ada.rejoin()
    second_sid = ada.sid
    await ada.leave()
    await ada.leave()  # a second goodbye is nothing

    seen = await livekit_server.wait_until(
        lambda timeline: any(one.closed_at for one in timeline.of_room(room_name).rooms)
    )

    first, second = seen.of_room(room_name).joins_of(ada.identity)
    assert (first.sid, second.sid) == (first_sid, second_sid)
    joined_at = datetime.fromtimestamp(participant.joined_at_ms / 1000, UTC)
    assert abs((first.joined_at - joined_at).total_seconds()) < TOLERANCE
    assert first.left_at is not None
    assert abs((first.left_at - left_at).total_seconds()) < TOLERANCE
    assert first.reason == "CLIENT_REQUEST_LEAVE"
    assert second.seconds is not None
    assert second.joined_at >= first.left_at
    (room,) = seen.of_room(room_name).rooms
    assert room.started_at == first.joined_at
    assert room.closed_at is not None
    assert second.left_at is not None
    assert room.closed_at >= second.left_at


async def test_muting_and_a_second_track_reach_the_others(
    livekit_server: LocalServer, room_name: str
) -> None:
    async with (
        Speaker(livekit_server, room_name, "ada") as ada,
        Speaker(livekit_server, room_name, "ben") as ben,
    ):
        changes: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        on = ben.room.on
        on("track_muted", lambda _, p: changes.put_nowait(("muted", p.sid)))
        on("track_unmuted", lambda _, p: changes.put_nowait(("unmuted", p.sid)))
        on("track_published", lambda p, _: changes.put_nowait(("published", p.sid)))
        on("track_unpublished", lambda p, _: changes.put_nowait(("unpublished", p.sid)))
        await ben.wait_for_participant(lambda one: len(one.track_publications) == 1)

        ada.mute()
        assert await asyncio.wait_for(changes.get(), 5) == ("muted", ada.microphone.sid)
        ada.unmute()
        assert await asyncio.wait_for(changes.get(), 5) == ("unmuted", ada.microphone.sid)
        second: Microphone = await ada.publish("screen share")
        assert await asyncio.wait_for(changes.get(), 5) == ("published", second.sid)
        await ada.unpublish(second)
        assert await asyncio.wait_for(changes.get(), 5) == ("unpublished", second.sid)


async def test_leaving_in_the_middle_of_a_word(livekit_server: LocalServer, room_name: str) -> None:
    ada = Speaker(livekit_server, room_name, "ada")
    await ada.join()
    speaking = asyncio.create_task(ada.say("two_cities"))
    done, _ = await asyncio.wait({speaking}, timeout=1)
    assert not done
    await ada.leave()
    await asyncio.wait({speaking}, timeout=5)
    assert speaking.cancelled()


async def test_a_restarted_server_keeps_address_keys_and_log() -> None:
    async with LocalServer() as server:
        url = server.url
        async with Speaker(server, "before", "ada"):
            await server.wait_until(lambda seen: len(seen.participants) == 1)
            server.kill()
            assert server.pid is None
            await server.restart()
        assert server.url == url
        async with Speaker(server, "after", "ben"):
            seen = await server.wait_until(
                lambda seen: len(seen.of_room("after").participants) == 1
            )
    assert [one.identity for one in seen.of_room("before").participants] == ["ada"]


async def test_it_listens_on_loopback_only_and_keeps_its_keys_to_itself() -> None:
    async with LocalServer() as server:
        assert server.pid is not None
        assert len(server.api_secret) >= 32
        config = server.log_path.with_name("livekit-server.yaml")
        assert config.stat().st_mode & 0o777 == 0o600
        assert server.log_path.parent.stat().st_mode & 0o777 == 0o700
        assert server.api_secret not in server.log_path.read_text(encoding="utf-8")
        if sys.platform == "linux":  # elsewhere another process is not ours to look into
            arguments = psutil.Process(server.pid).cmdline()
            assert "livekit-server" in Path(arguments[0]).name
            assert server.api_secret not in " ".join(arguments)
            assert listening_addresses(server.pid) == {"127.0.0.1"}
    assert not config.exists()


def listening_addresses(pid: int) -> set[str]:
    """The IPv4 and IPv6 addresses that a process's sockets are bound to."""

    connections = psutil.Process(pid).net_connections(kind="inet")
    return {
        connection.laddr.ip
        for connection in connections
        if connection.type == socket.SOCK_DGRAM or connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_whoever_started_it(ending: signal.Signals) -> None:
    # Whoever runs the tests in the background may have had SIGINT ignored, and that is inherited.
    program = (
        "import signal, time\n"
        "from demo.server import LocalServer\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with LocalServer() as server:\n"
        "    print(server.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        server_pid = int(parent.stdout.readline())
        os.killpg(parent.pid, ending)
        parent.wait(10)
    deadline = time.monotonic() + 5
    while running(server_pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(server_pid)


def running(pid: int) -> bool:

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
