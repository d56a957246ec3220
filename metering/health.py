"""Whether metering itself works, for whoever watches the worker: metrics by Prometheus's client.

They are in the client's default registry, which livekit-agents serves where a worker has a
`prometheus_port`. A job process's own counters reach that page only where
`PROMETHEUS_MULTIPROC_DIR` is set in the environment; what the worker finds on its disk is there
without.

The client is imported, and the metrics are made, when they are first needed: livekit-agents empties
that folder at its start, and a metric that was made before would be written into a deleted file.
"""

from __future__ import annotations

import functools
import logging
import time
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

    from .backlog import Backlog

logger = logging.getLogger("tallyroom.metering")


class Operation(StrEnum):
    """What of metering can fail; the label of the counter."""

    JOURNAL = "journal"
    """A run's journal could not be made or written."""
    MEASURE = "measure"
    """A figure was refused: it cannot be true."""
    SETTLE = "settle"
    """A run could not be stored, or its journal not be read."""
    RATE = "rate"
    """Usage was stored and the rates could not be used."""
    SHIP = "ship"
    """Living journals could not be shipped to a shared store, or lost ones not be settled."""
    RETAIN = "retain"
    """Names whose time is over could not be forgotten."""
    DELIVER = "deliver"
    """Something owed to another system was not taken."""


class _Metrics(NamedTuple):
    failures: Counter
    unsettled: Gauge
    unsettled_age: Gauge
    stalled: Gauge
    unreadable: Gauge
    last_sweep: Gauge


@functools.cache
def _metrics() -> _Metrics:
    from prometheus_client import Counter, Gauge

    def gauge(name: str, told: str) -> Gauge:
        # Only a worker sets them: of several, the one that has looked last.
        return Gauge(f"tallyroom_{name}", told, multiprocess_mode="mostrecent")

    failures = Counter(
        "tallyroom_metering_failures", "What metering could not do, by operation.", ["operation"]
    )
    for operation in Operation:
        failures.labels(operation=operation.value)
    return _Metrics(
        failures=failures,
        unsettled=gauge("unsettled_journals", "Journals of dead runs that are not settled."),
        unsettled_age=gauge(
            "unsettled_journal_age_seconds",
            "Since the last line of the oldest journal of a dead run that is not settled; 0 where"
            " there is none.",
        ),
        stalled=gauge("stalled_journals", "Journals of living runs that get no heartbeat."),
        unreadable=gauge("unreadable_journals", "Journals put aside that nobody can read."),
        last_sweep=gauge(
            "last_sweep_timestamp_seconds", "When the sweeper last got through, as a Unix time."
        ),
    )


def failed(operation: Operation) -> None:
    """Count a failure of metering itself. Never raises, and may be called from any thread."""
    try:
        _metrics().failures.labels(operation=operation.value).inc()
    except Exception as error:
        # A metrics folder that is full or gone must not cost what is being measured.
        logger.debug("a failure of metering could not be counted: %s", type(error).__name__)


def publish(backlog: Backlog, *, swept: bool) -> None:
    """Show what waits on this machine's disk, and that the sweeper got through. Never raises."""
    try:
        metrics = _metrics()
        metrics.unsettled.set(backlog.unsettled)
        metrics.unsettled_age.set(backlog.unsettled_seconds)
        metrics.stalled.set(backlog.stalled)
        metrics.unreadable.set(backlog.unreadable)
        if swept:
            metrics.last_sweep.set(time.time())
    except Exception as error:
        logger.debug("metering's health could not be published: %s", type(error).__name__)
