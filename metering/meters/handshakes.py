"""A speech socket whose handshake was asked for and given up before its answer was read.

The provider may have accepted it: the answer was on its way when the plugin's patience ended. Then
it bills a connection that nobody on our side ever had. Such a handshake is an instance of its own,
estimated at 0 and at most as long as it was waited for.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace

import aiohttp
from multidict import istr

from ..clock import seconds
from ..recorder import Recorder
from ..usage import Certainty, Usage, core_meters
from .attribution import current_attribution
from .protocols import recognise

SOURCE = "handshake"
_METER = "stt_connection"


class HandshakeMeter:
    """Measures the handshakes that are given up, through aiohttp's public trace hooks."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def listen_to(self, config: aiohttp.TraceConfig) -> None:
        """Add its hooks to a trace config that is not frozen yet."""
        config.on_request_headers_sent.append(self._on_headers_sent)
        config.on_request_exception.append(self._on_exception)

    async def _on_headers_sent(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        if params.headers.get(istr("Upgrade"), "").lower() == "websocket":
            clock = self._recorder.clock
            now_us = clock.elapsed_us()
            context.asked = now_us, clock.stamp(now_us)

    async def _on_exception(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        asked: tuple[int, datetime] | None = getattr(context, "asked", None)
        socket = recognise(params.url, {}) if asked else None
        if asked is None or socket is None:
            return
        asked_us, started_at = asked
        now_us = self._recorder.clock.elapsed_us()
        caused_by = current_attribution()
        self._recorder.record(
            Usage(
                instance_id=self._recorder.instance_id(socket.provider, None),
                meter=_METER,
                provider=socket.provider,
                model=socket.model,
                attributes=dict(socket.attributes),
                participant=caused_by.participant,
                purpose=caused_by.purpose,
                quantity=Decimal(0),
                quantity_lower=Decimal(0),
                quantity_upper=seconds(now_us - asked_us),
                unit=core_meters()[_METER].unit,
                certainty=Certainty.ESTIMATED,
                started_at=started_at,
                ended_at=self._recorder.clock.stamp(now_us),
                source=SOURCE,
            )
        )
