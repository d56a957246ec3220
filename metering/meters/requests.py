"""LLM and TTS requests, measured on the wire, through an HTTP client that their plugins accept.

A plugin reports a request at its end, and not at all where it failed, was cancelled before its
first word, or was tried again. The client sees each of them: what was asked, what came back, and
what the provider itself says it used. It is handed over by the plugins' own option:

    openai.LLM(client=openai.AsyncClient(http_client=meter.http_client()))

A request that was refused (4xx, 5xx) or never sent is not billed, and is no instance. One that was
sent and never reported is an instance with an estimate and bounds, see `request_bounds`. It stands
in the journal as one from its start, for a process that is killed sees no end.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx2 as httpx

from ..errors import UsageError
from ..recorder import Recorder
from ..usage import Certainty, Usage, core_meters
from .attribution import Attribution, current_attribution
from .hosts import PROVIDER_BY_HOST
from .request_bounds import Asked, Estimate

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
_EVENTS = (b"data:", b"event:", b"id:", b":")
_LONGEST_REPLY_BYTES = 16_000_000
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""What is raised before a provider can have seen anything of a request."""


@dataclass(slots=True)
class _Request:
    """One request between its start and its record."""

    provider: str
    model: str
    started_at: datetime
    caused_by: Attribution = field(default_factory=current_attribution)
    instance_id: str = ""
    """By which it is under way."""
    request_id: str | None = None
    begun: bool = False
    """The reply has begun: whatever was asked is billed."""

    def take(self, chunk: bytes) -> None:
        """Read a part of the reply."""

    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        """What it came to, as far as is known."""
        return iter(())


@dataclass(slots=True, kw_only=True)
class _Completion(_Request):
    asked: Asked
    deltas: int = 0
    content_bytes: int = 0
    usage: dict[str, Any] | None = None
    unread: bytes = b""
    streamed: bool = False

    def take(self, chunk: bytes) -> None:
        if len(self.unread) + len(chunk) > _LONGEST_REPLY_BYTES:
            return
        self.unread += chunk
        # Events, or else one object, which can be read when it is whole.
        self.streamed = self.streamed or self.unread.lstrip().startswith(_EVENTS)
        if self.streamed:
            *lines, self.unread = self.unread.split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._read(line[5:])

    def _read(self, text: bytes) -> None:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(data, dict):
            return
        request_id = data.get("id")
        if isinstance(request_id, str) and request_id:
            self.request_id = request_id
        if isinstance(data.get("usage"), dict):
            self.usage = data["usage"]
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            said = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else 0
            if isinstance(said, dict) and any(
                said.get(kind) for kind in ("content", "tool_calls", "refusal")
            ):
                self.deltas += 1
                self.content_bytes += len(str(said.get("content") or "").encode())

    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        if self.unread and not self.streamed:
            self._read(self.unread)
        if self.usage is None or not _count(self.usage, "prompt_tokens"):
            yield "llm_input_tokens", self.asked.input()
            yield (
                "llm_output_tokens",
                self.asked.output(deltas=self.deltas, content_bytes=self.content_bytes),
            )
            return
        read, said = (
            self.usage.get("prompt_tokens_details"),
            self.usage.get("completion_tokens_details"),
        )
        yield "llm_input_tokens", _count(self.usage, "prompt_tokens")
        yield "llm_output_tokens", _count(self.usage, "completion_tokens")
        for meter, details, name in (
            ("llm_cached_input_tokens", read, "cached_tokens"),
            ("llm_cache_write_tokens", read, "cache_write_tokens"),
            ("llm_reasoning_tokens", said, "reasoning_tokens"),
        ):
            if isinstance(details, dict) and (tokens := _count(details, name)):
                yield meter, tokens


@dataclass(slots=True, kw_only=True)
class _Speech(_Request):
    characters: int

    def quantities(self) -> Iterator[tuple[str, Decimal | Estimate]]:
        asked = Decimal(self.characters)
        # Characters are billed as they were asked, however much of the sound was heard.
        yield "tts_characters", asked if self.begun else Estimate(asked, Decimal(0), asked)


class RequestMeter:
    """Measures every completion and speech request that goes through a client of its own."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[str, tuple[str, frozenset[str]]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._in_flight: dict[int, _Request] = {}

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

    def begin(self, request: httpx.Request, body: bytes) -> _Request | None:
        """A request is about to be sent; None for one that is not metered."""
        host = request.url.netloc.decode("ascii", "replace").lower()
        started_at = self._recorder.clock.stamp()
        provider = PROVIDER_BY_HOST.get(host, "openai")
        begun: _Request
        if request.url.path.endswith("/chat/completions"):
            asked = Asked.read(body)
            begun = _Completion(provider, asked.model, started_at, asked=asked)
        elif request.url.path.endswith("/audio/speech"):
            spoken = _object(body)
            model, text = str(spoken.get("model") or "").lower(), str(spoken.get("input") or "")
            begun = _Speech(provider, model, started_at, characters=len(text))
        else:
            return None
        self._seen.add((host, begun.model))
        self._in_flight[id(begun)] = begun
        begun.instance_id = self._recorder.instance_id(provider, None)
        for meter, quantity in begun.quantities():
            self._recorder.under_way(self._usage(begun, begun.instance_id, None, meter, quantity))
        return begun

    def not_billed(self, request: _Request) -> None:
        """It was refused, or never sent."""
        if self._in_flight.pop(id(request), None):
            meters = [meter for meter, _ in request.quantities()]
            self._recorder.withdraw(request.instance_id, meters)

    def close(self) -> None:
        """Write down what is still in flight, as far as it has come; before the recorder closes."""
        for request in list(self._in_flight.values()):
            self.end(request)

    def end(self, request: _Request) -> None:
        """The reply has come, or never will."""
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
        request: _Request,
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
        if isinstance(metered, _Speech):
            # By which the plugin's own report will be recognised as this request's.
            headers.setdefault("x-request-id", f"{OWN_ID}{uuid.uuid4().hex}")
            metered.request_id = headers["x-request-id"]
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=_MeteredStream(response.stream, metered.take, lambda: self._meter.end(metered)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _MeteredStream(httpx.AsyncByteStream):
    def __init__(
        self,
        inner: httpx.AsyncByteStream,
        take: Callable[[bytes], None],
        end: Callable[[], None],
    ) -> None:
        self._inner = inner
        self._take = take
        self._end = end
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._take(chunk)
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            if not self._ended:
                self._ended = True
                self._end()


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _count(data: dict[str, Any], name: str) -> Decimal:
    """A number of tokens, 0 where there is none that can be one."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return Decimal(0)
    return Decimal(value)
