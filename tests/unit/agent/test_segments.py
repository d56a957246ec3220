from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from agent.segments import Segment, in_order
from tests.unit.agent.builders import meeting, segment


def test_overlaps_are_in_the_order_in_which_they_began() -> None:
    long = segment(segment_id="SG_long", start=1.0, end=9.0)
    short = segment(segment_id="SG_short", start=1.0, end=2.0, speaker="bob")
    inside = segment(segment_id="SG_inside", start=3.0, end=4.0, speaker="carol")
    assert in_order([inside, long, short]) == [short, long, inside]


few = st.sampled_from([0.0, 1.0, 2.5])
segments = st.lists(
    st.builds(
        segment,
        segment_id=st.uuids().map(str),
        speaker=st.sampled_from(["alice", "bob"]),
        start=few,
        end=few,
    ),
    max_size=8,
)


@given(segments, st.randoms())
def test_the_order_does_not_depend_on_how_they_came(said: list[Segment], random: Random) -> None:
    shuffled = list(said)
    random.shuffle(shuffled)
    assert in_order(shuffled) == in_order(said)
    assert sorted(item.segment_id for item in in_order(said)) == sorted(
        item.segment_id for item in said
    )


def test_the_meeting_clock_in_utc() -> None:
    assert meeting().stamp(0.75) == datetime(2026, 11, 20, 9, 30, 16, tzinfo=UTC)
    east = timezone(timedelta(hours=2))
    began = datetime(2026, 11, 20, 11, 0, tzinfo=east)
    assert meeting(started_at=began).stamp(60) == datetime(2026, 11, 20, 9, 1, tzinfo=UTC)
