"""STT sockets, measured at the socket.

Providers bill how long a connection lived, or how much audio went through it; plugins report
neither exactly. aiohttp's public hooks see both: a trace callback runs when the handshake is
answered and another when the connection goes, normally or not, reconnects included, and a
websocket class of our own sees every message.
"""

from __future__ import annotations

import logging
import weakref
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import aiohttp

from ..recorder import OpenUsage, Recorder
from .attribution import current_attribution
from .protocols import SpeechSocket, hear, recognise

logger = logging.getLogger("tallyroom.metering")

_SOURCE = "socket"
_SWITCHING_PROTOCOLS = 101


class _Connection:
    """One socket's two meters: its life, and the audio through it."""

    def __init__(self, recorder: Recorder, socket: SpeechSocket) -> None:
        self._recorder = recorder
        self._socket = socket
        self._life = self._open("stt_connection")
        self._audio: OpenUsage | None = None

    def _open(self, meter: str, counts_per_unit: int | None = None) -> OpenUsage:
        socket, caused_by = self._socket, current_attribution()
        return self._recorder.open(
            instance_id=self._life.usage.instance_id
            if counts_per_unit
            else self._recorder.instance_id(socket.provider, socket.provider_ref),
            meter=meter,
            provider=socket.provider,
            model=socket.model,
            attributes=socket.attributes,
            participant=caused_by.participant,
            purpose=caused_by.purpose,
            provider_ref=socket.provider_ref,
            source=_SOURCE,
            is_clock=counts_per_unit is None,
            counts_per_unit=counts_per_unit or 1,
        )

    def sent(self, audio: bytes) -> None:
        if self._audio is None:
            if self._socket.bytes_per_second is None:
                return
            self._audio = self._open("stt_audio", self._socket.bytes_per_second)
        self._audio.add(len(audio))

    def received(self, message: str) -> None:
        if error := hear(self._socket, message):
            self._recorder.refuse("stt_audio", error)

    def close(self) -> None:
        socket = self._socket
        stated: Decimal | None = socket.stated_seconds
        self._life.close(provider_ref=socket.provider_ref)
        if self._audio:
            self._audio.close(provider_stated=stated, provider_ref=socket.provider_ref)


class ConnectionMeter:
    """Measures every speech socket opened through a client session that it made or traces."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._by_response: weakref.WeakKeyDictionary[aiohttp.ClientResponse, _Connection] = (
            weakref.WeakKeyDictionary()
        )

    def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """A client session whose speech sockets are metered; `options` go to aiohttp.

        Hand it to a plugin as `http_session`. The caller closes it.
        """
        return aiohttp.ClientSession(
            trace_configs=[*options.pop("trace_configs", ()), self.trace_config()],
            ws_response_class=self.websocket_class(),
            **options,
        )

    def trace_config(self) -> aiohttp.TraceConfig:
        """For a client session of the caller's own; sees a socket's life, not its audio."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._on_request_end)
        config.freeze()
        return config

    def websocket_class(self) -> type[aiohttp.ClientWebSocketResponse]:
        """For a client session of the caller's own, beside the trace config; sees the audio."""
        by_response = self._by_response

        class MeteredWebSocket(aiohttp.ClientWebSocketResponse):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                response = next(arg for arg in args if isinstance(arg, aiohttp.ClientResponse))
                self._metered = by_response.get(response)

            async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
                await super().send_bytes(data, compress)
                if self._metered:
                    self._metered.sent(data)

            async def receive(self, *args: Any, **kwargs: Any) -> Any:
                message = await super().receive(*args, **kwargs)
                if self._metered and message.type is aiohttp.WSMsgType.TEXT:
                    self._metered.received(message.data)
                return message

        return MeteredWebSocket

    async def _on_request_end(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        response = params.response
        if response.status != _SWITCHING_PROTOCOLS or response.connection is None:
            return
        socket = recognise(params.url, response.headers)
        if socket is None:
            logger.warning("a socket of an unknown provider is not metered")
            return
        connection = _Connection(self._recorder, socket)
        self._by_response[response] = connection
        response.connection.add_callback(connection.close)
