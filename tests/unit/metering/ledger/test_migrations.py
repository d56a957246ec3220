"""The migrations and the schema are two descriptions of one thing; here they are held together."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from metering.ledger import database
from metering.ledger.schema import SCHEMA_REVISION, metadata
from metering.ledger.store import Ledger

URL = "sqlite+aiosqlite:///{}"


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    return ScriptDirectory.from_config(config)


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


async def test_a_store_made_by_the_migrations_is_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    async with Ledger(URL.format(path)):
        pass
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert differences(connection) == []
        assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_REVISION
    engine.dispose()


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/blank.sqlite3")
    with engine.connect() as connection:
        added = {str(found[1]) for found in differences(connection) if isinstance(found, tuple)}
    engine.dispose()
    assert set(metadata.tables) <= added


def test_the_schemas_revision_is_the_newest_migration() -> None:
    assert scripts().get_heads() == [SCHEMA_REVISION]


def test_there_is_one_way_from_blank_to_newest() -> None:
    revisions = list(scripts().walk_revisions())
    assert revisions[-1].down_revision is None
    for newer, older in itertools.pairwise(revisions):
        assert newer.down_revision == older.revision


@pytest.mark.parametrize("times", [1, 3])
async def test_opening_again_changes_nothing(tmp_path: Path, times: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    for _ in range(times + 1):
        async with Ledger(URL.format(path)):
            pass
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()
