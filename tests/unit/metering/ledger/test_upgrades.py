"""A store of each released schema, with data in it, becomes one of this version."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Connection, bindparam, create_engine, make_url, text

from metering.control.stream_leases import exchange_in_store
from metering.control.stream_limits import StreamLimits
from metering.control.stream_pool import Held
from metering.ledger import database
from metering.ledger.issued import issued_statements
from metering.ledger.queries import cost_record
from metering.ledger.schema import SCHEMA_REVISION
from metering.ledger.store import Ledger
from metering.ledger.upkeep import pruned_at
from metering.ledger.usage_queries import job_usage

BEGAN, ENDED = "2025-03-31T23:58:00.000Z", "2025-03-31T23:59:00.000Z"

ROWS_OF_0001: dict[str, dict[str, Any]] = {
    "jobs": {
        "job_id": "AJ_1",
        "dispatch_id": "AD_1",
        "room_name": "straße",
        "room_sid": "RM_1",
        "agent_name": "transcriber",
        "tenant": "acme",
        "title": "Weekly",
        "tags": ["a", "b"],
        "hosting": "self",
        "plan": "none",
        "started_at": BEGAN,
    },
    "runs": {
        "run_id": "run_1",
        "job_id": "AJ_1",
        "status": "complete",
        "error": "",
        "started_at": BEGAN,
        "ended_at": ENDED,
        "damaged_lines": 0,
    },
    "people": {"pseudonym": "person_1", "identity": "alice", "name": "Alice"},
    "usage": {
        "run_id": "run_1",
        "instance_id": "i1",
        "meter": "participant_connection",
        "job_id": "AJ_1",
        "provider": "self-hosted",
        "model": "",
        "attributes": {"kind": "webrtc"},
        "participant": "person_1",
        "purpose": "",
        "quantity": "60.000000000000000001",
        "unit": "second",
        "certainty": "exact",
        "started_at": BEGAN,
        "ended_at": ENDED,
        "source": "room",
    },
    "claims": {"instance_id": "i1", "meter": "participant_connection", "job_id": "AJ_1"},
    "ratings": {
        "job_id": "AJ_1",
        "revision": 1,
        "rate_card": "2025-01-01",
        "hosting": "self",
        "plan": "none",
        "rated_at": ENDED,
    },
    "charges": {
        "job_id": "AJ_1",
        "revision": 1,
        "position": 0,
        "book": "cost",
        "meter": "participant_connection",
        "provider": "self-hosted",
        "model": "",
        "attributes": {"kind": "webrtc"},
        "state": "priced",
        "reason": "",
        "instances": 1,
        "consumed_quantity": "60.000000000000000001",
        "consumed_unit": "second",
        "pricing_quantity": "2",
        "pricing_unit": "minute",
        "unit_price": "0.0005",
        "list_cost": "0.001",
        "currency": "USD",
        "rate_id": "mine/webrtc",
        "certainty": "exact",
    },
    "journal_parts": {
        "run_id": "run_2",
        "start": 0,
        "length": 5,
        "content": "head\n",
        "shipped_at": ENDED,
    },
}


def make_store_of(revision: str, connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    """As plain SQL: today's tables are not those of then."""
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({values})")
    json = [bindparam(name, type_=JSON) for name in ("tags", "attributes") if name in row]
    connection.execute(statement.bindparams(*json), row)


ROWS_OF_0002: dict[str, dict[str, Any]] = {
    "prunings": {"job_id": "AJ_1", "pruned_at": ENDED, "instances": 1}
}


ROWS_OF_0003: dict[str, dict[str, Any]] = {
    "statements": {
        "number": 1,
        "statement_id": "2025-03",
        "book": "cost",
        "tenant": "acme",
        "period": "2025-03",
        "timezone": "UTC",
        "started_at": "2025-03-01T00:00:00.000Z",
        "ended_at": "2025-04-01T00:00:00.000Z",
        "plan": "none",
        "currency": "USD",
        "total": "0.001",
        "issued_at": "2025-04-05T00:00:00.000Z",
        "figures": "{}",
        "content": "as it was printed",
        "groupings": "{}",
    }
}


async def test_a_store_of_0003_with_data_in_it(store_url: str) -> None:
    url = make_url(store_url)
    sync = url if url.get_backend_name() == "sqlite" else url.set(drivername="postgresql+psycopg")
    engine = create_engine(sync)
    with engine.begin() as connection:
        make_store_of("0003", connection)
        for table, row in (ROWS_OF_0001 | ROWS_OF_0002 | ROWS_OF_0003).items():
            insert(connection, table, row)
    limits = StreamLimits(concurrent=1)
    answer = await exchange_in_store(store_url, "livekit", limits, "run_1", [Held("s1", 0.0)])
    assert answer.granted == ("s1",)
    async with Ledger(store_url) as ledger:
        (issued,) = await issued_statements(ledger)
        assert (issued.number, issued.total) == (1, Decimal("0.001"))
        assert (await cost_record(ledger, "AJ_1")).list_cost == Decimal("0.001")
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_REVISION
    engine.dispose()


async def test_a_store_of_0002_with_data_in_it(store_url: str) -> None:
    url = make_url(store_url)
    sync = url if url.get_backend_name() == "sqlite" else url.set(drivername="postgresql+psycopg")
    engine = create_engine(sync)
    with engine.begin() as connection:
        make_store_of("0002", connection)
        for table, row in (ROWS_OF_0001 | ROWS_OF_0002).items():
            insert(connection, table, row)
    async with Ledger(store_url) as ledger:
        assert await pruned_at(ledger, "AJ_1") == datetime.fromisoformat(ENDED)
        assert await issued_statements(ledger) == []
        assert (await cost_record(ledger, "AJ_1")).list_cost == Decimal("0.001")
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_REVISION
    engine.dispose()


async def test_a_store_of_0001_with_data_in_it(store_url: str) -> None:
    url = make_url(store_url)
    sync = url if url.get_backend_name() == "sqlite" else url.set(drivername="postgresql+psycopg")
    engine = create_engine(sync)
    with engine.begin() as connection:
        make_store_of("0001", connection)
        for table, row in ROWS_OF_0001.items():
            insert(connection, table, row)
    async with Ledger(store_url) as ledger:
        record = await cost_record(ledger, "AJ_1")
        assert await pruned_at(ledger, "AJ_1") is None
        (used,) = await job_usage(ledger, "AJ_1")
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_REVISION
        for table, row in ROWS_OF_0001.items():
            found = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            assert (table, found) == (table, 1), row
    engine.dispose()
    told = record.model_dump(mode="json")
    assert (told["room_name"], told["tags"], told["status"]) == ("straße", ["a", "b"], "complete")
    assert (told["revision"], told["list_cost"], told["rate_card"]) == (1, "0.001", "2025-01-01")
    (usage,) = told["usage"]
    assert (usage["participant"], usage["quantity"]) == ("alice", "60.000000000000000001")
    assert used.participant == "person_1"
    (charge,) = told["charges"]
    assert (charge["pricing_quantity"], charge["attributes"]) == ("2", {"kind": "webrtc"})
