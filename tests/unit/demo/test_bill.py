from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from demo import bill
from demo.bill import compare, figures, on_cloud, record_usages
from demo.server_log import ServerParticipant, Timeline
from metering.record import CostRecord
from metering.run import Run
from metering.settings import MeterSettings
from metering.usage import Usage
from tests.unit.metering.samples import START, run, usage


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "TALLYROOM_")):
            monkeypatch.delenv(name)


def joined(sid: str, *, began: float, seconds: float, **changes: Any) -> Usage:
    """A join as it was metered; `began` is in seconds of the meeting."""
    starts = START + timedelta(seconds=began)
    values = {
        "instance_id": f"server/RM_test/{sid}/1",
        "quantity": Decimal(str(seconds)),
        "started_at": starts,
        "ended_at": starts + timedelta(seconds=seconds),
    }
    return usage(**values | changes)


def seen(
    sid: str, *, began: float, seconds: float | None, identity: str = "alice"
) -> ServerParticipant:
    """The same join as the server had it."""
    starts = START + timedelta(seconds=began)
    ends = None if seconds is None else starts + timedelta(seconds=seconds)
    return ServerParticipant(identity, sid, "room", "RM_test", starts, ends)


AGENT = joined("PA_agent", began=0, seconds=60, attributes={"kind": "agent"})
SESSION = joined("-", began=0.2, seconds=59.5, meter="agent_session")
ALICE = joined("PA_alice", began=1, seconds=30)
AGAIN = joined("PA_again", began=40, seconds=10.25)


def record(*usages: Usage) -> CostRecord:
    return CostRecord.model_validate(
        {
            "revision": 1,
            "job_id": "AJ_test",
            "dispatch_id": "",
            "run_ids": ["run_test"],
            "room_name": "room",
            "room_sid": "RM_test",
            "agent_name": "transcriber",
            "tenant": "",
            "title": "",
            "tags": [],
            "hosting": "self",
            "plan": "none",
            "status": "complete",
            "error": "",
            "started_at": START,
            "ended_at": START + timedelta(seconds=60),
            "usage": list(usages),
            "charges": [],
            "list_cost": None,
            "currency": None,
            "unrated": [],
            "rate_card": "",
        }
    )


def test_every_join_beside_the_servers_in_their_order() -> None:
    rows = compare(
        record(AGAIN, ALICE, SESSION, AGENT),
        Timeline(
            (
                seen("PA_again", began=40, seconds=10),
                seen("PA_alice", began=1.125, seconds=30),
                seen("PA_agent", began=0, seconds=60, identity="agent-x"),
            ),
            (),
        ),
    )
    assert [(row.who, row.what) for row in rows] == [
        ("transcriber", "connection"),
        ("transcriber", "session"),
        ("alice", "connection"),
        ("alice", "connection"),
    ]
    assert [row.server_seconds for row in rows] == [60.0, 60.0, 30.0, 10.0]
    assert [row.metered_seconds for row in rows] == [60.0, 59.5, 30.0, 10.25]
    assert [row.starts_apart for row in rows] == [0.0, 0.2, 0.125, 0.0]
    assert [row.ends_apart for row in rows] == [0.0, 0.3, 0.125, 0.25]
    assert all(row.agrees for row in rows)


@pytest.mark.parametrize(
    ("began", "seconds"), [(1.6, 30), (1, 30.6), (0.4, 30), (1, 29.4), (0.7, 30.6)]
)
def test_half_a_second_apart_is_too_far(began: float, seconds: float) -> None:
    (row,) = compare(record(ALICE), Timeline((seen("PA_alice", began=began, seconds=seconds),), ()))
    assert not row.agrees


def test_a_join_that_was_not_metered_is_no_small_difference() -> None:
    with pytest.raises(LookupError, match="the server saw bob join and the meter did not"):
        compare(
            record(ALICE),
            Timeline((seen("PA_bob", began=0, seconds=1, identity="bob"),), ()),
        )


def test_who_is_still_there_is_not_compared() -> None:
    assert compare(record(), Timeline((seen("PA_alice", began=0, seconds=None),), ())) == []


def test_the_same_usage_on_cloud() -> None:
    charges = {
        (charge.meter, charge.attributes.get("kind", "")): charge
        for charge in on_cloud([AGENT, SESSION, ALICE, AGAIN], MeterSettings())
    }
    # Each started minute by itself: two joins of 30 and of 10 s are two minutes.
    people = charges["participant_connection", ""]
    assert (people.pricing_quantity, people.list_cost) == (Decimal(2), Decimal("0.0010"))
    agent = charges["participant_connection", "agent"]
    assert (agent.pricing_quantity, agent.list_cost) == (Decimal(1), Decimal("0.0005"))


def running(monkeypatch: pytest.MonkeyPatch, *runs: Run) -> None:
    monkeypatch.setattr(bill, "running", lambda settings: list(runs))


def test_a_job_that_has_no_journal_yet(tmp_path: Path) -> None:
    assert figures(MeterSettings(data_dir=tmp_path), "AJ_test") is None


def test_how_the_running_job_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    data = joined(
        "-", began=0, seconds=5, meter="downstream_data", unit="byte", instance_id="run_test/data"
    )
    session = joined(
        "-",
        began=0,
        seconds=61,
        meter="agent_session",
        provider="self-hosted",
        instance_id="run_test/session",
    )
    running(monkeypatch, run(job_id="AJ_other"), run(AGENT, ALICE, AGAIN, session, data))
    found = figures(MeterSettings(), "AJ_test")
    assert found is not None
    assert found.seconds == {
        "participant_connection": Decimal("100.25"),
        "agent_session": Decimal(61),
    }
    assert found.instances == {"participant_connection": 3, "agent_session": 1}
    assert found.here == Decimal(0)
    # Three connections of a minute at 0.0005, a session of two at 0.01, and a hundredth of a GB,
    # which is the least that is billed, at 0.12.
    assert found.on_cloud == Decimal("0.0015") + Decimal("0.02") + Decimal("0.0012")


def test_a_stored_record_gives_its_usage_back() -> None:
    assert record_usages(record(AGENT, ALICE)) == [AGENT, ALICE]
