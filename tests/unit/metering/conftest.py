"""Every test of the store runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgres import NoPostgres, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A cluster's URL with a place for the database's name; skips where there is no PostgreSQL."""
    try:
        with cluster() as url:
            yield url
    except NoPostgres as error:
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store that nobody has used."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.sqlite3"
        return
    server: str = request.getfixturevalue("postgres")
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.format(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
