"""What an event of a plugin's says was used, meter by meter.

Each event is one request, a stream's several; what it leaves out is not the same as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from livekit.agents import metrics

from .request_bounds import Estimate

Reading = int | float | Estimate | None
"""A figure as it was reported, an estimate of one, or None for one that never was."""
Reported = Iterator[tuple[str, Reading]]
UNKNOWN = Estimate(Decimal(0), Decimal(0), None)
"""Of what was used and never said."""


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


READERS: dict[type, Callable[[Any], Reported]] = {
    metrics.LLMMetrics: _llm,
    metrics.TTSMetrics: _tts,
    metrics.STTMetrics: _stt,
    metrics.RealtimeModelMetrics: _realtime,
}
"""By the event's type; other events are of no usage."""
