"""Usage without what could have been avoided: which quantities change, and which never do."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.billing.avoidable import (
    Avoided,
    DuplicateSweep,
    ended_before_the_next,
    gaps,
    presence_of,
    without_duplicate,
    without_silence,
    without_time_alone,
)
from metering.usage import Certainty, Usage
from tests.unit.metering.pricing.builders import START, usage

MINUTE = timedelta(minutes=1)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def stay(meter: str, begin: float, end: float, **fields: object) -> Usage:
    """Time in a room, in minutes after the start."""
    return usage(
        meter,
        "livekit-cloud",
        Decimal(round((end - begin) * 60)),
        started_at=after(begin),
        ended_at=after(end),
        **fields,
    )


def stt(connection: str, audio: str | None, **fields: object) -> list[Usage]:
    """A connection, and what was sent through it."""
    made = [usage("stt_connection", "assemblyai", connection, instance_id="c", **fields)]
    if audio is not None:
        made.append(usage("stt_audio", "assemblyai", audio, instance_id="c"))
    return made


def quantities(avoided: Avoided | None) -> list[Decimal]:
    assert avoided is not None
    return [one.quantity for one in avoided.usages]


class TestSilence:
    def test_a_connection_is_as_long_as_its_audio(self) -> None:
        avoided = without_silence(stt("100.5", "30.25"))
        assert quantities(avoided) == [Decimal("30.25"), Decimal("30.25")]
        assert avoided is not None
        assert (avoided.instances, avoided.seconds) == (1, Decimal("70.25"))

    @pytest.mark.parametrize(
        "usages",
        [
            stt("30", "30"),
            stt("30", "30.1"),
            stt("30", None),
            stt("100", "30", certainty=Certainty.ESTIMATED),
            [stt("100", None)[0], usage("stt_audio", "assemblyai", 1, instance_id="other")],
        ],
    )
    def test_what_has_none_or_is_not_known_stays(self, usages: list[Usage]) -> None:
        assert without_silence(usages) is None


class TestAlone:
    agent = stay("agent_session", 0, 60)
    own = stay("participant_connection", 0, 60, attributes={"kind": "agent"})
    person = stay("participant_connection", 5, 30, attributes={"kind": "webrtc"})

    def test_before_between_and_after(self) -> None:
        there = [(after(5), after(20)), (after(15), after(30)), (after(40), after(50))]
        avoided = without_time_alone([self.agent, self.own, self.person], there, MINUTE)
        assert avoided is not None
        # 5 to 30 and 40 to 50, as two stays; the person's own time is nobody's waste.
        assert [(one.meter, int(one.quantity)) for one in avoided.usages] == [
            ("agent_session", 1500),
            ("agent_session", 600),
            ("participant_connection", 1500),
            ("participant_connection", 600),
            ("participant_connection", 1500),
        ]
        assert (avoided.instances, int(avoided.seconds)) == (2, 2 * 25 * 60)
        assert len({one.instance_id for one in avoided.usages}) == 5
        assert {one.ended_at for one in avoided.usages} == {after(60), after(30)}

    def test_nobody_ever_came(self) -> None:
        avoided = without_time_alone([self.agent], [], MINUTE)
        assert avoided == Avoided([], 1, Decimal(3600))

    def test_shorter_stretches_stay(self) -> None:
        there = [(after(0.9), after(30)), (after(30.9), after(59.1))]
        assert without_time_alone([self.agent], there, MINUTE) is None

    def test_nobody_looked(self) -> None:
        span = (after(0), after(1))
        assert presence_of([]) is None
        assert presence_of([("agent", span), ("egress", span)]) == []
        assert presence_of([("agent", span), ("sip", span), ("", span)]) == [span, span]

    @given(
        st.lists(st.tuples(st.integers(-20, 80), st.integers(0, 40)), max_size=6),
        st.integers(1, 10),
    )
    def test_gaps_and_presence_never_overlap(
        self, stays: list[tuple[int, int]], at_least: int
    ) -> None:
        there = sorted((after(begin), after(begin + length)) for begin, length in stays)
        whole = after(0), after(60)
        found = gaps(whole, there, at_least * MINUTE)
        for begin, end in found:
            assert whole[0] <= begin <= end <= whole[1]
            assert end - begin >= at_least * MINUTE
            assert all(until <= begin or start >= end for start, until in there)
        alone = [
            minute
            for minute in range(60)
            if not any(start < after(minute + 1) and end > after(minute) for start, end in there)
        ]
        if at_least == 1:
            found_minutes = sum(((end - begin) // MINUTE for begin, end in found), 0)
            assert found_minutes == len(alone)


class TestTheNextMinute:
    @pytest.mark.parametrize(
        ("seconds", "left"),
        [("2701", 2700), ("2709.999", 2700), ("60.001", 60)],
    )
    def test_as_if_it_had_ended_before(self, seconds: str, left: int) -> None:
        session = usage("agent_session", "livekit-cloud", seconds)
        avoided = ended_before_the_next([session], lambda _: Decimal(60), Decimal(10))
        assert quantities(avoided) == [left]

    @pytest.mark.parametrize("seconds", ["2700", "2710", "2759", "9", "0"])
    def test_what_is_used_or_was_never_longer(self, seconds: str) -> None:
        session = usage("agent_session", "livekit-cloud", seconds)
        assert ended_before_the_next([session], lambda _: Decimal(60), Decimal(10)) is None

    @pytest.mark.parametrize("increment", [None, Decimal(1), Decimal(10)])
    def test_only_what_is_rounded_up(self, increment: Decimal | None) -> None:
        session = usage("agent_session", "livekit-cloud", 61)
        assert ended_before_the_next([session], lambda _: increment, Decimal(10)) is None

    def test_only_time_in_rooms(self) -> None:
        speech = usage("stt_connection", "livekit", 61)
        assert ended_before_the_next([speech], lambda _: Decimal(60), Decimal(10)) is None


class TestDuplicates:
    def test_the_later_one_while_the_earlier_is_there(self) -> None:
        sweep = DuplicateSweep(MINUTE)
        room = ("RM_1", "transcriber")
        sweep.see(room, "AJ_1", after(0), after(30))
        sweep.see(room, "AJ_2", after(10), after(40))
        sweep.see(room, "AJ_3", after(35), after(50))
        sweep.see(room, "AJ_4", after(50), after(60))
        assert sweep.spans == {
            "AJ_2": [(after(10), after(30))],
            "AJ_3": [(after(35), after(40))],
        }

    def test_what_is_none(self) -> None:
        sweep = DuplicateSweep(MINUTE)
        sweep.see(("RM_1", "a"), "AJ_1", after(0), after(30))
        # The same job's next run, a handover, another agent, another room.
        sweep.see(("RM_1", "a"), "AJ_1", after(5), after(31))
        sweep.see(("RM_1", "a"), "AJ_2", after(30.5), after(60))
        sweep.see(("RM_1", "b"), "AJ_3", after(0), after(60))
        sweep.see(("RM_2", "b"), "AJ_4", after(0), after(60))
        assert sweep.spans == {}

    def test_what_it_did_goes_and_others_stay(self) -> None:
        usages = [
            stay("agent_session", 0, 30),
            stay("participant_connection", 0, 30, attributes={"kind": "agent"}),
            stay("participant_connection", 12, 30, attributes={"kind": "agent"}),
            stay("participant_connection", 0, 30, attributes={"kind": "webrtc"}),
            stay("stt_audio", 11, 12),
            stay("stt_audio", 9, 12),
        ]
        avoided = without_duplicate(usages, [(after(10), after(30))])
        assert quantities(avoided) == [600, 600, 1080, 1800, 180]
        assert avoided is not None
        assert (avoided.instances, int(avoided.seconds)) == (3, 2 * 1200 + 60)
