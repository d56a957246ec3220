"""The smallest metered agent, to which happens whatever its dispatch or environment says.

A dispatch's metadata: `{"kill_at": step}` kills the job's process outright at that step of its
life, `{"misbehave": how}` lets something else in the job go wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from livekit.agents import AgentServer, JobContext, cli

from metering import JobMeter, attach_sweeper

SHUTDOWN_SECONDS = float(os.environ.get("SHUTDOWN_SECONDS", "10"))
MEMORY_LIMIT_MB = float(os.environ.get("MEMORY_LIMIT_MB", "0"))
CLOCK_STEP = timedelta(hours=float(os.environ.get("CLOCK_STEP_HOURS", "0")))

server = AgentServer(
    shutdown_process_timeout=SHUTDOWN_SECONDS,
    job_memory_limit_mb=MEMORY_LIMIT_MB,
    num_idle_processes=1,
    load_threshold=float("inf"),
    port=0,
)
attach_sweeper(server)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def raise_in_shutdown() -> None:
    raise RuntimeError("another callback's own trouble")


async def hang_in_shutdown() -> None:
    await asyncio.Event().wait()


async def die_in_shutdown() -> None:
    die()


def die_at(owner: Any, name: str, *, after: bool = False) -> None:
    """Let the process die when this is called, or when it has been done."""
    done: Callable[..., Any] = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        if after:
            done(*args, **kwargs)
        die()

    setattr(owner, name, called)


def prepare_death(step: str) -> None:
    """Steps between the end of the meeting and the end of the process."""
    from metering import settle, sweeping
    from metering.journal import JournalWriter
    from metering.line import Turn

    where: dict[str, tuple[Any, str]] = {
        "end is not flushed": (JournalWriter, "finish"),
        "end is flushed": (JournalWriter, "finish"),
        "waiting in line": (Turn, "wait"),
        "before it is stored": (sweeping, "settle_runs"),
        "stored, not rated": (settle, "_rate"),
        "rated, not logged": (sweeping, "log_record"),
        "logged, not retired": (sweeping, "retire"),
        "retired": (sweeping, "retire"),
    }
    if step in where:
        die_at(*where[step], after=step in ("end is flushed", "retired"))


async def on_session_end(ctx: JobContext) -> None:
    if asked(ctx).get("kill_at") == "session end":
        die()


def asked(ctx: JobContext) -> dict[str, str]:
    return dict(json.loads(ctx.job.metadata or "{}"))


@server.rtc_session(agent_name="metered", on_session_end=on_session_end)
async def entrypoint(ctx: JobContext) -> None:
    step, misbehave = asked(ctx).get("kill_at", ""), asked(ctx).get("misbehave", "")
    prepare_death(step)
    if step == "shutdown callbacks":
        ctx.add_shutdown_callback(die_in_shutdown)
    if misbehave == "raise":
        ctx.add_shutdown_callback(raise_in_shutdown)
    meter = JobMeter(ctx)
    if misbehave == "hang":
        ctx.add_shutdown_callback(hang_in_shutdown)
    if step == "before it has joined":
        die()
    await ctx.connect()
    if misbehave == "crash":
        raise RuntimeError("the agent's own trouble")
    if misbehave == "step the clock":
        await step_the_clock(meter)
    if misbehave == "grow":
        await grow()
    if step == "entrypoint cancelled":
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            die()


async def grow() -> None:
    """Until the framework's memory limit is passed, and on, as a leak does."""
    held = []
    while True:
        held.append(os.urandom(1 << 20))
        await asyncio.sleep(0.01)


async def step_the_clock(meter: JobMeter) -> None:
    """The wall clock of this process is an hour off from here on; the monotonic one is not."""
    import time_machine

    before = meter.now()
    time_machine.travel(datetime.now(UTC) + CLOCK_STEP, tick=True).start()
    assert abs(datetime.now(UTC) - before - CLOCK_STEP) < timedelta(seconds=10)


if __name__ == "__main__":
    cli.run_app(server)
