"""What a worker does for the jobs of its machine, and for those of machines that have gone.

It settles what dead jobs left behind, at its start and each minute. Where the store is shared it
also ships the journals of living jobs, every few seconds.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .errors import MeteringError
from .log_privacy import keep_room_names_out
from .settings import MeterSettings

if TYPE_CHECKING:
    from livekit.agents import AgentServer

logger = logging.getLogger("tallyroom.metering")

INTERVAL_SECONDS = 60.0


async def sweep_forever(interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Settle dead jobs' journals now and at every interval, until cancelled."""
    # Imported on a thread: a worker whose loop stands still for a second misses dispatches.
    settle = await asyncio.to_thread(importlib.import_module, "metering.settle")
    await _repeat(lambda: settle.sweep(MeterSettings.load()), interval_seconds)


async def ship_forever() -> None:
    """Ship living jobs' journals to a shared store, and settle those of lost machines.

    Returns at once where the store is a file of this machine: it would go with the journals.
    """
    try:
        if not MeterSettings.load().database_url:
            return
    except MeteringError:
        return  # The sweep, beside this, says what is wrong with the settings.
    shipping = await asyncio.to_thread(importlib.import_module, "metering.shipping")

    async def ship() -> None:
        settings = MeterSettings.load()
        async with shipping.Ledger(settings.ledger_url) as ledger:
            await shipping.ship_journals(ledger, settings)
            await shipping.settle_lost(ledger, settings)

    await _repeat(ship, shipping.SHIP_SECONDS)


async def _repeat(work: Callable[[], Awaitable[Any]], interval_seconds: float) -> None:
    """Do it now and at every interval; where it fails it is logged once, until it works again."""
    failing = False
    while True:
        try:
            await work()
            failing = False
        except MeteringError as error:
            if not failing:
                logger.error("metering cannot settle or ship now: %s", error)
            failing = True
        await asyncio.sleep(interval_seconds)


def attach_sweeper(server: AgentServer) -> None:
    """Let a worker sweep, and ship where the store is shared, for as long as it runs.

    What the meter logs in it no longer carries the room's name.
    """
    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        for work in (sweep_forever, ship_forever):
            task = asyncio.get_running_loop().create_task(work(), name=f"tallyroom-{work.__name__}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server.on("worker_started", start)
    keep_room_names_out(server)
