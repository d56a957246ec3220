"""What each turn cost: attributed by time and person, and nothing of the record lost on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.cli import app
from agent.segments import Segment, Transcript
from agent.timeline import Answered, Cost, Entry, Kind, Timeline, timeline
from metering.billing.instance_costs import instance_costs
from metering.billing.sharing import add_up
from metering.pricing import load_catalog
from metering.usage import Usage
from tests.unit.agent.builders import meeting, segment, transcript
from tests.unit.agent.meetings import keep_meeting
from tests.unit.metering.billing.test_instance_costs import record_of
from tests.unit.metering.old import OLD, journal_of, old_run, old_usage
from tests.unit.metering.pricing.builders import connection, request, usage
from tests.unit.metering.test_settings import VARIABLES

BEGAN = meeting().started_at
STT_SECOND = Decimal("0.00008")
"""What Deepgram's nova-3 costs, by the catalog."""


def heard(start: float, end: float, *, by: str | None = "alice", **fields: Any) -> Usage:
    """Somebody's audio sent to Deepgram, on the meeting's clock."""
    values: dict[str, Any] = {
        "model": "nova-3",
        "participant": by,
        "purpose": "captions",
        "started_at": BEGAN + timedelta(seconds=start),
        "ended_at": BEGAN + timedelta(seconds=end),
    }
    seconds = Decimal(str(end)) - Decimal(str(start))
    return usage("stt_audio", "deepgram", seconds, **values | fields)


def asked(
    purpose: str, start: float, end: float, instance_id: str, by: str | None = None
) -> list[Usage]:
    """A request to an LLM of 1000 tokens, on the meeting's clock."""
    return [
        Usage(
            **{
                **{name: getattr(one, name) for name in ("instance_id", "meter", "provider")},
                **{name: getattr(one, name) for name in ("quantity", "unit", "model")},
                "purpose": purpose,
                "participant": by,
                "started_at": BEGAN + timedelta(seconds=start),
                "ended_at": BEGAN + timedelta(seconds=end),
            }
        )
        for one in request(instance_id, input=1000)
    ]


def told(
    usages: Sequence[Usage],
    said: Transcript | None = None,
    answered: Sequence[Answered] = (),
) -> Timeline:
    costs = instance_costs(record_of(usages), load_catalog())
    return timeline(costs, said, answered)


def cost_of(entry: Entry) -> Decimal:
    return add_up([cost.list_cost for cost in entry.costs if cost.list_cost is not None])


def spoken(*segments: Segment) -> Transcript:
    return transcript(segments)


def test_a_connection_is_shared_by_the_seconds_that_were_spoken_through_it() -> None:
    said = spoken(
        segment(segment_id="SG_1", start=1.0, end=4.0),
        segment(segment_id="SG_2", start=5.0, end=6.0),
        segment(segment_id="SG_3", speaker="bob", name="Bob", start=2.0, end=6.0),
    )
    found = told([heard(1, 9), heard(2, 6, by="bob")], said)
    assert [(one.segment_id, one.text is not None, cost_of(one)) for one in found.entries] == [
        ("SG_1", True, 6 * STT_SECOND),
        ("SG_3", True, 4 * STT_SECOND),
        ("SG_2", True, 2 * STT_SECOND),
    ]
    assert found.rest == []


def test_a_turn_heard_through_two_connections_costs_its_part_of_each() -> None:
    said = spoken(segment(segment_id="SG_1", start=0.0, end=10.0))
    found = told([heard(0, 4), heard(5, 10)], said)
    (turn,) = found.entries
    assert [cost.list_cost for cost in turn.costs] == [4 * STT_SECOND, 5 * STT_SECOND]


def test_what_a_model_hears_after_the_fact_goes_to_the_last_turn_before() -> None:
    said = spoken(
        segment(segment_id="SG_1", start=1.0, end=2.0),
        segment(segment_id="SG_2", start=4.0, end=5.0),
        segment(segment_id="SG_3", start=20.0, end=21.0),
    )
    found = told([heard(9, 10)], said)
    assert [cost_of(one) for one in found.entries] == [0, STT_SECOND, 0]


def test_what_was_sent_and_never_became_words_belongs_to_no_turn() -> None:
    said = spoken(segment(start=1.0, end=2.0))
    found = told([heard(100, 101), heard(1, 2, by="bob"), heard(1, 2, by=None)], said)
    assert cost_of(found.entries[0]) == 0
    assert [cost.list_cost for cost in found.rest] == [STT_SECOND] * 3


def test_the_room_belongs_to_no_turn() -> None:
    found = told([connection(30, participant="alice"), heard(1, 2)], spoken(segment()))
    (cost,) = found.rest
    assert cost.charge.meter == "participant_connection"
    assert cost.list_cost is not None
    assert cost.list_cost > 0


def test_who_is_forgotten_has_turns_that_cost_and_no_words() -> None:
    said = spoken(
        segment(speaker="forgotten", name="", text="[forgotten]", start=1.0, end=2.0),
        segment(segment_id="SG_2", speaker="bob", start=1.0, end=2.0),
    )
    found = told([heard(1, 2, by="person_12ab"), heard(1, 2, by="bob")], said)
    forgotten, bob = found.entries
    assert (forgotten.text, cost_of(forgotten)) == (None, STT_SECOND)
    assert (bob.text, cost_of(bob)) == ("Good morning.", STT_SECOND)


def test_what_has_no_price_is_unrated_in_each_turn_and_never_0() -> None:
    said = spoken(segment(segment_id="SG_1", start=1.0, end=2.0), segment(start=3.0, end=4.0))
    unknown = usage(
        "stt_audio",
        "nobody",
        3,
        participant="alice",
        purpose="captions",
        started_at=BEGAN + timedelta(seconds=1),
        ended_at=BEGAN + timedelta(seconds=4),
    )
    found = told([unknown], said)
    assert [[cost.list_cost for cost in one.costs] for one in found.entries] == [[None], [None]]


def test_an_answer_is_what_was_asked_of_the_models_for_it() -> None:
    voice = usage(
        "tts_characters",
        "openai",
        100,
        model="tts-1",
        purpose="voice",
        participant="bob",
        started_at=BEGAN + timedelta(seconds=32),
        ended_at=BEGAN + timedelta(seconds=36),
    )
    found = told(
        [
            *asked("answers", 30, 31, "r1", by="bob"),
            voice,
            *asked("answers", 33, 34, "r2", by="alice"),
            *asked("answers", 90, 91, "r3", by="bob"),
            *asked("notes", 60, 62, "n1"),
            *asked("notes", 62, 63, "n2"),
        ]
    )
    shown = [(one.kind, one.participant, len(one.costs), one.text) for one in found.entries]
    assert shown == [
        (Kind.ANSWER, "bob", 2, None),
        (Kind.ANSWER, "alice", 1, None),
        (Kind.NOTES, None, 1, None),
        (Kind.NOTES, None, 1, None),
        (Kind.ANSWER, "bob", 1, None),
    ]
    assert found.entries[0].ended_at == BEGAN + timedelta(seconds=36)
    assert found.rest == []


def test_an_answer_that_was_kept_has_its_words() -> None:
    kept = Answered(
        "bob",
        "Bob",
        "Twelve thousand.",
        BEGAN + timedelta(seconds=29),
        BEGAN + timedelta(seconds=32),
    )
    found = told(asked("answers", 30, 31, "r1", by="bob"), answered=[kept])
    (answer,) = found.entries
    assert (answer.name, answer.text, len(answer.costs)) == ("Bob", "Twelve thousand.", 1)
    assert answer.ended_at == kept.answered_at


def test_questions_that_waited_for_each_other_have_each_their_own_costs() -> None:
    """Asked one right after the other, answered one after the other."""
    kept = [
        Answered("bob", "Bob", text, BEGAN + timedelta(seconds=at), BEGAN + timedelta(seconds=end))
        for text, at, end in (("one", 30.0, 33.0), ("two", 30.2, 36.0), ("three", 30.4, 39.0))
    ]
    asks = [
        one
        for number, start in enumerate((31, 34, 37))
        for one in asked("answers", start, start + 1, f"r{number}", by="bob")
    ]
    found = told(asks, answered=kept)
    assert [(one.text, len(one.costs)) for one in found.entries] == [
        ("one", 1),
        ("two", 1),
        ("three", 1),
    ]


times = st.floats(0, 300, allow_nan=False).map(lambda one: round(one, 3))
people = st.sampled_from(["alice", "bob", "person_1", None])


@st.composite
def meetings(draw: st.DrawFn) -> tuple[list[Segment], list[Usage]]:
    segments = [
        segment(
            segment_id=f"SG_{number}",
            speaker=draw(st.sampled_from(["alice", "bob", "forgotten"])),
            start=start,
            end=round(start + draw(st.floats(0, 30)), 3),
        )
        for number, start in enumerate(draw(st.lists(times, max_size=8)))
    ]
    usages: list[Usage] = []
    for number, start in enumerate(draw(st.lists(times, max_size=12))):
        end = round(start + draw(st.floats(0, 60)), 3)
        by, instance_id = draw(people), f"i{number}"
        kind = draw(st.sampled_from(["captions", "room", "answers", "notes", "unknown", "other"]))
        if kind == "captions":
            usages.append(heard(start, end, by=by, instance_id=instance_id))
        elif kind == "unknown":
            usages.append(heard(start, end, by=by, instance_id=instance_id, model="?"))
        elif kind == "room":
            usages.append(connection(Decimal(str(end)), instance_id=instance_id))
        else:
            usages += asked(kind, start, end, instance_id, by=by)
    return segments, usages


@settings(max_examples=80, deadline=None)
@given(meetings())
def test_all_of_it_adds_up_to_the_record(drawn: tuple[list[Segment], list[Usage]]) -> None:
    segments, usages = drawn
    record = record_of(usages)
    costs = instance_costs(record, load_catalog())
    found = timeline(costs, spoken(*segments))
    parts: list[Cost] = [*found.rest, *(cost for one in found.entries for cost in one.costs)]
    assert add_up([one.list_cost for one in parts if one.list_cost is not None]) == record.list_cost
    for charge in record.charges:
        if charge.state == "priced":
            its = [one.list_cost for one in parts if one.charge is charge]
            assert add_up([one for one in its if one is not None]) == charge.list_cost
    unrated = {one.charge.meter for one in parts if one.list_cost is None}
    assert unrated == {one.meter for one in record.unrated}
    begins = [one.started_at for one in found.entries]
    assert begins == sorted(begins)
    assert {one.segment_id for one in found.entries if one.kind is Kind.TURN} == {
        one.segment_id for one in segments
    }


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(tmp_path))
    audio = {
        "meter": "stt_audio",
        "provider": "deepgram",
        "model": "nova-3",
        "purpose": "captions",
        "participant": "alice",
        "quantity": Decimal(9),
        "started_at": OLD + timedelta(seconds=1),
        "ended_at": OLD + timedelta(seconds=10),
    }
    run = old_run(
        old_usage(instance_id="room"),
        old_usage(instance_id="stt", **audio),
        old_usage(instance_id="odd", **audio | {"provider": "nobody", "participant": None}),
        hosting="self",
    )
    journal_of(run, tmp_path / "journals")
    said = [
        segment(segment_id="SG_1", start=1.0, end=3.0, text="One\x1b[31m."),
        segment(segment_id="SG_2", start=4.0, end=5.0, text="Two."),
    ]
    keep_meeting(tmp_path, said, job_id="AJ_test", started_at=OLD)
    called("recover")
    return tmp_path


def called(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_as_people_see_it(data: Path) -> None:
    assert called("timeline", "AJ_test") == (
        "00:00:01  $0.00048  Alice: One[31m.\n"
        "00:00:04  $0.00024  Alice: Two.\n"
        "          $0.00  participant_connection self-hosted\n"
        "          unrated: stt_audio nobody/nova-3  stt_audio nobody/nova-3, captions:"
        " nobody's words\n"
        "all       $0.00072 + unrated: stt_audio nobody/nova-3\n"
    )


def test_as_json_it_adds_up(data: Path) -> None:
    shown = json.loads(called("timeline", "AJ_test", "--json"))
    record = json.loads(called("show", "AJ_test", "--json"))
    assert [one["list_cost"] for one in shown["entries"]] == ["0.00048", "0.00024"]
    assert [(one["list_cost"], one["unrated"]) for one in shown["rest"]] == [
        ("0", []),
        (None, ["stt_audio nobody/nova-3"]),
    ]
    every = [*shown["entries"], *shown["rest"]]
    priced = [Decimal(one["list_cost"]) for one in every if one["list_cost"] is not None]
    assert add_up(priced) == Decimal(record["list_cost"]) == Decimal(shown["list_cost"])
    assert shown["unrated"] == record["unrated"]
    assert shown["entries"][0] == {
        "kind": "turn",
        "started_at": "2025-03-31T23:58:01.000Z",
        "ended_at": "2025-03-31T23:58:03.000Z",
        "participant": "alice",
        "name": "Alice",
        "text": "One\x1b[31m.",
        "segment_id": "SG_1",
        "list_cost": "0.00048",
        "by_currency": {"USD": "0.00048"},
        "unrated": [],
        "costs": [
            {
                "meter": "stt_audio",
                "provider": "deepgram",
                "model": "nova-3",
                "purpose": "captions",
                "list_cost": "0.00048",
                "currency": "USD",
            }
        ],
    }


def test_of_a_forgotten_meeting_the_money_stays(data: Path) -> None:
    called("forget", "meeting", "AJ_test", "--yes")
    shown = called("timeline", "AJ_test")
    assert "Alice" not in shown
    assert "no transcript of this meeting is kept here" in shown
    assert shown.endswith("all       $0.00072 + unrated: stt_audio nobody/nova-3\n")


def test_of_a_forgotten_person_the_turns_stay(data: Path) -> None:
    called("forget", "person", "alice", "--yes")
    assert called("timeline", "AJ_test").startswith(
        "00:00:01  $0.00048  forgotten: [words not kept]\n"
        "00:00:04  $0.00024  forgotten: [words not kept]\n"
    )


def test_no_such_job(data: Path) -> None:
    result = CliRunner().invoke(app, ["timeline", "AJ_none"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no job 'AJ_none'" in result.stderr
