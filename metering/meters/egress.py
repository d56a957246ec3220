"""A room's recordings, from what LiveKit itself tells of them: it bills by those times.

LiveKit tells of an egress in answers of its API and in its webhooks, as the same `EgressInfo`.
Source: docs.livekit.io, egress API, `EgressInfo.started_at` and `ended_at` in nanoseconds.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from livekit.protocol.egress import EgressInfo, EgressStatus

from ..clock import seconds
from ..recorder import OpenUsage, Recorder
from ..run import Ending
from ..usage import Certainty

PURPOSE = "recording"
_SOURCE = "egress"
_NANOSECONDS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OVER = frozenset(
    {
        EgressStatus.EGRESS_COMPLETE,
        EgressStatus.EGRESS_FAILED,
        EgressStatus.EGRESS_ABORTED,
        EgressStatus.EGRESS_LIMIT_REACHED,
    }
)


class EgressMeter:
    """Takes news of egresses, each as often as it comes; `provider` is who bills them."""

    def __init__(self, recorder: Recorder, *, provider: str) -> None:
        self._recorder = recorder
        self._provider = provider
        self._open: dict[str, OpenUsage] = {}
        self._over: set[str] = set()

    def seen(self, info: EgressInfo) -> None:
        """What LiveKit says of one; nothing counts before it has started."""
        if info.started_at <= 0 or info.egress_id in self._over:
            return
        opened = self._open.get(info.egress_id) or self._begin(info)
        if info.ended_at > 0 and info.status in _OVER:
            self._over.add(info.egress_id)
            del self._open[info.egress_id]
            self._end(opened, info)

    def close(self) -> None:
        """Nobody will hear of them any more: what goes on is partial."""
        for opened in self._open.values():
            opened.close(certainty=Certainty.PARTIAL)
        self._open.clear()

    def _begin(self, info: EgressInfo) -> OpenUsage:
        now = self._recorder.clock.stamp()
        started_at = min(now, _stamp(info.started_at))
        opened = self._recorder.open(
            instance_id=self._recorder.instance_id(self._provider, info.egress_id),
            meter=_meter(info),
            provider=self._provider,
            purpose=PURPOSE,
            source=_SOURCE,
            provider_ref=info.egress_id,
            ending=Ending.UNSEEN,
            started_at=started_at,
            already=seconds((now - started_at) // timedelta(microseconds=1)),
        )
        self._open[info.egress_id] = opened
        return opened

    def _end(self, opened: OpenUsage, info: EgressInfo) -> None:
        lasted = Decimal(max(0, info.ended_at - info.started_at)) / _NANOSECONDS
        started_at = _stamp(info.started_at)
        usage = replace(
            opened.usage,
            quantity=lasted,
            provider_stated=lasted,
            certainty=Certainty.EXACT,
            started_at=started_at,
            ended_at=max(started_at, _stamp(info.ended_at)),
        )
        self._recorder.closed(opened, usage)


def _meter(info: EgressInfo) -> str:
    """A track is exported as it is; everything else is encoded anew."""
    return "egress_track" if info.WhichOneof("request") == "track" else "egress_transcode"


def _stamp(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
