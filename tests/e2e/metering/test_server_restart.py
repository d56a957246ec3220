"""A livekit-server that is restarted in the middle of a meeting: everyone comes back as another."""

from __future__ import annotations

from pathlib import Path

from demo.server import LocalServer
from demo.speaker import Speaker
from metering.record import RecordUsage
from tests.e2e.metering.metered import metered
from tests.waiting import until

TOLERANCE_SECONDS = 0.5


async def test_each_side_of_a_server_restart_is_a_connection_of_its_own(
    room_name: str, tmp_path: Path
) -> None:
    async with LocalServer(config={"room": {"departure_timeout": 2}}) as server:
        async with metered(server, tmp_path) as on:
            async with Speaker(server, room_name, "alice"):
                job_id = await on.dispatch(room_name)
                journal = await on.until_beating(job_id)
                await server.restart()
                again = await server.wait_until(
                    lambda seen: len(seen.of_room(room_name).participants) == 4, timeout=30
                )
                # And we have seen them all.
                await until(lambda: journal.read_text().count('"kind":"open"') >= 6)
            await on.until_over(job_id)
            record = await on.record(job_id)
        timeline = server.timeline(room_name)

    assert record.status == "complete"
    assert len(again.of_room(room_name).participants) == 4
    metered_joins = {
        item.instance_id.split("/")[-2]: item
        for item in record.usage
        if item.meter == "participant_connection"
    }
    joins = {join.sid: join for join in timeline.participants}
    assert metered_joins.keys() == joins.keys()
    (session,) = [item for item in record.usage if item.meter == "agent_session"]
    assert session.certainty == "exact"
    for sid, join in joins.items():
        item = metered_joins[sid]
        apart = (item.started_at - join.joined_at).total_seconds()
        assert abs(apart) < TOLERANCE_SECONDS
        if join.seconds is not None:
            assert abs(float(item.quantity) - join.seconds) < TOLERANCE_SECONDS
        else:
            _check_lost(item, [other.joined_at.timestamp() for other in joins.values()])


def _check_lost(item: RecordUsage, joins: list[float]) -> None:
    """The server died with it: it ended somewhen before everyone was back, and says so."""
    assert item.certainty == "bounded"
    assert item.quantity_lower is not None
    assert item.quantity_lower <= item.quantity
    assert item.ended_at.timestamp() <= max(joins) + TOLERANCE_SECONDS
