"""LLM, TTS and STT requests, measured on the wire, by an HTTP client that their plugins accept.

A plugin reports a request at its end, and not at all where it failed, was cancelled before its
first word, or was tried again. The client sees each of them: what was asked, what came back, and
what the provider itself says it used. It is handed over by the plugins' own option:

    openai.LLM(client=openai.AsyncClient(http_client=meter.http_client()))

A request that was refused (4xx, 5xx) or never sent is not billed, and is no instance. One that was
sent and never reported is an instance with an estimate and bounds, see `request_bounds`. It stands
in the journal as one from its start, for a process that is killed sees no end.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import httpx2 as httpx

from ..errors import UsageError
from ..recorder import Recorder
from ..usage import Certainty, Usage, core_meters
from .hosts import PROVIDER_BY_HOST
from .request_bounds import Estimate
from .request_kinds import Request, Speech, read_request

_SOURCE = "wire"
COUNTED = frozenset(
    {
        "llm_input_tokens",
        "llm_cached_input_tokens",
        "llm_cache_write_tokens",
        "llm_output_tokens",
        "llm_reasoning_tokens",
        "tts_characters",
    }
)
"""What is measured on the wire, of every request that goes over it."""
OWN_ID = "tallyroom-"
"""Begins the id of a reply to which its provider gave none."""
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""What is raised before a provider can have seen anything of a request."""


class RequestMeter:
    """Measures every request of a known kind that goes through a client of its own."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[str, tuple[str, frozenset[str]]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._in_flight: dict[int, Request] = {}

    def http_client(self, **options: Any) -> httpx.AsyncClient:
        """An HTTP client for `openai.AsyncClient(http_client=...)`; `options` go to httpx.

        Whoever owns the OpenAI client closes it.
        """
        options.setdefault("timeout", httpx.Timeout(connect=15.0, read=5.0, write=5.0, pool=5.0))
        options.setdefault("follow_redirects", True)
        return httpx.AsyncClient(
            transport=self.transport(options.pop("transport", None)), **options
        )

    def transport(self, inner: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncBaseTransport:
        """For an HTTP client of the caller's own; `inner` is what it would use otherwise."""
        return _MeteredTransport(self, inner or httpx.AsyncHTTPTransport())

    def counted(self, request_id: str) -> tuple[str, frozenset[str]] | None:
        """The instance that a plugin's request already is, and the meters it has been counted by.

        None where it did not go through a client of this meter's.
        """
        return self._known.get(request_id)

    def sees(self, host: str, model: str) -> bool:
        """Whether requests to this host and model go through a client of this meter's."""
        return (host, model.lower()) in self._seen

    def begin(self, request: httpx.Request, body: bytes) -> Request | None:
        """A request is about to be sent; None for one that is not metered."""
        host = request.url.netloc.decode("ascii", "replace").lower()
        started_at = self._recorder.clock.stamp()
        provider = PROVIDER_BY_HOST.get(host, "openai")
        begun = read_request(request.url.path, body, provider, started_at)
        if begun is None:
            return None
        self._seen.add((host, begun.model))
        self._in_flight[id(begun)] = begun
        begun.instance_id = self._recorder.instance_id(provider, None)
        for meter, quantity in begun.quantities():
            self._recorder.under_way(self._usage(begun, begun.instance_id, None, meter, quantity))
        return begun

    def not_billed(self, request: Request) -> None:
        """It was refused or never sent, or is reported elsewhere."""
        if self._in_flight.pop(id(request), None):
            meters = [meter for meter, _ in request.quantities()]
            self._recorder.withdraw(request.instance_id, meters)

    def close(self) -> None:
        """Write down what is still in flight, as far as it has come; before the recorder closes."""
        for request in list(self._in_flight.values()):
            self.end(request)

    def end(self, request: Request) -> None:
        """The reply has come, or never will."""
        if request.told_by_plugin:
            self.not_billed(request)
            return
        if self._in_flight.pop(id(request), None) is None:
            return
        measured = dict(request.quantities())
        own = not request.request_id or request.request_id.startswith(OWN_ID)
        ref = None if own else request.request_id
        # Some servers give every reply the same id.
        is_named = ref is not None and request.request_id not in self._known
        instance_id = (
            self._recorder.instance_id(request.provider, ref) if is_named else request.instance_id
        )
        if request.request_id:
            self._known[request.request_id] = instance_id, frozenset(measured)
        for meter, quantity in measured.items():
            try:
                usage = self._usage(request, instance_id, ref, meter, quantity)
                self._recorder.record(usage, instead_of=request.instance_id)
            except UsageError as error:
                self._recorder.refuse(meter, error)

    def _usage(
        self,
        request: Request,
        instance_id: str,
        ref: str | None,
        meter: str,
        quantity: Decimal | Estimate,
    ) -> Usage:
        estimate = quantity if isinstance(quantity, Estimate) else None
        ended_at = self._recorder.clock.stamp()
        return Usage(
            instance_id=instance_id,
            meter=meter,
            provider=request.provider,
            model=request.model,
            participant=request.caused_by.participant,
            purpose=request.caused_by.purpose,
            quantity=quantity.quantity if isinstance(quantity, Estimate) else quantity,
            unit=core_meters()[meter].unit,
            certainty=Certainty.ESTIMATED if estimate else Certainty.EXACT,
            quantity_lower=estimate.lower if estimate else None,
            quantity_upper=estimate.upper if estimate else None,
            provider_ref=ref,
            started_at=min(request.started_at, ended_at),
            ended_at=ended_at,
            source=_SOURCE,
        )


class _MeteredTransport(httpx.AsyncBaseTransport):
    def __init__(self, meter: RequestMeter, inner: httpx.AsyncBaseTransport) -> None:
        self._meter = meter
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        metered = self._meter.begin(request, await request.aread())
        if metered is None:
            return await self._inner.handle_async_request(request)
        # What is compressed would have to be read twice.
        request.headers["accept-encoding"] = "identity"
        try:
            response = await self._inner.handle_async_request(request)
        except NEVER_SENT:
            self._meter.not_billed(metered)
            raise
        except BaseException:
            self._meter.end(metered)
            raise
        if not response.is_success:
            self._meter.not_billed(metered)
            return response
        metered.begun = True
        headers = httpx.Headers(response.headers)
        if isinstance(metered, Speech):
            # By which the plugin's own report will be recognised as this request's.
            headers.setdefault("x-request-id", f"{OWN_ID}{uuid.uuid4().hex}")
            metered.request_id = headers["x-request-id"]
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=_MeteredStream(response.stream, metered, lambda: self._meter.end(metered)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _MeteredStream(httpx.AsyncByteStream):
    def __init__(
        self,
        inner: httpx.AsyncByteStream,
        request: Request,
        end: Callable[[], None],
    ) -> None:
        self._inner = inner
        self._request = request
        self._end = end
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._request.take(chunk)
            yield chunk
        self._request.ended = True

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            if not self._closed:
                self._closed = True
                self._end()
