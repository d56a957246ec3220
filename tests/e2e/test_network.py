"""The network that tests cut is nobody's but theirs."""

from __future__ import annotations

import pytest

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.network import NoNetwork, own_network


async def test_nobody_in_another_meeting_is_on_the_cable(
    livekit_server: LocalServer, room_name: str
) -> None:
    try:
        with own_network() as cable:
            async with Speaker(livekit_server, room_name, "alice") as alice:
                stats = await alice.room.get_rtc_stats()
            addresses = {
                item.local_candidate.candidate.address
                for item in (*stats.publisher_stats, *stats.subscriber_stats)
                if item.WhichOneof("stats") == "local_candidate"
            }
    except NoNetwork as why:
        pytest.skip(f"NOT TESTED WITHOUT A NETWORK: {why}")
    assert addresses
    assert cable.host not in addresses
