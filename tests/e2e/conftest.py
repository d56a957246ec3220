"""One real livekit-server for all end-to-end tests, and a room of its own for each.

It is always a server of our own, LIVEKIT_URL or not: the tests hold times against the server's
log, kill it, and must never reach a project that somebody pays for.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from demo.server import LocalServer


@pytest.fixture(scope="session")
def livekit_server() -> Iterator[LocalServer]:
    """A running server whose rooms close 2 s after the last person left."""
    with LocalServer(config={"room": {"departure_timeout": 2}}) as server:
        yield server


@pytest.fixture
def room_name(request: pytest.FixtureRequest) -> str:
    """A room that no other test has been in."""
    name = re.sub(r"\W+", "-", request.node.name)[:80].strip("-")
    return f"{name}-{secrets.token_hex(4)}"
