"""LLM, TTS and non-socket STT usage, from the metrics that the plugins emit.

`metrics_collected` fires on the plugin objects themselves, with or without an AgentSession. Each
event is one request, and becomes one instance with a usage for each meter that it reports.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from livekit.agents import metrics

from ..errors import UsageError
from ..recorder import Recorder
from ..usage import Certainty, Usage, core_meters
from .attribution import current_attribution

_SOURCE = "plugin"
_LONGEST_REQUEST_SECONDS = 86_400.0

MEASURED_AT_SOCKET = frozenset({"deepgram"})
"""Providers whose streamed audio the connection meter sees; their metric would count it twice."""

PROVIDER_BY_HOST = {
    "api.openai.com": "openai",
    "api.groq.com": "groq",
    "api.x.ai": "x-ai",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.cerebras.ai": "cerebras",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
}
"""The OpenAI plugin names its provider by the host of its base URL; these are the hosts we know."""


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
    """Writes down what watched models report of their requests."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._watched: weakref.WeakSet[Model] = weakref.WeakSet()
        self._seen: set[str] = set()

    def watch(self, model: Model, *, provider: str | None = None) -> None:
        """Meter a model; watching it again changes nothing.

        `provider` replaces the slug that would be derived, for a gateway that stands for another.
        """
        if model in self._watched:
            return
        self._watched.add(model)
        slug = provider or provider_slug(model)

        def collected(event: Any) -> None:
            self._collected(slug, event)

        model.on("metrics_collected", collected)

    def _collected(self, provider: str, event: Any) -> None:
        quantities = dict(_quantities(provider, event))
        if not quantities:
            return
        instance_id = self._instance_id(provider, event.request_id)
        for meter, reported in quantities.items():
            try:
                self._recorder.record(self._usage(provider, event, instance_id, meter, reported))
            except UsageError as error:
                self._recorder.refuse(meter, error)
                self._recorder.record(self._usage(provider, event, instance_id, meter, None))

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
        reported: int | float | None,
    ) -> Usage:
        """One meter of one request; a figure that cannot be true is one that was never reported."""
        caused_by = current_attribution()
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
            quantity=Decimal(0) if reported is None else _decimal(meter, reported),
            unit=core_meters()[meter].unit,
            certainty=Certainty.ESTIMATED if reported is None else Certainty.EXACT,
            quantity_lower=Decimal(0) if reported is None else None,
            provider_ref=_known(event.request_id),
            started_at=ended_at
            - timedelta(seconds=min(max(0.0, duration), _LONGEST_REQUEST_SECONDS)),
            ended_at=ended_at,
            source=_SOURCE,
        )


def _known(request_id: str) -> str | None:
    return None if request_id in ("", "unknown") else request_id


def _decimal(meter: str, reported: int | float) -> Decimal:
    """A metric's figure, to the microsecond; the framework sums durations in floats."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        raise UsageError(f"{meter}: {reported!r} is not a number")
    return Decimal(reported) if isinstance(reported, int) else Decimal(repr(round(reported, 6)))


Reported = Iterator[tuple[str, int | float | None]]


def _llm(provider: str, event: metrics.LLMMetrics) -> Reported:
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


def _tts(provider: str, event: metrics.TTSMetrics) -> Reported:
    yield "tts_characters", event.characters_count
    yield "tts_audio", event.audio_duration
    if event.input_tokens:
        yield "tts_input_tokens", event.input_tokens
    if event.output_tokens:
        yield "tts_output_tokens", event.output_tokens


def _stt(provider: str, event: metrics.STTMetrics) -> Reported:
    if event.audio_duration and not (event.streamed and provider in MEASURED_AT_SOCKET):
        yield "stt_audio", event.audio_duration
    if event.input_tokens:
        yield "stt_input_tokens", event.input_tokens
    if event.output_tokens:
        yield "stt_output_tokens", event.output_tokens


def _realtime(provider: str, event: metrics.RealtimeModelMetrics) -> Reported:
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


_READERS: dict[type, Callable[[str, Any], Reported]] = {
    metrics.LLMMetrics: _llm,
    metrics.TTSMetrics: _tts,
    metrics.STTMetrics: _stt,
    metrics.RealtimeModelMetrics: _realtime,
}


def _quantities(provider: str, event: object) -> Iterable[tuple[str, int | float | None]]:
    reader = _READERS.get(type(event))
    return reader(provider, event) if reader else ()
