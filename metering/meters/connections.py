"""STT sockets, measured at the socket.

Providers bill how long a connection lived, or how much audio went through it; plugins report
neither exactly. aiohttp's public hooks see both: a trace callback runs when the handshake is
answered and another when the connection goes, normally or not, reconnects included, and a
websocket class of our own sees every message.

A session that a plugin makes by itself can be traced, but not be given our websocket class: there
the socket's life is measured, and the audio is what the plugin reports. `counts_audio` says which
it is, so that nothing is counted twice or missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import aiohttp

from ..errors import UsageError
from ..recorder import OpenUsage, Recorder
from ..usage import Certainty, Usage
from .assemblyai_socket import limit_inactivity
from .attribution import current_attribution
from .handshakes import HandshakeMeter
from .protocols import hear, recognise, say
from .speech_socket import SpeechSocket

logger = logging.getLogger("tallyroom.metering")

_SOURCE = "socket"
_SWITCHING_PROTOCOLS = 101
_LAST_WORDS_SECONDS = 1.0
_FAREWELL_SECONDS = 1.0
_Asked = frozenset[tuple[str, str]]
_ABNORMAL = (None, aiohttp.WSCloseCode.ABNORMAL_CLOSURE)
_CARRIES_ON = (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)


class _Connection:
    """One socket's two meters: its life, and the audio through it."""

    def __init__(self, recorder: Recorder, socket: SpeechSocket) -> None:
        self.socket = socket
        self.sees_messages = False
        self._recorder = recorder
        self._caused_by = current_attribution()
        self._life = self._open("stt_connection")
        self._audio: OpenUsage | None = None
        self._websocket: weakref.ref[aiohttp.ClientWebSocketResponse] | None = None
        self._cancelled = False
        self._we_closed = False
        self._closed = False
        self._lost: tuple[Decimal, datetime] | None = None

    def _open(self, meter: str, counts_per_unit: int | None = None) -> OpenUsage:
        socket, caused_by = self.socket, self._caused_by
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
            exposure=Decimal(0) if counts_per_unit else socket.exposure,
            counts_per_unit=counts_per_unit or 1,
        )

    def through(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        """It is a websocket of ours, whose messages are seen."""
        self.sees_messages = True
        self._websocket = weakref.ref(websocket)

    def receiving_cancelled(self) -> None:
        """The plugin no longer listens; aiohttp then awaits no answer to our closing handshake."""
        self._cancelled = True

    def closing(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        """Somebody closes the socket; we do, where it still stands and nobody else has."""
        stands = websocket.get_extra_info("peername") is not None
        if stands and (self._cancelled or websocket.close_code is None):
            self._we_closed = True

    async def say_farewell(self) -> None:
        """Tell the provider that the session is over, where its plugin has not."""
        websocket = self._websocket() if self._websocket else None
        farewell = self.socket.farewell()
        if farewell is None or websocket is None or websocket.closed:
            return
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await websocket.send_str(farewell)

    async def hear_statement(self, receive: Callable[[], Awaitable[aiohttp.WSMessage]]) -> None:
        """Read what the provider states at the end, where its plugin reads no more."""
        if not self._cancelled or not self.socket.owes_statement:
            return
        with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while self.socket.owes_statement:
                    message = await receive()
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self.received(message.data)
                    elif message.type not in _CARRIES_ON:
                        return

    def said(self, message: str) -> None:
        audio = say(self.socket, message)
        if isinstance(audio, UsageError):
            self._recorder.refuse("stt_audio", audio)
        elif audio:
            self.sent(audio)

    def sent(self, audio_bytes: int) -> None:
        if self._closed:
            return
        if self._audio is None:
            if self.socket.bytes_per_second is None:
                return
            self._audio = self._open("stt_audio", self.socket.bytes_per_second)
        self._audio.add(audio_bytes)

    def received(self, message: str) -> None:
        if error := hear(self.socket, message):
            self._recorder.refuse("stt_audio", error)

    def lost(self) -> None:
        """The connection has gone, whether or not anybody has noticed yet."""
        if self._lost is None:
            self._lost = self._life.quantity, self._recorder.clock.stamp()

    def close(self, *, goes_on: bool = False) -> None:
        """Write it down; it `goes_on` where nobody has closed it, and its end will not be seen."""
        if self._closed:
            return
        self._closed = True
        goes_on = goes_on and self._lost is None
        self.lost()
        orderly = self._orderly()
        life = self._as_it_ended(self._life)
        exposure = self.socket.exposure
        bounded = Certainty.BOUNDED if exposure else Certainty.EXACT
        self._recorder.closed(
            self._life,
            replace(
                life,
                provider_stated=self.socket.stated_connection,
                certainty=Certainty.PARTIAL if goes_on else bounded,
                quantity_lower=life.quantity if goes_on or exposure else None,
                quantity_upper=life.quantity + exposure if exposure and not goes_on else None,
            ),
        )
        if self._audio:
            audio = self._as_it_ended(self._audio)
            # What was on its way when a connection broke may or may not have arrived.
            arrived = orderly or self.socket.stated_audio is not None
            self._recorder.closed(
                self._audio,
                replace(
                    audio,
                    provider_stated=self.socket.stated_audio,
                    certainty=Certainty.EXACT if arrived else Certainty.BOUNDED,
                    quantity_lower=None if arrived else Decimal(0),
                    quantity_upper=None if arrived else audio.quantity,
                ),
            )

    def _as_it_ended(self, opened: OpenUsage) -> Usage:
        """With what was not yet known when it was opened: some providers say it later."""
        socket, usage = self.socket, opened.usage
        assert self._lost is not None
        lived, ended_at = self._lost
        return replace(
            usage,
            quantity=opened.quantity if opened.is_counter else lived,
            ended_at=max(usage.started_at, ended_at),
            model=socket.model,
            attributes=dict(socket.attributes),
            provider_ref=socket.provider_ref,
        )

    def _orderly(self) -> bool:
        """Whether we closed it, on a connection that still stood: what was sent has arrived."""
        websocket = self._websocket() if self._websocket else None
        return self._we_closed and (
            self._cancelled or (websocket is not None and websocket.close_code not in _ABNORMAL)
        )


class ConnectionMeter:
    """Measures every speech socket opened through a client session that it made or traces."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._handshakes = HandshakeMeter(recorder)
        self._by_response: weakref.WeakKeyDictionary[aiohttp.ClientResponse, _Connection] = (
            weakref.WeakKeyDictionary()
        )
        self._open: set[_Connection] = set()
        self._seen: dict[tuple[str, str], bool] = {}
        # Of sockets whose audio only their plugin reports, which does not say what it asked for.
        self._asked: dict[str, _Asked] = {}
        self._by_all: dict[tuple[str, str], _Asked] = {}
        self._traced: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()
        self._own: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()

    def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """A client session whose speech sockets are metered; `options` go to aiohttp.

        Hand it to a plugin as `http_session`. The caller closes it. AssemblyAI's sessions get an
        inactivity timeout, where the plugin asks for none.
        """
        session = aiohttp.ClientSession(
            trace_configs=[*options.pop("trace_configs", ()), self.trace_config()],
            middlewares=(*options.pop("middlewares", ()), _limit_inactivity),
            ws_response_class=self.websocket_class(),
            **options,
        )
        self._traced.add(session)
        self._own.add(session)
        return session

    def trace(self, session: aiohttp.ClientSession) -> None:
        """Measure the life of the speech sockets that a session of somebody else's opens.

        For plugins that take no `http_session`: theirs is `http_context.http_session()`. Tracing it
        again changes nothing.
        """
        if session not in self._traced:
            self._traced.add(session)
            session.trace_configs.append(self.trace_config())

    def trace_config(self) -> aiohttp.TraceConfig:
        """For a client session of the caller's own; sees a socket's life, not its audio."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._on_request_end)
        self._handshakes.listen_to(config)
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
                if self._metered:
                    self._metered.through(self)

            async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
                try:
                    await super().send_bytes(data, compress)
                except asyncio.CancelledError:
                    # It was written, and cancelled while it waited for the buffer to drain.
                    if self._metered:
                        self._metered.sent(len(data))
                    raise
                if self._metered:
                    self._metered.sent(len(data))

            async def send_str(self, data: str, compress: int | None = None) -> None:
                try:
                    await super().send_str(data, compress)
                except asyncio.CancelledError:
                    if self._metered:
                        self._metered.said(data)
                    raise
                if self._metered:
                    self._metered.said(data)

            async def receive(self, *args: Any, **kwargs: Any) -> Any:
                try:
                    message = await super().receive(*args, **kwargs)
                except asyncio.CancelledError:
                    if self._metered:
                        self._metered.receiving_cancelled()
                    raise
                if self._metered and message.type is aiohttp.WSMsgType.TEXT:
                    self._metered.received(message.data)
                return message

            async def close(self, **how: Any) -> bool:
                if self._metered:
                    await self._metered.say_farewell()
                    await self._metered.hear_statement(super().receive)
                    self._metered.closing(self)
                return await super().close(**how)

        return MeteredWebSocket

    def counts_audio(self, provider: str, model: str, request_id: str | None = None) -> bool | None:
        """Whether the audio that a plugin reports of a stream has been counted at its socket.

        By the provider's own id of the connection where both know it, else by provider and model,
        which some plugins and sockets call by different names, so else by provider. None where no
        such socket was ever seen.
        """
        for connection in self._open:
            self._remember(connection)
            if request_id and connection.socket.provider_ref == request_id:
                return self._counts(connection)
        if (provider, model) in self._seen:
            return self._seen[provider, model]
        counts = [counted for (whose, _), counted in self._seen.items() if whose == provider]
        return any(counts) if counts else None

    def attributes(self, provider: str, model: str, request_id: str | None) -> dict[str, str]:
        """What was asked for on the socket that a plugin reports audio of.

        By the provider's own id of the connection where both know it, else what all sockets of the
        model ask for that are open, or were.
        """
        key, is_open = (provider, model), []
        for connection in self._open:
            socket = self._remember(connection)
            if (socket.provider, socket.model.lower()) == key:
                is_open.append(_asked(socket))
        if request_id and request_id in self._asked:
            return dict(self._asked[request_id])
        return dict(frozenset.intersection(*is_open) if is_open else self._by_all.get(key, ()))

    async def say_farewell(self) -> None:
        """End the sessions that would be billed on, before their sockets go with the job."""
        await asyncio.gather(*(connection.say_farewell() for connection in self._open))

    def close(self) -> None:
        """Write down whatever is still open as far as it has come; before the recorder closes it.

        A socket of a session that we only trace is closed by its owner, later than we can see.
        """
        for connection in list(self._open):
            self._close(connection, goes_on=True)

    def _counts(self, connection: _Connection) -> bool:
        return connection.sees_messages and connection.socket.bytes_per_second is not None

    def _remember(self, connection: _Connection) -> SpeechSocket:
        socket = connection.socket
        key = socket.provider, socket.model.lower()
        self._seen[key] = counts = self._counts(connection)
        if not counts:
            asked = _asked(socket)
            self._by_all[key] = self._by_all.get(key, asked) & asked
            if socket.provider_ref:
                self._asked[socket.provider_ref] = asked
        return socket

    def _close(self, connection: _Connection, *, goes_on: bool = False) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._remember(connection)
            connection.close(goes_on=goes_on)

    async def _on_request_end(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        response = params.response
        if response.status != _SWITCHING_PROTOCOLS or response.connection is None:
            return
        # A response does not tell what a middleware has made of its URL.
        url = limit_inactivity(params.url) if session in self._own else params.url
        socket = recognise(url, response.headers)
        if socket is None:
            # Voices and realtime models have sockets, too, and are metered by what they report.
            logger.debug("a socket that is no known provider's STT is not timed")
            return
        connection = _Connection(self._recorder, socket)
        self._by_response[response] = connection
        self._open.add(connection)
        response.connection.add_callback(lambda: self._close(connection))
        # A pooled socket that nobody reads has no other way to tell that the provider has dropped
        # it. What the provider said last may still have to be read.
        gone = getattr(response.connection.protocol, "closed", None)
        if isinstance(gone, asyncio.Future):
            gone.add_done_callback(lambda future: self._on_gone(connection, future))

    def _on_gone(self, connection: _Connection, gone: asyncio.Future[None]) -> None:
        if not gone.cancelled():
            gone.exception()
        if connection in self._open:
            connection.lost()
            gone.get_loop().call_later(_LAST_WORDS_SECONDS, self._close, connection)


def _asked(socket: SpeechSocket) -> _Asked:
    return frozenset(socket.attributes.items())


async def _limit_inactivity(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    request.url = limit_inactivity(request.url)
    return await handler(request)
