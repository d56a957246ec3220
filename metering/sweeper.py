"""What a worker does for the jobs of its machine, and for those of machines that have gone.

It settles what dead jobs left behind, at its start and each minute. Where the store is shared it
also ships the journals of living jobs, every few seconds. It sends what is owed to others, and
forgets what is kept no longer. And it says how that goes: whether metering works is a metric and a
line in the log.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from . import health
from .backlog import Backlog, look
from .errors import MeteringError
from .health import Operation
from .log_privacy import keep_room_names_out
from .own_loop import in_own_loop
from .settings import MeterSettings

if TYPE_CHECKING:
    from livekit.agents import AgentServer

logger = logging.getLogger("tallyroom.metering")

INTERVAL_SECONDS = 60.0
RETAIN_SECONDS = 3600.0


async def sweep_forever(interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Settle dead jobs' journals now and at every interval, until cancelled.

    What still waits after a sweep is published as metrics, and logged where it should not.
    """
    # Imported on a thread: a worker whose loop stands still for a second misses dispatches.
    sweeping = await asyncio.to_thread(importlib.import_module, "metering.sweeping")
    complaint = ""

    async def sweep() -> None:
        nonlocal complaint
        settings = MeterSettings.load()
        swept = False
        try:
            await in_own_loop(lambda: sweeping.sweep(settings))
            swept = True
        finally:
            journals = settings.journals_path
            backlog = await asyncio.to_thread(look, journals, journals / sweeping.QUARANTINE_FOLDER)
            await asyncio.to_thread(health.publish, backlog, swept=swept)
            complaint = _complain(backlog, complaint)

    await _repeat(sweep, interval_seconds, Operation.SETTLE)


def _complain(backlog: Backlog, before: str) -> str:
    """Log what has gone wrong, once, and that it is over; returns what is wrong now."""
    if backlog.complaint and not before:
        logger.error("metering is failing: %s", backlog.complaint)
    elif before and not backlog.complaint:
        logger.warning("metering works again: no journal is late")
    return backlog.complaint


async def ship_forever() -> None:
    """Ship living jobs' journals to a shared store, and settle those of lost machines.

    Returns at once where the store is a file of this machine: it would go with the journals.
    """
    if not _wanted(lambda settings: bool(settings.database_url)):
        return
    shipping = await asyncio.to_thread(importlib.import_module, "metering.shipping")

    async def ship() -> None:
        settings = MeterSettings.load()
        async with shipping.Ledger(settings.ledger_url) as ledger:
            await shipping.ship_journals(ledger, settings)
            await shipping.settle_lost(ledger, settings)

    await _repeat(lambda: in_own_loop(ship), shipping.SHIP_SECONDS, Operation.SHIP)


async def retain_forever() -> None:
    """Forget names whose time is over, each hour; where they are kept forever, return at once."""
    if not _wanted(lambda settings: not settings.retention.is_forever):
        return
    retaining = await asyncio.to_thread(importlib.import_module, "metering.upkeep.retain")

    async def retain() -> None:
        settings = MeterSettings.load()
        await in_own_loop(lambda: retaining.retain(settings))

    await _repeat(retain, RETAIN_SECONDS, Operation.RETAIN)


async def deliver_forever() -> None:
    """Send what is owed to the receivers of webhooks; where there are none, return at once."""
    webhooks = await asyncio.to_thread(importlib.import_module, "metering.webhooks.delivery")
    try:
        await webhooks.deliver_all_forever(MeterSettings.load())
    except MeteringError as error:
        health.failed(Operation.DELIVER)
        logger.error("no webhook is sent: %s", error)


def _wanted(asks: Callable[[MeterSettings], bool]) -> bool:
    try:
        return asks(MeterSettings.load())
    except MeteringError:
        return False  # The sweep, beside this, says what is wrong with the settings.


async def _repeat(
    work: Callable[[], Awaitable[Any]], interval_seconds: float, operation: Operation
) -> None:
    """Do it now and at every interval; where it fails it is counted, and logged once until it works
    again."""
    failing = False
    while True:
        try:
            await work()
            if failing:
                logger.warning("metering can %s again", operation)
            failing = False
        except Exception as error:
            # Not only ours: whatever a driver or a disk raises, the next time is not given up.
            health.failed(operation)
            if not failing:
                told = error if isinstance(error, MeteringError) else type(error).__name__
                logger.error("metering cannot %s now: %s", operation, told)
            failing = True
        await asyncio.sleep(interval_seconds)


def attach_sweeper(server: AgentServer) -> None:
    """Let a worker sweep, ship where the store is shared, forget names whose time is over, and
    send webhooks.

    What the meter logs in it no longer carries the room's name.
    """
    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        for work in (sweep_forever, ship_forever, retain_forever, deliver_forever):
            task = asyncio.get_running_loop().create_task(work(), name=f"tallyroom-{work.__name__}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server.on("worker_started", start)
    keep_room_names_out(server)
