"""What other software is told of a job: made here, kept in the outbox, sent by the worker.

Whatever happens is owed to every receiver at once, and is on disk then. An event has a key of its
own, so whoever comes to it a second time (a sweep that is repeated, a job that is served again)
owes nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..clock import utc_now
from ..errors import SettingsError
from ..health import Operation, failed
from ..outbox import Outbox
from ..run import Status
from ..settings import MeterSettings
from ..usage import format_stamp
from .endpoints import Endpoint, endpoints

if TYPE_CHECKING:
    from ..record import CostRecord

logger = logging.getLogger("tallyroom.metering")


class WebhookEvent(StrEnum):
    """The `type` of what is sent."""

    STARTED = "meeting.started"
    """The agent is in the room, and listens."""
    ENDED = "meeting.ended"
    """It has left, and its transcript is written."""
    NOTES = "meeting.notes"
    """There are notes of it."""
    COST = "meeting.cost"
    """Its cost record stands, or has a new revision."""
    PING = "ping"
    """Somebody tries whether it arrives."""


def owe(
    settings: MeterSettings,
    event: WebhookEvent,
    data: Mapping[str, Any],
    *,
    again: str = "",
    at: datetime | None = None,
) -> bool:
    """Tell every receiver of an event; it is on disk when this returns. Blocks on the disk.

    Args:
        settings: where the outbox is, and who the receivers are.
        event: what has happened.
        data: JSON values, with the `job_id` that it has happened to.
        again: what tells it from an earlier event of the same type and job; without it a job has
            one of each type.
        at: when it has happened; now, if not given.

    Returns:
        Whether there is anybody to tell.

    Raises:
        SettingsError: a receiver or the secret cannot be used.
        OutboxError: it cannot be kept.
    """
    return _owe(Outbox(settings.outbox_path), endpoints(settings), event, data, again, at)


def _owe(
    outbox: Outbox,
    receivers: Iterable[Endpoint],
    event: WebhookEvent,
    data: Mapping[str, Any],
    again: str = "",
    at: datetime | None = None,
) -> bool:
    key = f"{data['job_id']}/{event}{f'/{again}' if again else ''}"
    told = payload(event, data, at)
    destinations = [receiver.destination for receiver in receivers]
    for destination in destinations:
        outbox.put(destination, told, key=key)
    return bool(destinations)


def payload(
    event: WebhookEvent, data: Mapping[str, Any], at: datetime | None = None
) -> dict[str, Any]:
    """The JSON object that is sent."""
    stamp = format_stamp(at or utc_now())
    return {"type": event.value, "timestamp": stamp, "data": dict(data)}


def owe_records(
    records: Iterable[CostRecord], settings: MeterSettings, *, announced: Set[str] = frozenset()
) -> None:
    """Tell what jobs that were just settled have cost, and of those `announced` that they ended.

    A job that was killed could not tell the end itself. One that was declined was no meeting.
    Blocks on the disk. Where the settings cannot be used nobody is told, and the log says so.

    Raises:
        OutboxError: it cannot be kept; settling the job again tells what is missing.
    """
    try:
        receivers = endpoints(settings)
    except SettingsError as error:
        failed(Operation.DELIVER)
        logger.error("nobody is told what jobs have cost: %s", error)
        return
    if not receivers:
        return
    outbox = Outbox(settings.outbox_path)
    for record in records:
        if record.status is Status.DECLINED:
            continue
        told = record.model_dump(mode="json", exclude={"usage"})
        if record.job_id in announced:
            ended = {name: told[name] for name in _OF_A_MEETING}
            ended |= {"ended_at": told["ended_at"]}
            _owe(outbox, receivers, WebhookEvent.ENDED, ended, at=record.ended_at)
        _owe(outbox, receivers, WebhookEvent.COST, told, again=str(record.revision))


_OF_A_MEETING = ("job_id", "dispatch_id", "room_name", "tenant", "title", "tags", "started_at")
"""What every event of a meeting tells, under the cost record's names."""
