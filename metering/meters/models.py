"""LLM, TTS and non-socket STT usage, from the metrics that the plugins emit.

`metrics_collected` fires on the plugin objects themselves, with or without an AgentSession. Each
event is one request, and becomes one instance with a usage for each meter that it reports.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

import aiohttp
from livekit.agents import APIStatusError, llm, metrics, tts

from ..errors import UsageError
from ..recorder import Recorder
from ..usage import Certainty, Usage, core_meters
from .attribution import current_attribution
from .connections import ConnectionMeter
from .hosts import PROVIDER_BY_HOST
from .request_bounds import Estimate
from .requests import COUNTED, NEVER_SENT, OWN_ID, RequestMeter

_SOURCE = "plugin"
_LONGEST_REQUEST_SECONDS = 86_400.0


class Model(Protocol):
    """A plugin object: an STT, LLM, TTS or realtime model."""

    @property
    def provider(self) -> str:
        """Whose it is, as the plugin puts it."""

    @property
    def model(self) -> str:
        """Its name."""

    def on(self, event: Any, callback: Any) -> Any:
        """Call back at an event."""


def provider_slug(model: Model) -> str:
    """The provider of a plugin object, as a lowercase slug.

    Not a proxy's host: where the plugin names a host that is nobody's, it is the plugin's own name.
    """
    named = model.provider.lower()
    if named in PROVIDER_BY_HOST:
        return PROVIDER_BY_HOST[named]
    module = type(model).__module__.split(".")
    looks_like_host = "." in named or ":" in named or named in ("", "unknown", "localhost")
    if looks_like_host and module[:2] == ["livekit", "plugins"]:
        return module[2]
    return named.replace(" ", "-")


class ModelMeter:
    """Writes down what watched models report of their requests.

    `connections` says of streamed audio whether it has been counted at its socket, `requests` of a
    request whether it has been counted on the wire; without them, what the plugin reports is all
    there is.
    """

    def __init__(
        self,
        recorder: Recorder,
        connections: ConnectionMeter | None = None,
        requests: RequestMeter | None = None,
    ) -> None:
        self._recorder = recorder
        self._connections = connections
        self._requests = requests
        self._watched: weakref.WeakSet[Model] = weakref.WeakSet()
        self._seen: set[str] = set()

    def watch(self, model: Model, *, provider: str | None = None) -> None:
        """Meter a model; watching it again changes nothing.

        `provider` replaces the slug that would be derived, for a gateway that stands for another.
        """
        if model in self._watched:
            return
        self._watched.add(model)
        of_plugin = provider_slug(model)
        slug = provider or of_plugin

        def collected(event: Any) -> None:
            self._collected(slug, of_plugin, event, on_wire=on_wire())

        def failed(event: Any) -> None:
            if not on_wire():
                self._failed(slug, model.model, event)

        def on_wire() -> bool:
            # Such plugins name as their provider the host that they speak to.
            requests = self._requests
            return requests is not None and requests.sees(model.provider.lower(), model.model)

        model.on("metrics_collected", collected)
        model.on("error", failed)

    def _failed(self, provider: str, model: str, event: Any) -> None:
        """An attempt that failed after it was sent may be billed, and will never be reported."""
        meters = _UNREPORTED.get(type(event), ())
        if not meters or not _may_be_billed(event.error):
            return
        instance_id, now = self._recorder.instance_id(provider, None), self._recorder.clock.stamp()
        caused_by = current_attribution()
        for meter in meters:
            self._recorder.record(
                Usage(
                    instance_id=instance_id,
                    meter=meter,
                    provider=provider,
                    model=model.lower(),
                    participant=caused_by.participant,
                    purpose=caused_by.purpose,
                    quantity=Decimal(0),
                    quantity_lower=Decimal(0),
                    unit=core_meters()[meter].unit,
                    certainty=Certainty.ESTIMATED,
                    started_at=now,
                    ended_at=now,
                    source=_SOURCE,
                )
            )

    def _collected(self, provider: str, of_plugin: str, event: Any, *, on_wire: bool) -> None:
        reader = _READERS.get(type(event))
        quantities = dict(reader(event)) if reader else {}
        if isinstance(event, metrics.STTMetrics) and self._counted_at_socket(of_plugin, event):
            quantities.pop("stt_audio", None)
        instance_id, counted = self._counted_on_wire(event, on_wire=on_wire)
        quantities = {name: size for name, size in quantities.items() if name not in counted}
        if not quantities:
            return
        instance_id = instance_id or self._instance_id(provider, event.request_id)
        for meter, reported in quantities.items():
            try:
                self._recorder.record(self._usage(provider, event, instance_id, meter, reported))
            except UsageError as error:
                self._recorder.refuse(meter, error)
                self._recorder.record(self._usage(provider, event, instance_id, meter, None))

    def _counted_on_wire(self, event: Any, *, on_wire: bool) -> tuple[str | None, frozenset[str]]:
        """The instance that a request already is, and the meters it has been counted by."""
        if self._requests and (known := self._requests.counted(event.request_id)):
            return known
        # Cancelled before it was answered, so that the plugin never had an id for it.
        return None, COUNTED if on_wire and not event.request_id else frozenset()

    def _counted_at_socket(self, provider: str, event: metrics.STTMetrics) -> bool:
        if not event.streamed or self._connections is None:
            return False
        model = (event.metadata and event.metadata.model_name) or ""
        return bool(self._connections.counts_audio(provider, model.lower(), event.request_id))

    def _instance_id(self, provider: str, request_id: str) -> str:
        """The provider's own id, unless it tells no request from another.

        Some plugins say "unknown", some servers give every reply the same id, and a stream reports
        several times under one: each event is an instance all the same.
        """
        instance_id = self._recorder.instance_id(provider, _known(request_id))
        if instance_id in self._seen:
            instance_id = self._recorder.instance_id(provider, None)
        self._seen.add(instance_id)
        return instance_id

    def _usage(
        self,
        provider: str,
        event: Any,
        instance_id: str,
        meter: str,
        reported: Reading,
    ) -> Usage:
        """One meter of one request; a figure that cannot be true is one that was never reported."""
        caused_by = current_attribution()
        known = _UNKNOWN if reported is None else reported
        estimate = known if isinstance(known, Estimate) else None
        ended_at = self._recorder.clock.stamp()
        # A stream's metric has no duration of its own; its audio has taken as long as it is.
        duration = event.duration or getattr(event, "audio_duration", 0.0)
        duration = duration if math.isfinite(duration) else 0.0
        return Usage(
            instance_id=instance_id,
            meter=meter,
            provider=provider,
            model=((event.metadata and event.metadata.model_name) or "").lower(),
            participant=caused_by.participant,
            purpose=caused_by.purpose,
            quantity=estimate.quantity if estimate else _decimal(meter, reported),
            unit=core_meters()[meter].unit,
            certainty=Certainty.ESTIMATED if estimate else Certainty.EXACT,
            quantity_lower=estimate.lower if estimate else None,
            quantity_upper=estimate.upper if estimate else None,
            provider_ref=_known(event.request_id),
            started_at=ended_at
            - timedelta(seconds=min(max(0.0, duration), _LONGEST_REQUEST_SECONDS)),
            ended_at=ended_at,
            source=_SOURCE,
        )


def _known(request_id: str) -> str | None:
    made_up = not request_id or request_id == "unknown" or request_id.startswith(OWN_ID)
    return None if made_up else request_id


def _may_be_billed(error: BaseException | None) -> bool:
    """Whether a failed request can have reached a provider that did not refuse it."""
    while error is not None:
        if isinstance(error, APIStatusError) and error.status_code >= 400:
            return False
        if isinstance(error, (*NEVER_SENT, aiohttp.ClientConnectorError)):
            return False
        error = error.__cause__
    return True


def _decimal(meter: str, reported: object) -> Decimal:
    """A metric's figure, to the microsecond; the framework sums durations in floats."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        raise UsageError(f"{meter}: {reported!r} is not a number")
    return Decimal(reported) if isinstance(reported, int) else Decimal(repr(round(reported, 6)))


Reading = int | float | Estimate | None
Reported = Iterator[tuple[str, Reading]]
_UNKNOWN = Estimate(Decimal(0), Decimal(0), None)


def _llm(event: metrics.LLMMetrics) -> Reported:
    if not (event.total_tokens or event.prompt_tokens or event.completion_tokens):
        # A cancelled request is billed for what it generated, and reports nothing; nor does a
        # server that leaves the usage out. No request has no prompt, so 0 is not its size.
        yield "llm_input_tokens", None
        yield "llm_output_tokens", None
        return
    yield "llm_input_tokens", event.prompt_tokens
    yield "llm_output_tokens", event.completion_tokens
    if event.prompt_cached_tokens:
        yield "llm_cached_input_tokens", event.prompt_cached_tokens
    if event.cache_creation_tokens:
        yield "llm_cache_write_tokens", event.cache_creation_tokens
    if event.reasoning_tokens:
        yield "llm_reasoning_tokens", event.reasoning_tokens


def _tts(event: metrics.TTSMetrics) -> Reported:
    # Cancelled before its first sound, it may not even have been sent.
    unheard = event.cancelled and event.ttfb < 0 and event.characters_count > 0
    asked = Decimal(event.characters_count) if unheard else Decimal(0)
    yield (
        "tts_characters",
        Estimate(asked, Decimal(0), asked) if unheard else event.characters_count,
    )
    if event.audio_duration:
        yield "tts_audio", event.audio_duration
    if event.input_tokens:
        yield "tts_input_tokens", event.input_tokens
    if event.output_tokens:
        yield "tts_output_tokens", event.output_tokens


def _stt(event: metrics.STTMetrics) -> Reported:
    if event.audio_duration:
        yield "stt_audio", event.audio_duration
    if event.input_tokens:
        yield "stt_input_tokens", event.input_tokens
    if event.output_tokens:
        yield "stt_output_tokens", event.output_tokens


def _realtime(event: metrics.RealtimeModelMetrics) -> Reported:
    if event.session_duration:
        yield "realtime_session", event.session_duration
    into, out = event.input_token_details, event.output_token_details
    cached = into.cached_tokens_details
    for modality in ("text", "audio", "image"):
        if tokens := getattr(into, f"{modality}_tokens"):
            yield f"realtime_input_{modality}_tokens", tokens
        if cached and (tokens := getattr(cached, f"{modality}_tokens")):
            yield f"realtime_cached_input_{modality}_tokens", tokens
    for modality in ("text", "audio"):
        if tokens := getattr(out, f"{modality}_tokens"):
            yield f"realtime_output_{modality}_tokens", tokens


_UNREPORTED: dict[type, tuple[str, ...]] = {
    llm.LLMError: ("llm_input_tokens", "llm_output_tokens"),
    tts.TTSError: ("tts_characters",),
}

_READERS: dict[type, Callable[[Any], Reported]] = {
    metrics.LLMMetrics: _llm,
    metrics.TTSMetrics: _tts,
    metrics.STTMetrics: _stt,
    metrics.RealtimeModelMetrics: _realtime,
}
