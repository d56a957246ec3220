"""The CPU that metering adds to one event of each kind.

What goes through a socket is measured against aiohttp's own class on the same socket's far end, in
turns, so that what drifts drifts for both. The others have no peer: without metering there is
nothing there, and what is measured is all that is done.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import aiohttp
from livekit import rtc
from livekit.agents import metrics

from metering.clock import RunClock, utc_now
from metering.journal import Entry, JournalWriter
from metering.meters.connections import ConnectionMeter
from metering.meters.models import ModelMeter
from metering.meters.room import RoomMeter
from metering.recorder import Recorder

from .far_end import RESULT

FRAME = bytes(1600)
"""50 ms of 16-bit samples at 16 kHz, in which Deepgram's plugin sends."""

SPEAKERS = 6
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Cost:
    """CPU seconds an event: with metering, without where there is such a thing, and what it adds.

    Where there is a peer, that is the median of what each round added: below zero it is noise.
    """

    metered: float
    bare: float | None
    added: float
    events: int


def _recorder(folder: Path, name: str, beat: Callable[[], Iterable[Entry]] | None = None) -> Any:
    """A recorder with a journal on disk, as in a job: what is written is paid for, too."""
    recorder: Recorder
    journal = JournalWriter(
        folder / f"{name}.journal", beat=beat or (lambda: recorder.beat()), heartbeat_seconds=60
    )
    recorder = Recorder("run_bench", RunClock(), journal.append)
    return recorder, journal


async def socket_messages(url: str, events: int, rounds: int) -> tuple[Cost, Cost]:
    """A frame of audio sent, and a result received."""
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as folder:
        recorder, journal = _recorder(Path(folder), "socket")
        metered, bare = ConnectionMeter(recorder).http_session(), aiohttp.ClientSession()
        sent: dict[str, list[float]] = {"metered": [], "bare": []}
        received: dict[str, list[float]] = {"metered": [], "bare": []}
        async with metered, bare:
            for _ in range(rounds):
                for name, session in (("bare", bare), ("metered", metered)):
                    async with session.ws_connect(url) as socket:
                        sent[name].append(await _send(socket, events) / events)
                        received[name].append(await _receive(socket, events) / events)
        journal.finish()
        journal.release()
    return _paired(sent, events * rounds), _paired(received, events * rounds)


def _paired(seconds: dict[str, list[float]], events: int) -> Cost:
    metered, bare = seconds["metered"], seconds["bare"]
    added = [one - other for one, other in zip(metered, bare, strict=True)]
    return Cost(
        statistics.median(metered), statistics.median(bare), statistics.median(added), events
    )


def _alone(seconds: float, events: int) -> Cost:
    """What would not be there at all without metering."""
    return Cost(seconds / events, None, seconds / events, events)


async def _send(socket: aiohttp.ClientWebSocketResponse, events: int) -> float:
    began = time.process_time()
    for _ in range(events):
        await socket.send_bytes(FRAME)
    return time.process_time() - began


async def _receive(socket: aiohttp.ClientWebSocketResponse, events: int) -> float:
    await socket.send_str(str(events))
    began = time.process_time()
    for _ in range(events):
        message = await socket.receive()
        if message.data != RESULT:
            raise RuntimeError("the far end said something else")
    return time.process_time() - began


async def sockets_opened(url: str, events: int, rounds: int) -> Cost:
    """A socket opened, used once and closed, its two instances written to the journal."""
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as folder:
        recorder, journal = _recorder(Path(folder), "sockets")
        seconds: dict[str, list[float]] = {"metered": [], "bare": []}
        metered, bare = ConnectionMeter(recorder).http_session(), aiohttp.ClientSession()
        async with metered, bare:
            for _ in range(rounds):
                for name, session in (("bare", bare), ("metered", metered)):
                    began = time.process_time()
                    for _ in range(events):
                        async with session.ws_connect(url) as socket:
                            await socket.send_bytes(FRAME)
                    seconds[name].append((time.process_time() - began) / events)
        journal.finish()
        journal.release()
    return _paired(seconds, events * rounds)


def heartbeats(events: int) -> Cost:
    """A heartbeat of a meeting in which everybody is being transcribed: taken, written, synced.

    Nothing else runs, and there is a pause before each: one that comes once a second finds no cache
    warm either.
    """
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as folder:
        recorder = Recorder("run_bench", RunClock(), lambda entry: None)
        _open_meeting(recorder)
        left = iter(range(events))
        done = threading.Event()

        def beat() -> Iterable[Entry]:
            if next(left, None) is None:
                done.set()
                return ()
            return recorder.beat()

        journal = JournalWriter(
            Path(folder) / "beats.journal", beat=beat, heartbeat_seconds=_PAUSE_SECONDS
        )
        began = time.process_time()
        done.wait()
        seconds = time.process_time() - began
        journal.finish()
        journal.release()
    return _alone(seconds, events)


def _open_meeting(recorder: Recorder) -> None:
    for number in range(SPEAKERS):
        for meter, unit in (("participant_connection", 1), ("stt_connection", 1), ("stt_audio", 2)):
            opened = recorder.open(
                instance_id=f"server/RM_bench/PA_{number}/{meter}",
                meter=meter,
                provider="deepgram",
                model="nova-3",
                is_clock=unit == 1,
                counts_per_unit=32_000 if unit == 2 else 1,
            )
            opened.add(1_600_000)
    recorder.open(instance_id="a", meter="agent_session", provider="self-hosted")
    recorder.open(
        instance_id="b", meter="downstream_data", provider="self-hosted", is_clock=False
    ).add(10**9)


class _Model(rtc.EventEmitter[str]):
    provider, model = "OpenAI", "gpt-4o-mini"


def llm_metrics(events: int) -> Cost:
    """A request's metrics, as its plugin reports them, to its usages in the journal."""
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as folder:
        recorder, journal = _recorder(Path(folder), "llm")
        model = _Model()
        ModelMeter(recorder).watch(cast(Any, model))
        reported = [
            metrics.LLMMetrics(
                label="livekit.plugins.openai.llm.LLM",
                request_id=f"chatcmpl-{number}",
                timestamp=time.time(),
                duration=0.8,
                ttft=0.3,
                cancelled=False,
                completion_tokens=120,
                prompt_tokens=900,
                prompt_cached_tokens=256,
                total_tokens=1020,
                tokens_per_second=150.0,
            )
            for number in range(events)
        ]
        began = time.process_time()
        for one in reported:
            model.emit("metrics_collected", one)
        journal.finish()
        seconds = time.process_time() - began
        journal.release()
    return _alone(seconds, events)


@dataclass
class _Person:
    identity: str
    sid: str
    kind: int = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
    name: str = "Somebody"
    joined_at: datetime = field(default_factory=utc_now)


class _Room(rtc.EventEmitter[str]):
    def __init__(self) -> None:
        super().__init__()
        self.local_participant = _Person("agent", "PA_agent")
        self.remote_participants: dict[str, _Person] = {
            f"p{number}": _Person(f"p{number}", f"PA_{number}") for number in range(SPEAKERS)
        }

    def isconnected(self) -> bool:
        return True


def room_events(events: int) -> tuple[Cost, Cost]:
    """Somebody who comes or goes, written to the journal; and the look around at each heartbeat."""
    with tempfile.TemporaryDirectory(prefix="tallyroom-bench-") as folder:
        recorder, journal = _recorder(Path(folder), "room")
        room = _Room()
        meter = RoomMeter(cast(Any, room), recorder, provider="self-hosted", server="server")
        meter.notice()
        began = time.process_time()
        for _ in range(events):
            meter.notice()
        noticed = time.process_time() - began
        people = [_Person(f"q{number}", f"PB_{number}") for number in range(events)]
        began = time.process_time()
        for person in people:
            room.emit("participant_connected", person)
            room.emit("participant_disconnected", person)
        journal.finish()
        seconds = time.process_time() - began
        journal.release()
    return _alone(seconds, events * 2), _alone(noticed, events)
