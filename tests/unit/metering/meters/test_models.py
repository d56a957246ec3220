from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import pytest
from livekit.agents import APIConnectionError, APIStatusError, APITimeoutError, metrics
from livekit.agents.llm import LLMError

from metering.meters.attribution import attribution
from metering.meters.connections import ConnectionMeter
from metering.meters.models import ModelMeter, provider_slug
from metering.pricing import ChargeState, load_card, rate
from metering.usage import Certainty, Usage
from tests.recording import Recording

NAN, INFINITY = float("nan"), float("inf")


class Plugin:
    """A model as far as the meter sees one: it names its provider, and emits what a test has it."""

    def __init__(self, provider: str = "OpenAI", model: str = "gpt-4.1-mini") -> None:
        self.provider = provider
        self.model = model
        self.callbacks: list[Callable[[Any], None]] = []
        self.failures: list[Callable[[Any], None]] = []

    def on(self, event: str, callback: Callable[[Any], None]) -> None:
        assert event in ("metrics_collected", "error")
        if event == "error":
            self.failures.append(callback)
        else:
            self.callbacks.append(callback)

    def emit(self, event: object) -> None:
        for callback in self.callbacks:
            callback(event)


class OfPlugin(Plugin):
    """The same from a LiveKit plugin's own module."""


OfPlugin.__module__ = "livekit.plugins.openai.llm"


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def plugin(recording: Recording) -> Plugin:
    plugin = Plugin()
    ModelMeter(recording.recorder).watch(plugin)
    return plugin


def named(model: str | None = "gpt-4.1-mini") -> metrics.base.Metadata:
    return metrics.base.Metadata(model_name=model)


def llm(**changes: Any) -> metrics.LLMMetrics:
    values: dict[str, Any] = {
        "label": "llm",
        "request_id": "req-1",
        "timestamp": 0.0,
        "duration": 1.5,
        "ttft": 0.1,
        "cancelled": False,
        "completion_tokens": 20,
        "prompt_tokens": 100,
        "prompt_cached_tokens": 0,
        "total_tokens": 120,
        "tokens_per_second": 10.0,
        "metadata": named(),
    }
    return metrics.LLMMetrics.model_construct(**values | changes)


def tts(**changes: Any) -> metrics.TTSMetrics:
    values: dict[str, Any] = {
        "label": "tts",
        "request_id": "req-1",
        "timestamp": 0.0,
        "ttfb": 0.1,
        "duration": 1.0,
        "audio_duration": 2.5,
        "cancelled": False,
        "characters_count": 17,
        "streamed": False,
        "metadata": named("tts-1"),
    }
    return metrics.TTSMetrics.model_construct(**values | changes)


def stt(**changes: Any) -> metrics.STTMetrics:
    values: dict[str, Any] = {
        "label": "stt",
        "request_id": "req-1",
        "timestamp": 0.0,
        "duration": 0.0,
        "audio_duration": 3.0,
        "streamed": True,
        "metadata": named("nova-3"),
    }
    return metrics.STTMetrics.model_construct(**values | changes)


def usages(recording: Recording) -> dict[str, Usage]:
    return {usage.meter: usage for usage in recording.run(alive=True).usages}


def quantities(recording: Recording) -> dict[str, Decimal]:
    return {meter: usage.quantity for meter, usage in usages(recording).items()}


@pytest.mark.parametrize(
    ("provider", "slug"),
    [
        ("Deepgram", "deepgram"),
        ("AssemblyAI", "assemblyai"),
        ("livekit", "livekit"),
        ("api.openai.com", "openai"),
        ("API.OpenAI.com", "openai"),
        ("api.groq.com", "groq"),
        ("openrouter.ai", "openrouter"),
        ("Amazon Bedrock", "amazon-bedrock"),
        ("faster-whisper", "faster-whisper"),
        ("my.gateway.internal", "my.gateway.internal"),
    ],
)
def test_a_providers_slug(provider: str, slug: str) -> None:
    assert provider_slug(Plugin(provider)) == slug


@pytest.mark.parametrize(
    "provider", ["127.0.0.1:8080", "localhost", "localhost:8080", "llm.corp.example", "", "unknown"]
)
def test_a_proxys_host_is_nobodys_provider(provider: str) -> None:
    assert provider_slug(OfPlugin(provider)) == "openai"


def test_a_plugin_may_reach_a_known_provider_by_its_host() -> None:
    assert provider_slug(OfPlugin("api.x.ai")) == "x-ai"


def test_a_gateway_may_stand_for_another(recording: Recording) -> None:
    plugin = Plugin("gateway.corp.example")
    ModelMeter(recording.recorder).watch(plugin, provider="openai")
    plugin.emit(llm())
    assert {usage.provider for usage in usages(recording).values()} == {"openai"}


def test_a_request_is_one_instance_with_its_parts(recording: Recording, plugin: Plugin) -> None:
    with attribution(participant="alice", purpose="notes"):
        plugin.emit(llm(prompt_cached_tokens=40, cache_creation_tokens=10, reasoning_tokens=5))
    assert quantities(recording) == {
        "llm_input_tokens": 100,
        "llm_cached_input_tokens": 40,
        "llm_cache_write_tokens": 10,
        "llm_output_tokens": 20,
        "llm_reasoning_tokens": 5,
    }
    for usage in usages(recording).values():
        assert usage.instance_id == "openai/req-1"
        assert usage.provider_ref == "req-1"
        assert (usage.provider, usage.model, usage.unit) == ("openai", "gpt-4.1-mini", "token")
        assert (usage.participant, usage.purpose) == ("alice", "notes")
        assert usage.certainty is Certainty.EXACT
        assert (usage.ended_at - usage.started_at).total_seconds() == 1.5


def test_speech_made(recording: Recording, plugin: Plugin) -> None:
    plugin.emit(tts(input_tokens=7, output_tokens=30))
    assert quantities(recording) == {
        "tts_characters": 17,
        "tts_audio": Decimal("2.5"),
        "tts_input_tokens": 7,
        "tts_output_tokens": 30,
    }


def test_float_noise_stays_out(recording: Recording, plugin: Plugin) -> None:
    plugin.emit(tts(audio_duration=0.1 + 0.2))
    assert quantities(recording)["tts_audio"] == Decimal("0.3")


class Sockets(ConnectionMeter):
    """Says of each provider what it is told to."""

    def __init__(self, recording: Recording, counted: dict[str, bool]) -> None:
        super().__init__(recording.recorder)
        self.counted = counted

    def counts_audio(self, provider: str, model: str, request_id: str | None = None) -> bool | None:
        assert (model, request_id) == ("nova-3", "req-1")
        return self.counted.get(provider)


def test_speech_heard_is_not_counted_twice(recording: Recording) -> None:
    deepgram, other, third = Plugin("Deepgram"), Plugin("AssemblyAI"), Plugin("OpenAI")
    sockets = Sockets(recording, {"deepgram": True, "openai": False})
    meter = ModelMeter(recording.recorder, sockets)
    # Whoever is charged for it, the socket goes by the plugin's own name.
    meter.watch(deepgram, provider="reseller")
    meter.watch(other)
    meter.watch(third)
    deepgram.emit(stt())
    assert usages(recording) == {}
    other.emit(stt(input_tokens=5, output_tokens=2))
    assert quantities(recording) == {
        "stt_audio": 3,
        "stt_input_tokens": 5,
        "stt_output_tokens": 2,
    }
    third.emit(stt())
    assert [usage.provider for usage in recording.usages("stt_audio")] == ["assemblyai", "openai"]
    deepgram.emit(stt(streamed=False))
    assert [usage.provider for usage in recording.usages("stt_audio")] == [
        "assemblyai",
        "openai",
        "reseller",
    ]


def test_a_realtime_models_tokens_by_modality(recording: Recording, plugin: Plugin) -> None:
    kind = metrics.RealtimeModelMetrics
    plugin.emit(
        kind(
            request_id="req-1",
            timestamp=0.0,
            duration=2.0,
            session_duration=9.5,
            input_token_details=kind.InputTokenDetails(
                audio_tokens=50,
                text_tokens=20,
                image_tokens=5,
                cached_tokens=30,
                cached_tokens_details=kind.CachedTokenDetails(audio_tokens=10, text_tokens=20),
            ),
            output_token_details=kind.OutputTokenDetails(text_tokens=7, audio_tokens=70),
        )
    )
    assert quantities(recording) == {
        "realtime_session": Decimal("9.5"),
        "realtime_input_text_tokens": 20,
        "realtime_cached_input_text_tokens": 20,
        "realtime_input_audio_tokens": 50,
        "realtime_cached_input_audio_tokens": 10,
        "realtime_input_image_tokens": 5,
        "realtime_output_text_tokens": 7,
        "realtime_output_audio_tokens": 70,
    }


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_request_that_reports_nothing_has_no_size_and_no_price(
    recording: Recording, plugin: Plugin, cancelled: bool
) -> None:
    plugin.emit(llm(cancelled=cancelled, prompt_tokens=0, completion_tokens=0, total_tokens=0))
    found = usages(recording)
    assert found.keys() == {"llm_input_tokens", "llm_output_tokens"}
    assert all(usage.unreported for usage in found.values())
    charges = rate(list(found.values()), load_card(), hosting="self", plan="none")
    assert {charge.state for charge in charges} == {ChargeState.UNRATED}
    assert all(charge.list_cost is None for charge in charges)


def test_a_cancelled_request_that_reports_is_taken_at_its_word(
    recording: Recording, plugin: Plugin
) -> None:
    plugin.emit(llm(cancelled=True))
    assert quantities(recording) == {"llm_input_tokens": 100, "llm_output_tokens": 20}
    assert not any(usage.unreported for usage in usages(recording).values())


@pytest.mark.parametrize("hostile", [-1, NAN, INFINITY, -INFINITY, True, "many", [], 10**30])
def test_a_figure_that_cannot_be_true_is_refused_and_unreported(
    recording: Recording, plugin: Plugin, caplog: pytest.LogCaptureFixture, hostile: object
) -> None:
    plugin.emit(llm(prompt_tokens=hostile or [0]))
    plugin.emit(tts(audio_duration=hostile or [0], request_id="req-2"))
    found = usages(recording)
    assert found["llm_input_tokens"].unreported
    assert found["tts_audio"].unreported
    assert found["llm_output_tokens"].quantity == 20
    assert found["tts_characters"].quantity == 17
    assert not found["llm_output_tokens"].unreported
    assert caplog.text.count("measurement refused") == 2
    charges = rate(list(found.values()), load_card(), hosting="self", plan="none")
    states = {charge.meter: charge.state for charge in charges}
    assert states["llm_input_tokens"] is ChargeState.UNRATED


@pytest.mark.parametrize("duration", [NAN, INFINITY, -5.0, -1, 10.0**300])
def test_a_requests_impossible_duration_costs_no_figure(
    recording: Recording, plugin: Plugin, duration: float
) -> None:
    plugin.emit(llm(duration=duration))
    found = usages(recording)["llm_input_tokens"]
    assert found.quantity == 100
    assert 0 <= (found.ended_at - found.started_at).total_seconds() <= 86_400


@pytest.mark.parametrize("metadata", [None, named(None), named("")])
def test_a_model_that_is_not_named(
    recording: Recording, plugin: Plugin, metadata: metrics.base.Metadata | None
) -> None:
    plugin.emit(llm(metadata=metadata))
    assert {usage.model for usage in usages(recording).values()} == {""}


@pytest.mark.parametrize(
    "event",
    [
        object(),
        None,
        {"prompt_tokens": 5},
        metrics.VADMetrics(
            label="vad",
            timestamp=0.0,
            idle_time=0.0,
            inference_duration_total=0.0,
            inference_count=1,
        ),
    ],
)
def test_events_of_other_kinds_are_passed_over(
    recording: Recording, plugin: Plugin, event: object
) -> None:
    plugin.emit(event)
    assert usages(recording) == {}


@pytest.mark.parametrize("request_id", ["req-1", "", "unknown", None])
def test_requests_that_share_an_id_are_instances_all_the_same(
    recording: Recording, plugin: Plugin, request_id: str | None
) -> None:
    for _ in range(3):
        plugin.emit(llm(request_id=request_id))
    inputs = recording.usages("llm_input_tokens")
    assert len({usage.instance_id for usage in inputs}) == 3
    assert sum(usage.quantity for usage in inputs) == 300


def test_watching_again_changes_nothing(recording: Recording) -> None:
    plugin = Plugin()
    meter = ModelMeter(recording.recorder)
    meter.watch(plugin)
    meter.watch(plugin)
    assert len(plugin.callbacks) == 1


class Failure:
    """What a plugin has to say of an attempt that failed."""

    def __init__(self, recording: Recording) -> None:
        self.plugin = Plugin()
        ModelMeter(recording.recorder).watch(self.plugin)

    def emit(self, event: object) -> None:
        (callback,) = self.plugin.failures
        callback(event)


def failed(error: Exception) -> LLMError:
    return LLMError(timestamp=0.0, label="llm", error=error, recoverable=True)


@pytest.mark.parametrize("error", [APITimeoutError(), APIConnectionError(), ValueError("broken")])
def test_an_attempt_that_failed_is_an_instance_without_a_size(
    recording: Recording, error: Exception
) -> None:
    Failure(recording).emit(failed(error))
    found = usages(recording)
    assert found.keys() == {"llm_input_tokens", "llm_output_tokens"}
    assert all(usage.unreported for usage in found.values())
    assert len({usage.instance_id for usage in found.values()}) == 1


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_an_attempt_that_was_refused_is_none(recording: Recording, status: int) -> None:
    Failure(recording).emit(failed(APIStatusError("no", status_code=status)))
    assert usages(recording) == {}


def test_an_attempt_that_never_reached_anybody_is_none(recording: Recording) -> None:
    error = APIConnectionError()
    error.__cause__ = httpx.ConnectError("nobody there")
    Failure(recording).emit(failed(error))
    assert usages(recording) == {}


def test_speech_cancelled_before_it_was_heard_may_not_be_billed(
    recording: Recording, plugin: Plugin
) -> None:
    plugin.emit(tts(cancelled=True, ttfb=-1.0, audio_duration=0.0))
    (said,) = usages(recording).values()
    assert said.certainty is Certainty.ESTIMATED
    assert said.quantity_lower == 0
    assert said.quantity == said.quantity_upper == 17
