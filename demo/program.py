"""The demo's course: what it needs is tried, a metered meeting is held, and its bill is shown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from livekit import rtc
from rich.console import Console
from rich.live import Live

from agent.dispatch import dispatch
from agent.doctor import try_folder
from agent.errors import TranscriberError
from agent.request import TranscriptionRequest
from agent.server_api import probe_server
from agent.settings import AgentSettings
from metering.errors import MeteringError
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.record import CostRecord
from metering.settings import MeterSettings

from .bill import compare, figures, on_cloud, record_usages
from .meeting import Meeting
from .server import LocalServer, RemoteServer, open_server
from .server_binary import ServerError
from .view import caption_line, latest, live_view, print_bill
from .worker_process import WorkerError, WorkerProcess

REFRESH_SECONDS = 0.25
SETTLED_SECONDS = 30.0

# The room closes soon after the last leave, so that nobody waits for the bill.
_SERVER_CONFIG = {"room": {"departure_timeout": 1}}


async def hold_meeting(console: Console) -> int:
    """The whole demo; returns 0 where every metered time agrees with the server's."""
    meter_settings = MeterSettings.load()
    # What the bill will need is tried first: nobody holds a meeting to find that out.
    try_folder(meter_settings.data_path)
    async with Ledger(meter_settings.ledger_url):
        pass
    say = _saying(console)
    async with open_server(config=_SERVER_CONFIG, say=say) as server:
        os.environ.update(server.env())
        if isinstance(server, RemoteServer):
            await probe_server(AgentSettings.load())
        say("starting the transcriber's worker: it loads its speech model before it registers")
        async with WorkerProcess(server, meter_settings.data_path) as worker:
            meeting = Meeting(server, f"tallyroom-demo-{secrets.token_hex(3)}")
            job_id = await _meet(console, meeting, meter_settings)
            say("everyone has left: settling")
            await worker.until_logged(
                lambda entry: entry.get("cost_record", {}).get("job_id") == job_id, SETTLED_SECONDS
            )
        async with Ledger(meter_settings.ledger_url) as ledger:
            record = await cost_record(ledger, job_id)
            store = ledger.location
        return _show_bill(console, record, server, meeting, meter_settings, store)


async def _meet(console: Console, meeting: Meeting, settings: MeterSettings) -> str:
    """Hold the meeting with a transcriber in it, and show it; returns the job's id."""
    job_ids: list[str] = []

    async def invite() -> None:
        request = TranscriptionRequest(
            title="Tallyroom's demo", tenant="demo", leave_when_alone_seconds=1
        )
        sent = await dispatch(AgentSettings.load(), meeting.room, request)
        job_ids.append(sent.job_id)

    began = time.monotonic()
    holding = asyncio.create_task(meeting.hold(invite))
    show = _show_live if console.is_terminal else _show_lines
    try:
        await show(console, meeting, settings, job_ids, began, holding)
        await holding
    finally:
        if not holding.done():
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await holding
    return job_ids[0]


async def _show_live(
    console: Console,
    meeting: Meeting,
    settings: MeterSettings,
    job_ids: list[str],
    began: float,
    holding: asyncio.Task[None],
) -> None:
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while not holding.done():
            now = await asyncio.to_thread(figures, settings, job_ids[0]) if job_ids else None
            live.update(live_view(meeting, now, time.monotonic() - began), refresh=True)
            await asyncio.wait([holding], timeout=REFRESH_SECONDS)


async def _show_lines(
    console: Console,
    meeting: Meeting,
    settings: MeterSettings,
    job_ids: list[str],
    began: float,
    holding: asyncio.Task[None],
) -> None:
    """Without a terminal: each final caption on a line of its own."""
    shown = 0
    while True:
        is_over = holding.done()
        finals = [caption for caption in latest(meeting.reader.captions) if caption.final]
        for caption in finals[shown:]:
            console.print(caption_line(caption), soft_wrap=True)
        shown = len(finals)
        if is_over:
            return
        await asyncio.wait([holding], timeout=REFRESH_SECONDS)


def _show_bill(
    console: Console,
    record: CostRecord,
    server: LocalServer | RemoteServer,
    meeting: Meeting,
    settings: MeterSettings,
    store: str,
) -> int:
    timeline = server.timeline(meeting.room)
    compared = None if timeline is None else compare(record, timeline)
    folder: Path = AgentSettings.load().transcripts_path / record.job_id
    print_bill(
        console,
        record,
        on_cloud(record_usages(record), settings),
        compared,
        [("transcript", folder / "transcript.md"), ("record", store)],
    )
    console.print(f"again at any time: .venv/bin/tallyroom show {record.job_id}", style="dim")
    return 0 if compared is None or all(row.agrees for row in compared) else 1


def _saying(console: Console) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {text}")


def run() -> int:
    """The demo from the command line; what ends it early is one line, and exit code 1.

    Raises:
        KeyboardInterrupt: it was interrupted, and everything that it had started has ended.
    """
    console = Console()
    # The SDK's native layer reports every dropped handle; the worker's log is its own.
    logging.getLogger("livekit").setLevel(logging.ERROR)
    try:
        return asyncio.run(hold_meeting(console))
    except (
        MeteringError,
        ServerError,
        TimeoutError,
        TranscriberError,
        WorkerError,
        rtc.ConnectError,
    ) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        Console(stderr=True).print(f"demo: {said}", style="red", markup=False, soft_wrap=True)
        return 1
