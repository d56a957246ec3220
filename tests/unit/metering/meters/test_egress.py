"""Recordings by what LiveKit says of them."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from livekit.protocol.egress import (
    EgressInfo,
    EgressStatus,
    RoomCompositeEgressRequest,
    TrackEgressRequest,
)

from metering.meters.egress import EgressMeter
from metering.usage import Certainty
from tests.recording import Recording

STARTED = time.time_ns() - 90 * 10**9


def info(
    status: EgressStatus, *, ended_after_ns: int = 0, track: TrackEgressRequest | None = None
) -> EgressInfo:
    return EgressInfo(
        egress_id="EG_1",
        status=status,
        started_at=0 if status == EgressStatus.EGRESS_STARTING else STARTED,
        ended_at=STARTED + ended_after_ns if ended_after_ns else 0,
        room_composite=None if track else RoomCompositeEgressRequest(),
        track=track,
    )


def test_it_is_counted_once_however_often_it_is_heard_of() -> None:
    run = Recording()
    meter = EgressMeter(run.recorder, provider="livekit-cloud")
    meter.seen(info(EgressStatus.EGRESS_STARTING))
    assert run.usages("egress_transcode") == []
    for _ in range(2):
        meter.seen(info(EgressStatus.EGRESS_ACTIVE))
        meter.seen(info(EgressStatus.EGRESS_ENDING))
    for _ in range(2):
        meter.seen(info(EgressStatus.EGRESS_COMPLETE, ended_after_ns=61_234_567_891))
    (usage,) = run.usages("egress_transcode")
    assert usage.quantity == usage.provider_stated == Decimal("61.234567891")
    assert (usage.instance_id, usage.provider_ref) == ("livekit-cloud/EG_1", "EG_1")
    assert usage.certainty is Certainty.EXACT


def test_a_track_is_exported_and_not_transcoded() -> None:
    run = Recording()
    meter = EgressMeter(run.recorder, provider="livekit-cloud")
    track = TrackEgressRequest(track_id="TR_1")
    meter.seen(info(EgressStatus.EGRESS_COMPLETE, ended_after_ns=10**9, track=track))
    assert [usage.quantity for usage in run.usages("egress_track")] == [Decimal(1)]
    assert run.usages("egress_transcode") == []


@pytest.mark.parametrize("status", [EgressStatus.EGRESS_FAILED, EgressStatus.EGRESS_ABORTED])
def test_one_that_fails_counts_as_far_as_it_came(status: EgressStatus) -> None:
    run = Recording()
    meter = EgressMeter(run.recorder, provider="livekit-cloud")
    meter.seen(info(status, ended_after_ns=5 * 10**9))
    assert [usage.quantity for usage in run.usages("egress_transcode")] == [Decimal(5)]


def test_one_that_goes_on_without_us_is_partial() -> None:
    run = Recording()
    meter = EgressMeter(run.recorder, provider="self-hosted")
    meter.seen(info(EgressStatus.EGRESS_ACTIVE))
    meter.close()
    (usage,) = run.usages("egress_transcode")
    assert usage.certainty is Certainty.PARTIAL
    assert usage.quantity >= 89
