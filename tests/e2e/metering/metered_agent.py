"""The smallest metered agent, whose other shutdown callbacks misbehave as the environment says."""

from __future__ import annotations

import asyncio
import os

from livekit.agents import AgentServer, JobContext, cli

from metering import JobMeter, attach_sweeper

MISBEHAVE = os.environ.get("MISBEHAVE", "")
SHUTDOWN_SECONDS = float(os.environ.get("SHUTDOWN_SECONDS", "10"))

server = AgentServer(shutdown_process_timeout=SHUTDOWN_SECONDS, num_idle_processes=1, port=0)
attach_sweeper(server)


async def raise_in_shutdown() -> None:
    raise RuntimeError("another callback's own trouble")


async def hang_in_shutdown() -> None:
    await asyncio.Event().wait()


@server.rtc_session(agent_name="metered")
async def entrypoint(ctx: JobContext) -> None:
    if MISBEHAVE == "raise":
        ctx.add_shutdown_callback(raise_in_shutdown)
    JobMeter(ctx)
    if MISBEHAVE == "hang":
        ctx.add_shutdown_callback(hang_in_shutdown)
    await ctx.connect()
    if MISBEHAVE == "crash":
        raise RuntimeError("the agent's own trouble")


if __name__ == "__main__":
    cli.run_app(server)
