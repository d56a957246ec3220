from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering.clock import RunClock
from metering.errors import UsageError
from metering.run import Ending
from metering.usage import Certainty
from tests.recording import Recording
from tests.unit.metering.samples import usage

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class Time:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.ns = 0

    def pass_by(self, seconds: float) -> None:
        self.ns += round(seconds * 10**9)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def recording(time: Time) -> Recording:
    return Recording(RunClock(wall=lambda: NINE, monotonic_ns=lambda: time.ns))


def kinds(recording: Recording) -> list[str]:
    return [entry["kind"] for entry in recording.entries]


def test_a_clock_counts_from_its_opening_to_its_close(time: Time, recording: Recording) -> None:
    time.pass_by(1)
    opened = recording.recorder.open(instance_id="a", meter="agent_session", provider="self-hosted")
    time.pass_by(2.5)
    assert opened.quantity == Decimal("2.5")
    opened.close()
    (session,) = recording.usages("agent_session")
    assert session.quantity == Decimal("2.5")
    assert session.unit == "second"
    assert session.started_at == NINE + timedelta(seconds=1)
    assert session.ended_at == NINE + timedelta(seconds=3.5)
    assert session.certainty is Certainty.EXACT


def test_it_stands_in_the_journal_from_its_start(recording: Recording) -> None:
    recording.recorder.open(
        instance_id="a", meter="agent_session", provider="self-hosted", ending=Ending.UNSEEN
    )
    assert kinds(recording) == ["run", "open"]
    assert recording.entries[1]["ending"] == "unseen"
    (killed,) = recording.run().usages
    assert killed.instance_id == "a"


def test_what_came_before_we_saw_it_is_added(time: Time, recording: Recording) -> None:
    time.pass_by(10)
    opened = recording.recorder.open(
        instance_id="a",
        meter="participant_connection",
        provider="self-hosted",
        started_at=NINE + timedelta(seconds=4),
        already=Decimal(6),
    )
    time.pass_by(1)
    opened.close()
    (connection,) = recording.usages("participant_connection")
    assert connection.quantity == Decimal(7)
    assert connection.started_at == NINE + timedelta(seconds=4)


def test_a_start_in_the_future_is_now(time: Time, recording: Recording) -> None:
    opened = recording.recorder.open(
        instance_id="a",
        meter="agent_session",
        provider="self-hosted",
        started_at=NINE + timedelta(hours=1),
    )
    assert opened.usage.started_at == NINE


def test_a_counter_counts_what_is_added_in_the_meters_unit(recording: Recording) -> None:
    sound = recording.recorder.open(
        instance_id="a", meter="stt_audio", provider="p", is_clock=False, counts_per_unit=32_000
    )
    for count in (16_000, 8_000, 0, -5_000):
        sound.add(count)
    assert sound.quantity == Decimal("0.75")
    (beat,) = recording.recorder.beat()
    assert beat["counts"] == [["a", "stt_audio", "0.75"]]
    sound.close(provider_stated=Decimal("0.8"), provider_ref="req")
    (beat,) = recording.recorder.beat()
    assert beat["counts"] == []
    (measured,) = recording.usages("stt_audio")
    assert measured.quantity == Decimal("0.75")
    assert measured.provider_stated == Decimal("0.8")
    assert measured.provider_ref == "req"


def test_a_heartbeat_says_how_far_the_clocks_have_come(time: Time, recording: Recording) -> None:
    recording.recorder.open(instance_id="a", meter="agent_session", provider="self-hosted")
    time.pass_by(1.25)
    assert list(recording.recorder.beat()) == [{"kind": "beat", "at": 1_250_000, "counts": []}]


def test_it_is_closed_once(time: Time, recording: Recording) -> None:
    opened = recording.recorder.open(instance_id="a", meter="agent_session", provider="self-hosted")
    time.pass_by(1)
    opened.close()
    time.pass_by(1)
    opened.close()
    recording.recorder.close_all()
    assert kinds(recording) == ["run", "open", "usage"]


def test_a_partial_close_is_a_lower_bound(time: Time, recording: Recording) -> None:
    opened = recording.recorder.open(
        instance_id="a", meter="participant_connection", provider="self-hosted"
    )
    time.pass_by(3)
    opened.close(certainty=Certainty.PARTIAL)
    (connection,) = recording.usages("participant_connection")
    assert connection.quantity == connection.quantity_lower == Decimal(3)


def test_it_ends_no_earlier_than_it_began(recording: Recording) -> None:
    opened = recording.recorder.open(instance_id="a", meter="agent_session", provider="self-hosted")
    opened.close(ended_at=NINE - timedelta(seconds=5))
    (session,) = recording.usages("agent_session")
    assert session.ended_at == session.started_at == NINE


def test_what_its_meter_leaves_open_is_closed_at_the_end(recording: Recording) -> None:
    for name in ("a", "b"):
        recording.recorder.open(instance_id=name, meter="agent_session", provider="self-hosted")
    recording.recorder.close_all()
    assert kinds(recording) == ["run", "open", "open", "usage", "usage"]


def test_one_instance_may_be_open_on_two_meters(recording: Recording) -> None:
    life = recording.recorder.open(instance_id="a", meter="stt_connection", provider="p")
    sound = recording.recorder.open(
        instance_id="a", meter="stt_audio", provider="p", is_clock=False
    )
    sound.add(7)
    life.close()
    (beat,) = recording.recorder.beat()
    assert beat["counts"] == [["a", "stt_audio", "7"]]


def test_a_meter_that_is_not_known(recording: Recording) -> None:
    with pytest.raises(KeyError, match="stt_minutes"):
        recording.recorder.open(instance_id="a", meter="stt_minutes", provider="p")


def test_instance_ids(recording: Recording) -> None:
    recorder = recording.recorder
    assert recorder.instance_id("deepgram", "req-1") == "deepgram/req-1"
    assert recorder.instance_id("deepgram", None) == "run_test/1"
    assert recorder.instance_id("deepgram", "") == "run_test/2"


def test_a_person_is_named_once_until_renamed(recording: Recording) -> None:
    for name in ("Alice", "Alice", "Dr. Alice", "Dr. Alice"):
        recording.recorder.person("alice", name)
    assert kinds(recording) == ["run", "person", "person"]
    assert recording.run().people == {"alice": "Dr. Alice"}


def test_what_is_complete_is_written_at_once(recording: Recording) -> None:
    recording.recorder.record(usage())
    assert recording.run().usages == (usage(),)


def test_what_is_said_later_of_the_job(recording: Recording) -> None:
    recording.recorder.describe(title="Weekly", tags=["a"])
    assert recording.run().info.title == "Weekly"
    assert recording.run().info.tags == ("a",)


def test_a_refusal_names_the_figure_only(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    recording.recorder.refuse("stt_audio", UsageError("stt_audio: quantity -1 is negative"))
    assert caplog.messages == ["measurement refused: stt_audio: quantity -1 is negative"]
    assert kinds(recording) == ["run"]


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_stepped_wall_clock_changes_no_measurement(time: Time, step: timedelta) -> None:
    wall: list[datetime] = [NINE]
    now: Callable[[], datetime] = lambda: wall[0]  # noqa: E731
    recording = Recording(RunClock(wall=now, monotonic_ns=lambda: time.ns))
    opened = recording.recorder.open(instance_id="a", meter="agent_session", provider="self-hosted")
    wall[0] += step
    time.pass_by(2)
    opened.close()
    (session,) = recording.usages("agent_session")
    assert session.quantity == Decimal(2)
    assert session.ended_at - session.started_at == timedelta(seconds=2)
