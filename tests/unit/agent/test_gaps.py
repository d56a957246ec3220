from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.gaps import GapLog, stretches
from agent.segments import Gap


def gap(track: str, start: float, end: float) -> Gap:
    return Gap(speaker=track, name=track, start=start, end=end, track_id=track)


def test_what_touches_is_one_and_tracks_are_apart() -> None:
    log = GapLog()
    for start in range(10):
        log.add(gap("a", start, start + 1.0))
        log.add(gap("b", start + 100.0, start + 101.0))
    log.add(gap("a", 30.0, 31.0))
    assert log.gaps == [gap("a", 0, 10.0), gap("a", 30.0, 31.0), gap("b", 100.0, 110.0)]


_gaps = st.lists(
    st.builds(
        lambda track, start, length: gap(track, start, start + length),
        st.sampled_from("abc"),
        st.floats(0, 100),
        st.floats(0, 10),
    )
)


@given(_gaps)
def test_no_lost_moment_is_left_out_and_stretches_of_a_track_do_not_touch(gaps: list[Gap]) -> None:
    merged = stretches(gaps)
    for lost in gaps:
        assert any(
            one.track_id == lost.track_id and one.start <= lost.start and lost.end <= one.end
            for one in merged
        )
    for track in "abc":
        own = [one for one in merged if one.track_id == track]
        assert all(before.end < after.start for before, after in pairwise(own))
    assert stretches(merged) == merged
    assert [one.start for one in merged] == sorted(one.start for one in merged)
