"""Rooms are named after people and matters, so their names stay out of the logs.

LiveKit's worker adds the name of a job's room to every line that the job logs, ours and the cost
record's too. A filter on the worker's own handlers takes it off again; `room_id`, LiveKit's id of
the same room, stays.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livekit.agents import AgentServer

METERING_LOGGERS = "tallyroom"


class RoomNameRemover(logging.Filter):
    """Takes `room` off the records of a logger and of those below it; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        if super().filter(record):
            record.__dict__.pop("room", None)
        return True


def keep_room_names_out(server: AgentServer, loggers: str = METERING_LOGGERS) -> None:
    """Keep room names out of what a worker and its jobs log, from when it has started.

    `loggers` names the logger above all those that it is done for; "" does it for LiveKit's too.
    """

    def start() -> None:
        for handler in logging.getLogger().handlers:
            handler.addFilter(RoomNameRemover(loggers))

    server.on("worker_started", start)
