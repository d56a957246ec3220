"""The cost record: what one job used and what that costs, as the contract spells it.

This is the only shape in which a job leaves the store. Quantities and money are strings of exact
decimals; a charge without a price has null for price and cost. Fields may be added, never renamed;
the JSON schema in docs/ is made from these models.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from .pricing.exact import EXACT
from .run import Status
from .usage import Certainty, format_decimal, format_stamp

SCHEMA_VERSION = 1
PSEUDONYM_PREFIX = "person_"
"""What stands for a participant who is forgotten begins so; of all others the record has the
identity."""

Exact = Annotated[
    Decimal,
    PlainSerializer(format_decimal, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
]
Stamp = Annotated[
    datetime,
    PlainSerializer(format_stamp, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class RecordUsage(_Model):
    """One measured instance; see `metering.usage.Usage`."""

    instance_id: str
    meter: str
    provider: str
    model: str
    attributes: dict[str, str]
    participant: str | None
    purpose: str
    quantity: Exact
    unit: str
    certainty: Certainty
    quantity_lower: Exact | None
    quantity_upper: Exact | None
    provider_stated: Exact | None
    provider_ref: str | None
    started_at: Stamp
    ended_at: Stamp
    source: str


class RecordCharge(_Model):
    """One rate applied to all instances that it fits; see `metering.pricing.charges.Charge`."""

    book: str
    meter: str
    provider: str
    model: str
    attributes: dict[str, str]
    state: Literal["priced", "not_billed", "unrated"]
    reason: str
    instances: int
    consumed_quantity: Exact
    consumed_unit: str
    pricing_quantity: Exact | None
    pricing_unit: str | None
    unit_price: Exact | None
    list_cost: Exact | None
    currency: str | None
    rate_id: str | None
    certainty: Certainty
    disputed: dict[str, Any] | None


class Unrated(_Model):
    """Something that was used and has no price: missing from the total, and never $0."""

    meter: str
    provider: str
    model: str
    quantity: Exact
    unit: str
    reason: str


class RecordSaving(_Model):
    """What an agent saved by not sending silence to a streaming STT.

    `listened` is how long it listened, what a stream that is always open would have been billed
    for; `quantity` what was used of `meter`. `saved_cost` is null where their price is not known.
    """

    provider: str
    model: str
    meter: str
    listened: Exact
    quantity: Exact
    unit: str
    saved_cost: Exact | None
    currency: str | None


class CostRecord(_Model):
    """One job's usage and charges.

    `list_cost` is the sum of what could be priced, in `currency`; both are null where the charges
    are in several currencies, which are never added up. What is missing from it is in `unrated`.
    """

    schema_version: int = SCHEMA_VERSION
    revision: int
    job_id: str
    dispatch_id: str
    run_ids: list[str]
    room_name: str
    room_sid: str
    agent_name: str
    tenant: str
    title: str
    tags: list[str]
    hosting: str
    plan: str
    status: Status
    error: str
    started_at: Stamp
    ended_at: Stamp
    usage: list[RecordUsage]
    charges: list[RecordCharge]
    list_cost: Exact | None
    currency: str | None
    unrated: list[Unrated]
    savings: list[RecordSaving] = []
    rate_card: str

    def for_log(self) -> dict[str, Any]:
        """For a log line: without usage, and without what could name somebody."""
        return self.model_dump(mode="json", exclude={"usage", "room_name", "title", "tags"})


class JobSummary(_Model):
    """A job in a list: its record without usage and charges."""

    job_id: str
    status: Status
    tenant: str
    title: str
    room_name: str
    hosting: str
    plan: str
    started_at: Stamp
    ended_at: Stamp
    list_cost: Exact | None
    currency: str | None
    unrated: int
    error: str


def sum_priced(charges: list[RecordCharge]) -> tuple[Decimal | None, str | None]:
    """What the priced charges come to and its currency; nothing is added up across currencies."""
    currencies = {charge.currency for charge in charges if charge.state == "priced"}
    if len(currencies) > 1:
        return None, None
    total = Decimal(0)
    for charge in charges:
        total = EXACT.add(total, charge.list_cost or Decimal(0))
    return total, next(iter(currencies), "USD")


def list_unrated(charges: list[RecordCharge]) -> list[Unrated]:
    """The charges that have no price, as the record names them next to its total."""
    return [
        Unrated(
            meter=charge.meter,
            provider=charge.provider,
            model=charge.model,
            quantity=charge.consumed_quantity,
            unit=charge.consumed_unit,
            reason=charge.reason,
        )
        for charge in charges
        if charge.state == "unrated"
    ]
