from __future__ import annotations

import tempfile
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import run as runs
from metering.errors import JournalCorrupt, JournalError
from metering.journal import FORMAT_VERSION, Entry
from metering.run import Run, RunInfo, Status, fold, read_run, scan_run
from metering.usage import Certainty
from tests.unit.metering.samples import (
    START,
    beat,
    closing,
    end,
    info,
    opening,
    usage,
    write_journal,
)

SECOND = 1_000_000
HEAD = info().to_entry()
DATA: dict[str, Any] = {"meter": "downstream_data", "unit": "byte", "clock": False}


def one(run: Run, instance_id: str = "clock") -> Any:
    (found,) = [used for used in run.usages if used.instance_id == instance_id]
    return found


def test_a_complete_run() -> None:
    connection = usage()
    run = fold(
        [
            info(tenant="acme", tags=("a", "b")).to_entry(),
            {"kind": "person", "identity": "alice", "name": "Alice"},
            opening(connection.instance_id),
            beat(30 * SECOND),
            closing(connection, at=60 * SECOND),
            end(61 * SECOND),
        ]
    )
    assert run == Run(
        info=info(tenant="acme", tags=("a", "b")),
        status=Status.COMPLETE,
        ended_at=START + timedelta(seconds=61),
        usages=(connection,),
        people={"alice": "Alice"},
    )


def test_a_failed_run_says_why() -> None:
    run = fold([HEAD, end(0, "failed", "job crashed")])
    assert (run.status, run.error) == (Status.FAILED, "job crashed")


def test_a_killed_clock_ends_at_the_last_heartbeat_and_holds_the_truth_within_bounds() -> None:
    run = fold([HEAD, opening(at=SECOND), beat(2 * SECOND), beat(3_250_000)])
    assert run.status is Status.RECOVERED
    assert run.ended_at == START + timedelta(seconds=3.25)
    clock = one(run)
    assert clock.quantity == clock.quantity_lower == Decimal("2.25")
    assert clock.quantity_upper == Decimal("4.25")
    assert clock.certainty is Certainty.BOUNDED
    assert clock.ended_at == START + timedelta(seconds=3.25)


def test_what_it_had_come_to_before_we_saw_it_counts() -> None:
    run = fold([HEAD, opening(at=SECOND, quantity=Decimal("7.5")), beat(3 * SECOND)])
    assert one(run).quantity == Decimal("9.5")


def test_what_goes_on_without_us_is_partial() -> None:
    run = fold([HEAD, opening(ending="unseen"), beat(5 * SECOND)])
    clock = one(run)
    assert clock.certainty is Certainty.PARTIAL
    assert clock.quantity == clock.quantity_lower == Decimal(5)
    assert clock.quantity_upper is None


def test_a_living_runs_clocks_are_as_far_as_its_last_heartbeat() -> None:
    run = fold([HEAD, opening(), beat(2 * SECOND)], alive=True)
    assert run.status is Status.RUNNING
    clock = one(run)
    assert (clock.quantity, clock.certainty) == (Decimal(2), Certainty.EXACT)
    assert clock.quantity_lower is None


def test_a_run_that_has_ended_is_not_running_though_its_process_is() -> None:
    assert fold([HEAD, end(SECOND)], alive=True).status is Status.COMPLETE


def test_counters_come_from_the_heartbeats() -> None:
    run = fold(
        [HEAD, opening("data", **DATA), beat(SECOND, data="1500"), beat(2 * SECOND, data="9")]
    )
    data = one(run, "data")
    assert data.quantity == data.quantity_lower == Decimal(9)
    assert data.certainty is Certainty.PARTIAL
    assert data.quantity_upper is None


def test_audio_of_a_killed_socket_is_bounded() -> None:
    audio = opening("data", meter="stt_audio", unit="second", clock=False)
    run = fold(
        [HEAD, audio, {"kind": "beat", "at": SECOND, "counts": [["data", "stt_audio", "0.96"]]}]
    )
    sound = one(run, "data")
    assert (sound.quantity, sound.certainty) == (Decimal("0.96"), Certainty.BOUNDED)
    assert sound.quantity_upper == Decimal("2.96")


REQUEST: dict[str, Any] = {
    "meter": "llm_output_tokens",
    "unit": "token",
    "clock": False,
    "quantity": Decimal(0),
    "quantity_lower": Decimal(0),
    "quantity_upper": Decimal(128_000),
    "certainty": Certainty.ESTIMATED,
}


def test_a_request_under_way_is_what_it_can_be_whether_killed_or_alive() -> None:
    entries = [HEAD, opening("run_test/1", **REQUEST), beat(5 * SECOND)]
    for alive in (True, False):
        request = one(fold(entries, alive=alive), "run_test/1")
        assert request.certainty is Certainty.ESTIMATED
        assert (request.quantity_lower, request.quantity_upper) == (Decimal(0), Decimal(128_000))
        assert request.ended_at == START + timedelta(seconds=5)


def test_a_request_that_its_provider_has_named_since_is_one_instance() -> None:
    named = closing(usage(instance_id="openai/req", meter="llm_output_tokens", unit="token"))
    run = fold([HEAD, opening("run_test/1", **REQUEST), named | {"instead_of": "run_test/1"}])
    assert [used.instance_id for used in run.usages] == ["openai/req"]


def test_a_request_that_was_withdrawn_is_none() -> None:
    taken_back = {
        "kind": "withdrawn",
        "at": SECOND,
        "instance_id": "run_test/1",
        "meters": ["llm_output_tokens", "llm_input_tokens"],
    }
    assert fold([HEAD, opening("run_test/1", **REQUEST), taken_back]).usages == ()


def test_the_first_report_of_an_instance_stands() -> None:
    first, second = usage(quantity=Decimal(60)), usage(quantity=Decimal(90))
    run = fold([HEAD, closing(first), closing(second), end(0)])
    assert run.usages == (first,)


def test_one_instance_on_two_meters_is_two_usages() -> None:
    life, sound = usage(meter="stt_connection"), usage(meter="stt_audio")
    assert fold([HEAD, closing(life), closing(sound), end(0)]).usages == (life, sound)


def test_what_was_said_later_of_the_job_is_taken() -> None:
    run = fold(
        [
            info(tenant="acme", title="Weekly").to_entry(),
            {"kind": "describe", "title": "Monthly", "tags": ["x"], "room_sid": "RM_2"},
        ]
    )
    assert run.info == info(tenant="acme", title="Monthly", tags=("x",), room_sid="RM_2")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kind": "beat", "at": "soon"},
        {"kind": "beat", "at": 10**30},
        {"kind": "beat", "at": float("inf")},
        {"kind": "beat", "at": float("nan")},
        {"kind": "beat", "at": None},
        {"kind": "beat", "at": 9 * SECOND, "counts": 7},
        {"kind": "beat", "at": 9 * SECOND, "counts": [["data"]]},
        {"kind": "beat", "at": 9 * SECOND, "counts": [["data", "downstream_data", "NaN"]]},
        {"kind": "beat", "at": 9 * SECOND, "counts": [["data", "downstream_data", "Infinity"]]},
        {"kind": "beat", "at": 9 * SECOND, "counts": [["data", "downstream_data", "-5"]]},
        {"kind": "beat", "at": 9 * SECOND, "counts": [["data", "downstream_data", "1e999999999"]]},
        {"kind": "beat", "at": 9 * SECOND, "counts": [["data", "downstream_data", 5.5]]},
        {"kind": "beat", "at": 9 * SECOND, "counts": [[["data"], "downstream_data", "5"]]},
        {"kind": "open", "at": 9 * SECOND},
        opening("other") | {"ending": "happily"},
        {"kind": "usage", "at": 9 * SECOND, "usage": []},
        {"kind": "usage", "at": 9 * SECOND, "usage": usage().to_json() | {"quantity": "-1"}},
        {"kind": "usage", "at": 9 * SECOND, "usage": usage().to_json() | {"quantity": "NaN"}},
        {"kind": "person", "identity": "alice"},
        {"kind": "describe", "tags": 5},
        {"kind": "withdrawn", "at": 9 * SECOND, "instance_id": "data", "meters": 5},
        {"kind": "withdrawn", "at": 9 * SECOND, "meters": ["downstream_data"]},
        {"kind": "end", "at": 9 * SECOND},
        {"kind": "end", "at": 9 * SECOND, "status": "triumphant"},
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_taken_loses_only_itself(entry: Entry) -> None:
    around = [HEAD, opening(), opening("data", **DATA), beat(2 * SECOND, data="8")]
    run = fold([*around, entry], damaged_lines=1)
    assert run.damaged_lines == 2
    assert run == Run(
        info=info(),
        status=Status.RECOVERED,
        ended_at=START + timedelta(seconds=2),
        usages=fold(around).usages,
        damaged_lines=2,
    )


def test_a_heartbeat_that_counts_what_was_never_opened_still_moves_the_clocks() -> None:
    """The opening line was damaged: that instance is lost, and nothing else."""
    run = fold([HEAD, opening(), beat(2 * SECOND, lost="5")])
    assert one(run).quantity == Decimal(2)
    assert len(run.usages) == 1


def test_an_unknown_kind_is_of_a_newer_minor_version_and_passed_over() -> None:
    run = fold([HEAD, {"kind": "news", "at": 3 * SECOND}])
    assert run.ended_at == START + timedelta(seconds=3)
    assert run.damaged_lines == 0


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no line that can be read"),
        ([beat(1), HEAD], "begins with 'beat', not with its run"),
        ([{}], "begins with None"),
        (
            [HEAD | {"format": FORMAT_VERSION + 1}],
            f"has format {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}",
        ),
        ([{"kind": "run", "format": FORMAT_VERSION}], "head cannot be read: 'run'"),
        ([HEAD | {"run": HEAD["run"] | {"colour": "red"}}], "head cannot be read: .*colour"),
        ([HEAD | {"run": HEAD["run"] | {"started_at": "now"}}], "head cannot be read: .*'now'"),
        ([HEAD | {"run": HEAD["run"] | {"started_at": "2026-11-20"}}], "has no time zone"),
        ([HEAD | {"run": [1]}], "head cannot be read"),
    ],
)
def test_a_journal_that_does_not_say_whose_run_it_is(entries: list[Entry], message: str) -> None:
    with pytest.raises(JournalCorrupt, match=message):
        fold(entries)


def test_a_head_reads_back() -> None:
    full = info(
        dispatch_id="AD_1",
        room_name="straße/../\x1b[31m🦄\n",
        agent_name="transcriber",
        tenant="acme",
        title="Weekly",
        tags=("a", "b"),
        hosting="cloud",
        plan="livekit/ship",
    )
    assert RunInfo.from_entry(full.to_entry()) == full


def test_a_journal_file(tmp_path: Path) -> None:
    path = write_journal(tmp_path, HEAD, opening(), beat(2 * SECOND))
    with path.open("ab") as file:
        file.write(b"torn")
    run = read_run(path)
    assert run.damaged_lines == 1
    assert one(run).quantity == Decimal(2)
    with pytest.raises(JournalError, match="cannot read journal"):
        read_run(tmp_path / "gone.journal")
    path.write_bytes(b"")
    with pytest.raises(JournalCorrupt, match="no line that can be read"):
        read_run(path)


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """A run as the recorder writes it: clocks begin and end between heartbeats a second apart."""
    length = draw(st.integers(1, 12)) * SECOND
    moments: list[tuple[int, Entry]] = [(at, beat(at)) for at in range(SECOND, length + 1, SECOND)]
    for number in range(draw(st.integers(1, 4))):
        begins, ends = sorted(draw(st.tuples(st.integers(0, length), st.integers(0, length))))
        name = f"clock-{number}"
        moments.append((begins, opening(name, at=begins)))
        closed = usage(
            instance_id=name,
            quantity=Decimal(ends - begins).scaleb(-6),
            started_at=START + timedelta(microseconds=begins),
            ended_at=START + timedelta(microseconds=ends),
        )
        moments.append((ends, closing(closed, at=ends)))
    moments.sort(key=lambda moment: moment[0])
    return [HEAD, *(entry for _, entry in moments), end(length)]


@given(histories(), st.data())
def test_what_stays_in_the_file_is_what_is_folded(
    entries: list[Entry], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(entries)))
    held = data.draw(st.sampled_from([0, 1, 1000]))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_HELD_USAGES", held)
        path = write_journal(Path(folder), *entries[:cut])
        with path.open("ab") as file:
            file.write(b"torn")
        scanned, folded = scan_run(path), read_run(path)
        # Gone through twice: a store that first looks who is in it reads it again.
        assert tuple(scanned.usages) == folded.usages
        assert tuple(scanned.usages) == folded.usages
    participants = frozenset(used.participant for used in folded.usages if used.participant)
    assert scanned.participants == participants
    told = {field.name for field in fields(folded)} - {"usages", "participants"}
    assert {name: getattr(scanned, name) for name in told} == {
        name: getattr(folded, name) for name in told
    }


def test_a_long_journal_that_has_gone_when_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_HELD_USAGES", 0)
    path = write_journal(tmp_path, HEAD, closing(usage()), end(0))
    scanned = scan_run(path)
    path.unlink()
    with pytest.raises(JournalError, match="cannot read journal"):
        tuple(scanned.usages)
    with pytest.raises(JournalError, match="cannot read journal"):
        scan_run(path)


@given(histories(), st.data())
def test_killed_anywhere_a_clock_loses_less_than_a_heartbeat(
    entries: list[Entry], data: st.DataObject
) -> None:
    """What is in a prefix is what a kill right after it leaves.

    The kill comes before the next line was due, so that nobody's clock can have run longer than
    until then, and the next line is at most a heartbeat away.
    """
    whole = {used.instance_id: used for used in fold(entries).usages}
    cut = data.draw(st.integers(1, len(entries)))
    killed = fold(entries[:cut])
    killed_at = entries[min(cut, len(entries) - 1)]["at"]
    for used in killed.usages:
        full = whole[used.instance_id]
        assert used.quantity <= full.quantity
        if used.certainty is Certainty.BOUNDED:
            begun_us = (used.started_at - START) // timedelta(microseconds=1)
            # Stamps are kept to the millisecond, so the opening is known to one.
            true = Decimal(killed_at - begun_us).scaleb(-6)
            assert true - used.quantity <= Decimal("1.001")
            assert used.quantity_lower is not None
            assert used.quantity_upper is not None
            assert used.quantity_lower <= true
            assert true <= used.quantity_upper
        else:
            assert used == full


@given(histories(), st.data())
def test_a_line_written_twice_counts_once(entries: list[Entry], data: st.DataObject) -> None:
    """A disk that was full for a moment can repeat a line; see the journal's tests."""
    again = data.draw(st.integers(1, len(entries) - 1))
    assert fold([*entries[: again + 1], *entries[again:]]) == fold(entries)


@given(histories(), st.data())
def test_any_lost_line_but_the_head_costs_only_itself(
    entries: list[Entry], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(1, len(entries) - 1))
    run = fold(entries[:lost] + entries[lost + 1 :])
    whole = fold(entries)
    assert {used.instance_id for used in run.usages} == {used.instance_id for used in whole.usages}
    changed = [used for used in whole.usages if used not in run.usages]
    assert len(changed) <= 1
