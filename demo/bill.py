"""What the meeting costs: as it goes, at its end, and what it would cost elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from metering.pricing.charges import Charge, totals
from metering.pricing.hosting import as_hosted
from metering.pricing.loading import load_card
from metering.pricing.rating import rate
from metering.record import CostRecord, RecordUsage
from metering.run import Run
from metering.settings import MeterSettings
from metering.sweeping import running
from metering.usage import Usage

from .server_log import ServerParticipant, Timeline

CLOUD_HOSTING = "cloud-agents"
CLOUD_PLAN = "livekit/ship"
CURRENCY = "USD"

AGREE_SECONDS = 0.5


@dataclass(frozen=True)
class Figures:
    """How the running job stands: seconds by meter, and money here and on LiveKit Cloud."""

    seconds: dict[str, Decimal]
    instances: dict[str, int]
    here: Decimal
    on_cloud: Decimal


def figures(settings: MeterSettings, job_id: str) -> Figures | None:
    """The running job's figures from its journal, or None before it has one."""
    run = next((run for run in running(settings) if run.info.job_id == job_id), None)
    return None if run is None else _figures(run, settings)


def _figures(run: Run, settings: MeterSettings) -> Figures:
    seconds: dict[str, Decimal] = {}
    instances: dict[str, int] = {}
    for usage in run.usages:
        if usage.unit == "second":
            seconds[usage.meter] = seconds.get(usage.meter, Decimal(0)) + usage.quantity
            instances[usage.meter] = instances.get(usage.meter, 0) + 1
    card = load_card(settings.rates)
    here = rate(run.usages, card, hosting=run.info.hosting, plan=run.info.plan)
    return Figures(seconds, instances, _sum(here), _sum(on_cloud(run.usages, settings)))


def on_cloud(usages: Iterable[Usage], settings: MeterSettings) -> list[Charge]:
    """What the same usage would cost with server and agent on LiveKit Cloud's Ship plan."""
    card = load_card(settings.rates)
    moved = as_hosted(usages, CLOUD_HOSTING)
    return rate(moved, card, hosting=CLOUD_HOSTING, plan=CLOUD_PLAN)


def record_usages(record: CostRecord) -> list[Usage]:
    """A stored record's usage, to be rated another way."""
    return [Usage(**_values(item)) for item in record.usage]


def _values(item: RecordUsage) -> dict[str, Any]:
    return {name: getattr(item, name) for name in RecordUsage.model_fields}


def _sum(charges: Sequence[Charge]) -> Decimal:
    return totals(charges).list_cost.get(CURRENCY, Decimal(0))


@dataclass(frozen=True)
class Compared:
    """One join (or the agent's session) as the server had it and as it was metered, in seconds."""

    who: str
    what: str
    server_seconds: float
    metered_seconds: float
    starts_apart: float
    ends_apart: float

    @property
    def agrees(self) -> bool:
        """Whether no figure is further from the server's than half a second."""
        lengths_apart = abs(self.server_seconds - self.metered_seconds)
        return max(lengths_apart, self.starts_apart, self.ends_apart) <= AGREE_SECONDS


def compare(record: CostRecord, timeline: Timeline) -> list[Compared]:
    """Every join in the server's log beside the one that was metered, in the order of the joins.

    Raises:
        LookupError: the server saw a join that was not metered.
    """
    metered = {
        usage.instance_id.split("/")[-2]: usage
        for usage in record.usage
        if usage.meter == "participant_connection"
    }
    rows = []
    for join in sorted(timeline.participants, key=lambda join: join.joined_at):
        if join.left_at is None:
            continue
        if join.sid not in metered:
            raise LookupError(f"the server saw {join.identity} join and the meter did not")
        rows.append(_compared(join, metered[join.sid], "connection", join.left_at))
        if metered[join.sid].attributes.get("kind") == "agent":
            session = next(usage for usage in record.usage if usage.meter == "agent_session")
            rows.append(_compared(join, session, "session", join.left_at))
    return rows


def _compared(
    join: ServerParticipant, usage: RecordUsage, what: str, left_at: datetime
) -> Compared:
    return Compared(
        who="transcriber"
        if usage.attributes.get("kind") == "agent" or what == "session"
        else join.identity,
        what=what,
        server_seconds=(left_at - join.joined_at).total_seconds(),
        metered_seconds=float(usage.quantity),
        starts_apart=abs((usage.started_at - join.joined_at).total_seconds()),
        ends_apart=abs((usage.ended_at - left_at).total_seconds()),
    )
