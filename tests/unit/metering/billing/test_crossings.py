"""From how many meetings the next plan is cheaper: exact at the boundary, whatever the meetings."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.billing.comparison import Quote, cheaper_from
from metering.billing.pattern import MeetingPattern
from metering.pricing import load_catalog
from tests.unit.metering.pricing.builders import START

from .builders import plan


def quote(pattern: MeetingPattern, plan_id: str, hosting: str) -> Quote:
    return Quote.of(pattern, load_catalog(), plan(plan_id), hosting, START)


@given(
    seconds=st.integers(1, 4 * 3600),
    people=st.integers(0, 50),
    agents=st.integers(1, 3),
    hosting=st.sampled_from(["cloud", "cloud-agents"]),
)
@settings(max_examples=30, deadline=None)
def test_one_meeting_less_and_it_is_not(
    seconds: int, people: int, agents: int, hosting: str
) -> None:
    pattern = MeetingPattern(meetings=1, seconds=Decimal(seconds), people=people, agents=agents)
    ship, scale = (quote(pattern, name, hosting) for name in ("livekit/ship", "livekit/scale"))
    from_here = cheaper_from(ship, scale).meetings
    assert from_here is not None
    for meetings, cheaper in ((from_here, True), (from_here - 1, False), (2 * from_here, True)):
        ours, theirs = ship.bill(meetings).exact_total, scale.bill(meetings).exact_total
        assert (theirs < ours) is cheaper
