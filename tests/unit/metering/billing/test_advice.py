"""`advice`: each amount is the difference of two bills of the same month."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from metering.usage import Usage
from tests.unit.metering.pricing.builders import usage

from .builders import at
from .commands import run
from .stored import lasting, prune, rates_file, session, settled, stated

pytestmark = pytest.mark.usefixtures("environment")


def advised(*arguments: str) -> Any:
    result = run("advice", "2026-11", *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def found(answer: Any) -> dict[str, str]:
    return {one["finding"]: one["saving"] for one in answer["findings"]}


def joined(minutes: int, ended_at: str = "2026-11-20T10:00Z", kind: str = "webrtc") -> Usage:
    attributes = {"kind": kind}
    return lasting(
        "participant_connection", "livekit-cloud", minutes, ended_at, attributes=attributes
    )


def too_much_for_build(folder: Path) -> None:
    """All that Ship has in its fee, by a job that says nothing of who was in its room."""
    settled(folder, 0, session(5_000), room_sid="RM_0")


def held(provider: str, model: str, connection: int, audio: int, name: str) -> list[Usage]:
    of = {"model": model, "instance_id": name}
    return [
        lasting("stt_connection", provider, connection, **of),
        lasting("stt_audio", provider, audio, **of),
    ]


def test_connections_held_open_where_they_are_billed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates_file(
        tmp_path,
        '[[rate]]\nprovider = "assemblyai"\nmodel = "universal-streaming"\n'
        'meter = "stt_connection"\nprice = "0.15"\nunit = "hour"\n',
        monkeypatch,
    )
    too_much_for_build(tmp_path)
    settled(tmp_path, 1, *held("assemblyai", "universal-streaming", 600, 120, "one"))
    answer = advised()
    [finding] = answer["findings"]
    # Eight hours of silence at $0.15.
    assert (finding["finding"], finding["saving"]) == ("stt_held_open", "1.2")
    assert (finding["disputed"], finding["seconds"]) == (None, "28800")
    assert (finding["jobs"], finding["instances"]) == (1, 1)
    assert finding["examples"] == [{"job_id": "AJ_1", "seconds": "28800"}]
    assert (answer["plan"], answer["exact_total"]) == ("livekit/ship", "51.5")


def test_connections_held_open_where_that_is_disputed(tmp_path: Path) -> None:
    too_much_for_build(tmp_path)
    settled(tmp_path, 1, *held("deepgram", "nova-3", 600, 120, "one"))
    [finding] = advised()["findings"]
    assert (finding["finding"], finding["saving"]) == ("stt_held_open", "0")
    # 480 minutes at $0.0048, if the connection is what is billed.
    assert (finding["disputed"]["basis"], finding["disputed"]["saving"]) == ("connection", "2.304")
    assert "livekit/agents 736" in finding["disputed"]["reason"]
    assert "$0.00 or $2.304 *" in run("advice", "2026-11").stdout


def test_an_agent_alone(tmp_path: Path) -> None:
    usages = [session(6_000), joined(6_000, kind="agent"), joined(30, "2026-11-20T09:30Z")]
    settled(tmp_path, 1, *usages)
    answer = advised()
    # 1,000 minutes past the allowance of 5,000; connections are within theirs.
    assert found(answer) == {"agent_alone": "10"}
    [finding] = answer["findings"]
    assert finding["seconds"] == str(2 * 5_970 * 60)
    assert finding["instances"] == 2
    assert found(advised("--alone-seconds=1801")) == {"agent_alone": "10"}
    assert stated("2026-11")["exact_total"] == answer["exact_total"] == "60"


def test_an_agent_is_not_alone_with_somebody_another_job_pays_for(tmp_path: Path) -> None:
    person = joined(6_000)
    settled(tmp_path, 1, joined(6_000, kind="agent"), person, room_sid="RM_a")
    settled(tmp_path, 2, session(6_000), joined(6_000, kind="agent"), person, room_sid="RM_a")
    assert found(advised()) == {}


def test_nobody_knows_who_was_there(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(6_000))
    assert found(advised()) == {}


def seconds_past(seconds: int, number: int) -> Usage:
    """One session of 45 minutes and some seconds, an hour after another."""
    end = at("2026-11-01T10:00Z") + timedelta(hours=number)
    start = end - timedelta(seconds=45 * 60 + seconds)
    return usage(
        "agent_session",
        "livekit-cloud",
        45 * 60 + seconds,
        started_at=start,
        ended_at=end,
        instance_id=f"session-{seconds}-{number}",
    )


def test_meetings_that_end_seconds_into_a_minute(tmp_path: Path) -> None:
    too_much_for_build(tmp_path)
    settled(tmp_path, 1, *(seconds_past(1, number) for number in range(7)), room_sid="RM_1")
    settled(tmp_path, 2, *(seconds_past(30, number) for number in range(3)), room_sid="RM_2")
    answer = advised()
    # Seven minutes at $0.01; those that used half of it are not counted.
    assert found(answer) == {"ends_seconds_into_an_increment": "0.07"}
    assert found(advised("--minute-seconds=31")) == {"ends_seconds_into_an_increment": "0.1"}


def test_own_workers_pay_no_session_minutes(tmp_path: Path) -> None:
    sessions = [seconds_past(1, number) for number in range(700)]
    settled(tmp_path, 1, *sessions, joined(6_000), hosting="cloud", room_sid="RM_1")
    assert found(advised()) == {}


def test_two_agents_in_one_room(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(5_000), room_sid="RM_a")
    settled(tmp_path, 2, session(300), room_sid="RM_a")
    settled(tmp_path, 3, session(300), room_sid="RM_b")
    answer = advised()
    assert answer["exact_total"] == "56"
    assert found(answer) == {"duplicate_agent": "3"}
    [finding] = answer["findings"]
    assert finding["examples"] == [{"job_id": "AJ_2", "seconds": "18000"}]


def test_the_right_plan_is_no_finding(tmp_path: Path) -> None:
    for day in (28, 29):
        settled(tmp_path, day, session(36_000, f"2026-11-{day}T00:00Z"), room_sid=f"RM_{day}")
    # 72,000 minutes: Ship 50 + 67,000 x 0.01; Scale 500 + 22,000 x 0.01 is as much.
    answer = advised()
    assert (answer["exact_total"], answer["findings"]) == ("720", [])


def test_the_cheapest_plan_that_holds_the_peaks(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(60), joined(60), room_sid="RM_a")
    answer = advised("--plan=livekit/scale")
    # Build would be free: it holds the month and its peaks.
    [finding] = answer["findings"]
    assert (finding["finding"], finding["plan"], finding["saving"]) == (
        "plan_too_large",
        "livekit/build",
        "500",
    )
    assert {one["limit"]: (one["observed"], one["allowed"]) for one in finding["peaks"]} == {
        "concurrent_agents": (1, 5),
        "connections": (1, 100),
        "inference_stt": (0, 5),
    }
    for number in range(2, 8):
        settled(tmp_path, number, session(60), room_sid=f"RM_{number}")
    # Seven at once: Build refuses them.
    [finding] = advised("--plan=livekit/scale")["findings"]
    assert (finding["plan"], finding["saving"]) == ("livekit/ship", "450")


def test_a_plan_too_small(tmp_path: Path) -> None:
    for number in range(4):
        usages = [joined(40_000, f"2026-11-2{number}T00:00Z") for _ in range(10)]
        settled(tmp_path, number, *usages, room_sid=f"RM_{number}")
    # 1,600,000 minutes: Ship 50 + 1,450,000 x 0.0005 = 775; Scale 500 + 100,000 x 0.0004 = 540.
    answer = advised()
    assert answer["exact_total"] == "775"
    [finding] = answer["findings"]
    assert (finding["finding"], finding["plan"]) == ("plan_too_small", "livekit/scale")
    assert Decimal(finding["saving"]) == 775 - 540
    shown = run("advice", "2026-11").stdout
    for expected in ("$235.00", "be on livekit/scale", "connections: 40 of 5000 at most"):
        assert expected in shown


def test_nothing_to_advise(tmp_path: Path) -> None:
    assert advised()["findings"] == []
    assert "nothing was found" in run("advice", "2026-11", "--plan=livekit/build").stdout
    settled(tmp_path, 1, session(1))
    prune(tmp_path, "AJ_1")
    result = run("advice", "2026-11")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "was pruned" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("2026-13",), ("2026-11", "--alone-seconds=0"), ("2026-11", "--timezone=Mars/Phobos")],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run("advice", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
