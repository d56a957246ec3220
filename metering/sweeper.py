"""Settles what dead jobs left behind, from the worker process, at its start and each minute."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import TYPE_CHECKING

from .errors import MeteringError
from .settings import MeterSettings

if TYPE_CHECKING:
    from livekit.agents import AgentServer

logger = logging.getLogger("tallyroom.metering")

INTERVAL_SECONDS = 60.0


async def sweep_forever(interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Sweep now and at every interval, until cancelled; one that fails is logged."""
    # Imported on a thread: a worker whose loop stands still for a second misses dispatches.
    settle = await asyncio.to_thread(importlib.import_module, "metering.settle")
    while True:
        try:
            await settle.sweep(MeterSettings.load())
        except MeteringError as error:
            logger.error("dead jobs' journals cannot be settled now: %s", error)
        await asyncio.sleep(interval_seconds)


def attach_sweeper(server: AgentServer) -> None:
    """Let a worker sweep for as long as it runs."""
    tasks: set[asyncio.Task[None]] = set()

    def start() -> None:
        task = asyncio.get_running_loop().create_task(sweep_forever(), name="tallyroom-sweeper")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server.on("worker_started", start)
