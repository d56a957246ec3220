"""The ledger's tables.

Rows are only ever added; but old usage can be pruned, as `prunings` says, and what holds for the
moment (`journal_parts`, `stream_leases`) goes when it is over. A job's status and times are derived
from its runs, the current rating is the one with the highest revision, and which job pays for an
instance that several have seen is said by a claim beside the observations. Quantities and money are
text: SQLite has no decimal type, and its SUM over text or NUMERIC goes through floats. People are
pseudonyms everywhere but in `people`.

The tables are made by the migrations beside this file; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

from ..usage import format_decimal, format_stamp

SCHEMA_REVISION = "0004"
"""The newest migration: a store that says so needs none, and Alembic need not be imported."""


class ExactDecimal(TypeDecorator[Decimal]):
    """A Decimal as plain digits, the same in every database."""

    impl = String
    cache_ok = True

    @override
    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format_decimal(value)

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class UtcStamp(TypeDecorator[datetime]):
    """A UTC stamp as RFC 3339 with milliseconds; sorts as text as it does as time."""

    impl = String
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else format_stamp(value)

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


def safe_text(value: str) -> str:
    """A stranger's text as a store has it."""
    replaced = value.replace("\x00", "\ufffd")
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in replaced)


class SafeText(TypeDecorator[str]):
    """Strangers' text: what no database can hold (NUL, lone surrogates) is replaced by U+FFFD."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else safe_text(value)

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("dispatch_id", String, nullable=False),
    Column("room_name", SafeText, nullable=False),
    Column("room_sid", String, nullable=False),
    Column("agent_name", SafeText, nullable=False),
    Column("tenant", SafeText, nullable=False),
    Column("title", SafeText, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("hosting", String, nullable=False),
    Column("plan", String, nullable=False),
    Column("started_at", UtcStamp, nullable=False),
    Index(None, "started_at"),
    Index(None, "tenant"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("job_id", ForeignKey("jobs.job_id"), nullable=False),
    Column("status", String, nullable=False),
    Column("error", SafeText, nullable=False),
    Column("started_at", UtcStamp, nullable=False),
    Column("ended_at", UtcStamp, nullable=False),
    Column("damaged_lines", Integer, nullable=False),
    Index(None, "job_id"),
)

usage = Table(
    "usage",
    metadata,
    Column("run_id", ForeignKey("runs.run_id"), primary_key=True),
    Column("instance_id", String, primary_key=True),
    Column("meter", String, primary_key=True),
    Column("job_id", ForeignKey("jobs.job_id"), nullable=False),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("participant", String),
    Column("purpose", String, nullable=False),
    Column("quantity", ExactDecimal, nullable=False),
    Column("unit", String, nullable=False),
    Column("certainty", String, nullable=False),
    Column("quantity_lower", ExactDecimal),
    Column("quantity_upper", ExactDecimal),
    Column("provider_stated", ExactDecimal),
    Column("provider_ref", String),
    Column("started_at", UtcStamp, nullable=False),
    Column("ended_at", UtcStamp, nullable=False),
    Column("source", String, nullable=False),
    Index(None, "job_id"),
    Index(None, "ended_at"),
)

claims = Table(
    "claims",
    metadata,
    Column("instance_id", String, primary_key=True),
    Column("meter", String, primary_key=True),
    Column("job_id", ForeignKey("jobs.job_id"), nullable=False),
    Index(None, "job_id"),
)

ratings = Table(
    "ratings",
    metadata,
    Column("job_id", ForeignKey("jobs.job_id"), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("rate_card", String, nullable=False),
    Column("hosting", String, nullable=False),
    Column("plan", String, nullable=False),
    Column("rated_at", UtcStamp, nullable=False),
)

charges = Table(
    "charges",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("book", String, nullable=False),
    Column("meter", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("consumed_quantity", ExactDecimal, nullable=False),
    Column("consumed_unit", String, nullable=False),
    Column("pricing_quantity", ExactDecimal),
    Column("pricing_unit", String),
    Column("unit_price", ExactDecimal),
    Column("list_cost", ExactDecimal),
    Column("currency", String),
    Column("rate_id", String),
    Column("certainty", String, nullable=False),
    Column("disputed", JSON),
)

prunings = Table(
    "prunings",
    metadata,
    Column("job_id", ForeignKey("jobs.job_id"), primary_key=True),
    Column("pruned_at", UtcStamp, nullable=False),
    Column("instances", Integer, nullable=False),
)
"""Jobs whose usage is gone, with how many instances had been claimed for them: where a run comes
late and claims more, its instances are in no rating."""

statements = Table(
    "statements",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("statement_id", String, nullable=False),
    Column("book", String, nullable=False),
    Column("tenant", SafeText, nullable=False),
    Column("period", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("started_at", UtcStamp, nullable=False),
    Column("ended_at", UtcStamp, nullable=False),
    Column("plan", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("total", ExactDecimal, nullable=False),
    Column("issued_at", UtcStamp, nullable=False),
    Column("figures", SafeText, nullable=False),
    Column("content", SafeText, nullable=False),
    Column("groupings", SafeText, nullable=False),
    Index("ix_statements_statement_id", "statement_id", unique=True),
    Index("ix_statements_payer_period", "book", "tenant", "period", unique=True),
)
"""Issued statements, numbered as they were issued. `content` is the text that was printed;
`figures` is the same without its jobs, and `groupings` what its jobs were put together by. An empty
tenant is everybody."""

journal_parts = Table(
    "journal_parts",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("length", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("shipped_at", UtcStamp, nullable=False),
    Index(None, "shipped_at"),
)

stream_leases = Table(
    "stream_leases",
    metadata,
    Column("provider", String, primary_key=True),
    Column("lease_id", String, primary_key=True),
    Column("run_id", String, nullable=False),
    Column("asked_at", UtcStamp, nullable=False),
    Column("opened_at", UtcStamp),
    Column("released_at", UtcStamp),
    Column("expires_at", UtcStamp, nullable=False),
)
"""STT streams that jobs wait for, have open, or opened a moment ago, where a provider limits them;
see `metering.control.stream_pool`."""

people = Table(
    "people",
    metadata,
    Column("pseudonym", String, primary_key=True),
    Column("identity", SafeText, nullable=False, unique=True),
    Column("name", SafeText, nullable=False),
)
