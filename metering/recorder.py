"""Where the meters put what they see, and where it becomes journal entries.

Every meter speaks to a `Recorder` only: it opens an instance when something begins, adds to it,
closes it when it ends, or records one that is already complete. That way a meter knows nothing of
files, and what is written is written in one place.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from .clock import RunClock, seconds
from .errors import UsageError
from .health import Operation, failed
from .journal import Entry
from .request_log import RequestLog
from .run import Ending
from .usage import Certainty, Usage, core_meters, format_decimal

logger = logging.getLogger("tallyroom.metering")


class OpenUsage:
    """An instance that has begun and not yet ended.

    Either its quantity is the time since it was opened, or it counts what is added to it. It is
    closed once; a second close does nothing.
    """

    def __init__(
        self,
        recorder: Recorder,
        usage: Usage,
        *,
        opened_us: int,
        is_clock: bool,
        counts_per_unit: int,
    ) -> None:
        self._recorder = recorder
        self._usage = usage
        self._opened_us = opened_us
        self._is_clock = is_clock
        self._counts_per_unit = counts_per_unit
        self._count = 0
        self._closed = False

    @property
    def usage(self) -> Usage:
        """As it was opened."""
        return self._usage

    @property
    def is_counter(self) -> bool:
        """Whether it counts what is added, rather than the time."""
        return not self._is_clock

    @property
    def quantity(self) -> Decimal:
        """What it has come to so far, in the meter's unit."""
        if self._is_clock:
            return self._usage.quantity + seconds(
                self._recorder.clock.elapsed_us() - self._opened_us
            )
        return self._usage.quantity + Decimal(self._count) / self._counts_per_unit

    def add(self, count: int) -> None:
        """Count more: bytes for an audio meter, bytes for a data meter."""
        if count > 0:
            self._count += count

    def close(
        self,
        *,
        ended_at: datetime | None = None,
        lasted_until: datetime | None = None,
        certainty: Certainty | None = None,
        provider_stated: Decimal | None = None,
        provider_ref: str | None = None,
    ) -> None:
        """Write the instance down as it is now, or as it was at `ended_at`, if that is earlier.

        `lasted_until` says that nobody saw its end: it was still there then, and makes the clock
        bounded.
        """
        if self._closed:
            return
        self._closed = True
        now = self._recorder.clock.stamp()
        ended_at = max(self._usage.started_at, min(now, ended_at or now))
        quantity, lower = self._at(ended_at), None
        if certainty is Certainty.PARTIAL:
            lower = quantity
        elif lasted_until is not None:
            certainty, lower = Certainty.BOUNDED, self._at(min(ended_at, lasted_until))
        usage = replace(
            self._usage,
            quantity=quantity,
            ended_at=ended_at,
            certainty=certainty or self._usage.certainty,
            quantity_lower=lower,
            quantity_upper=quantity if certainty is Certainty.BOUNDED else None,
            provider_stated=provider_stated,
            provider_ref=provider_ref or self._usage.provider_ref,
        )
        self._recorder.closed(self, usage)

    def _at(self, moment: datetime) -> Decimal:
        """What it had come to at an earlier moment; what it counts has no history."""
        if not self._is_clock:
            return self.quantity
        since = (self._recorder.clock.stamp() - moment) // timedelta(microseconds=1)
        return max(Decimal(0), self.quantity - seconds(since))


class Recorder:
    """Turns what meters report into journal entries.

    `write` takes one entry and must return at once.
    """

    def __init__(self, run_id: str, clock: RunClock, write: Callable[[Entry], None]) -> None:
        self.run_id = run_id
        self.clock = clock
        self._write = write
        self._numbers = itertools.count(1)
        self._open: dict[tuple[str, str], OpenUsage] = {}
        self._people: dict[str, str] = {}
        self.requests = RequestLog()

    def instance_id(self, provider: str, provider_ref: str | None) -> str:
        """The provider's own id of an instance, or this run's next number where it gives none."""
        if provider_ref:
            return f"{provider}/{provider_ref}"
        return f"{self.run_id}/{next(self._numbers)}"

    def open(
        self,
        *,
        instance_id: str,
        meter: str,
        provider: str,
        model: str = "",
        attributes: Mapping[str, str] | None = None,
        participant: str | None = None,
        purpose: str = "",
        source: str = "",
        provider_ref: str | None = None,
        ending: Ending = Ending.WITH_RUN,
        started_at: datetime | None = None,
        already: Decimal = Decimal(0),
        is_clock: bool = True,
        counts_per_unit: int = 1,
        certainty: Certainty = Certainty.EXACT,
        exposure: Decimal = Decimal(0),
    ) -> OpenUsage:
        """Begin an instance; `already` is what it had come to before we saw it.

        `exposure` is how much longer its provider may bill it, should nobody live to end it.
        """
        now_us = self.clock.elapsed_us()
        now = self.clock.stamp(now_us)
        usage = Usage(
            instance_id=instance_id,
            meter=meter,
            provider=provider,
            model=model,
            attributes=dict(attributes or {}),
            participant=participant,
            purpose=purpose,
            quantity=already,
            unit=core_meters()[meter].unit,
            certainty=certainty,
            provider_ref=provider_ref,
            started_at=min(now, started_at or now),
            ended_at=now,
            source=source,
        )
        opened = OpenUsage(
            self, usage, opened_us=now_us, is_clock=is_clock, counts_per_unit=counts_per_unit
        )
        self._open[instance_id, meter] = opened
        entry: Entry = {
            "kind": "open",
            "at": now_us,
            "ending": ending,
            "clock": is_clock,
            "usage": usage.to_json(),
        }
        if exposure:
            entry["exposure"] = format_decimal(exposure)
        self._write(entry)
        return opened

    def under_way(self, usage: Usage) -> None:
        """Write down a request that has begun, with what its size can be.

        So it stands for what is known of it, should nobody live to see its end. It is over when it
        is recorded, or withdrawn.
        """
        self.requests.take(usage)
        self._write(
            {
                "kind": "open",
                "at": self.clock.elapsed_us(),
                "ending": Ending.WITH_RUN,
                "clock": False,
                "usage": usage.to_json(),
            }
        )

    def withdraw(self, instance_id: str, meters: Iterable[str]) -> None:
        """What was under way was never billed, or not by these meters."""
        meters = list(meters)
        self.requests.drop(instance_id, meters)
        self._write(
            {
                "kind": "withdrawn",
                "at": self.clock.elapsed_us(),
                "instance_id": instance_id,
                "meters": meters,
            }
        )

    def record(self, usage: Usage, *, instead_of: str | None = None) -> None:
        """Write down an instance that is complete.

        `instead_of` is the id by which it was under way, where its provider has named it since.
        """
        self.requests.take(usage, instead_of=instead_of)
        entry: Entry = {"kind": "usage", "at": self.clock.elapsed_us(), "usage": usage.to_json()}
        if instead_of not in (None, usage.instance_id):
            entry["instead_of"] = instead_of
        self._write(entry)

    def closed(self, opened: OpenUsage, usage: Usage) -> None:
        """An open instance has ended as this usage."""
        self._open.pop((usage.instance_id, usage.meter), None)
        self.record(usage)

    def person(self, identity: str, name: str) -> None:
        """Remember what somebody is called, apart from what they used."""
        if self._people.get(identity) != name:
            self._people[identity] = name
            self._write({"kind": "person", "identity": identity, "name": name})

    def describe(self, **changes: object) -> None:
        """Say more of the job than was known at first: tenant, title, tags, room_sid."""
        self._write({"kind": "describe", **changes})

    def beat(self) -> Iterable[Entry]:
        """The heartbeat: how far the clocks have come, and the counters with them."""
        counts = [
            [instance_id, meter, format_decimal(opened.quantity)]
            for (instance_id, meter), opened in self._open.copy().items()
            if opened.is_counter
        ]
        yield {"kind": "beat", "at": self.clock.elapsed_us(), "counts": counts}

    def refuse(self, meter: str, error: UsageError) -> None:
        """Say that a figure was not taken, and why, without whatever else came with it."""
        failed(Operation.MEASURE)
        logger.warning("measurement refused: %s", error, extra={"meter": meter})

    def close_all(self) -> None:
        """Close whatever its own meter has left open."""
        for opened in list(self._open.values()):
            opened.close()
