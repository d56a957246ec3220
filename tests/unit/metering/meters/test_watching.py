"""What is watched, and by how many ways the same event may come."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Literal

import pytest
from livekit.agents import (
    AgentSession,
    APIConnectionError,
    MetricsCollectedEvent,
    llm,
    metrics,
    stt,
)
from livekit.agents.types import APIConnectOptions
from livekit.plugins import openai
from typing_extensions import override

from metering.meters.models import ModelMeter, Watched
from metering.usage import Certainty
from tests.recording import Recording


class Thinker(llm.LLM[Literal["metrics_collected"]]):
    """A model that only reports."""

    @property
    @override
    def model(self) -> str:
        return "gpt-4.1-mini"

    @property
    @override
    def provider(self) -> str:
        return "OpenAI"

    @override
    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = APIConnectOptions(),  # noqa: B008
        **options: object,
    ) -> llm.LLMStream:
        raise NotImplementedError

    def report(self, request_id: str) -> metrics.LLMMetrics:
        event = metrics.LLMMetrics(
            label=self.label,
            request_id=request_id,
            timestamp=0.0,
            duration=1.0,
            ttft=0.1,
            cancelled=False,
            completion_tokens=20,
            prompt_tokens=100,
            prompt_cached_tokens=0,
            total_tokens=120,
            tokens_per_second=10.0,
            metadata=metrics.base.Metadata(model_name=self.model, model_provider=self.provider),
        )
        self.emit("metrics_collected", event)
        return event

    def fail(self) -> None:
        self.emit("error", failure(self.label))


def failure(label: str) -> llm.LLMError:
    error = APIConnectionError("broken off")
    return llm.LLMError(timestamp=0.0, label=label, error=error, recoverable=True)


@pytest.fixture
def recording() -> Recording:
    return Recording()


def requests(recording: Recording) -> list[Decimal]:
    return [usage.quantity for usage in recording.usages("llm_input_tokens")]


async def test_a_session_and_its_model_tell_of_one_request(recording: Recording) -> None:
    thinker = Thinker()
    first, second = AgentSession[None](llm=thinker), AgentSession[None](llm=thinker)
    meter = ModelMeter(recording.recorder)
    for watched in (first, second, thinker, first):
        meter.watch(watched)
    event = thinker.report("req-1")
    for session in (first, second):
        session.emit("metrics_collected", MetricsCollectedEvent(metrics=event))
    assert requests(recording) == [100]


async def test_what_reaches_the_session_only_is_metered_there(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    session = AgentSession[None]()
    with caplog.at_level(logging.WARNING):
        ModelMeter(recording.recorder).watch(session)
    session.emit("metrics_collected", MetricsCollectedEvent(metrics=Thinker().report("req-1")))
    assert requests(recording) == [100]
    (usage,) = recording.usages("llm_input_tokens")
    assert (usage.provider, usage.model) == ("openai", "gpt-4.1-mini")
    # Nor does it make the framework warn whoever watches.
    assert caplog.messages == []


async def test_an_adapters_members_are_metered_each_once(recording: Recording) -> None:
    one, two = Thinker(), Thinker()
    adapter = llm.FallbackAdapter([one, two])
    ModelMeter(recording.recorder).watch(adapter)
    one.report("req-1")
    two.report("req-2")
    assert requests(recording) == [100, 100]
    # A member's failure is its own; the adapter's is all of theirs.
    one.fail()
    adapter.emit("error", failure(adapter.label))
    estimates = [
        usage
        for usage in recording.usages("llm_input_tokens")
        if usage.certainty is Certainty.ESTIMATED
    ]
    assert len(estimates) == 1


async def test_an_adapters_own_word_for_what_its_member_has_said_is_not_counted(
    recording: Recording,
) -> None:
    """StreamAdapter reports a `recognize` that its member has reported already."""
    member = openai.STT(model="whisper-1", api_key="key")
    label = f"{stt.StreamAdapter.__module__}.{stt.StreamAdapter.__name__}"
    ModelMeter(recording.recorder).watch(member)
    for said_by in (member.label, label):
        member.emit(
            "metrics_collected",
            metrics.STTMetrics(
                label=said_by,
                request_id="",
                timestamp=0.0,
                duration=0.5,
                audio_duration=3.0,
                streamed=False,
                metadata=metrics.base.Metadata(model_name="whisper-1"),
            ),
        )
    assert [usage.quantity for usage in recording.usages("stt_audio")] == [3]


async def test_a_realtime_model_by_itself_is_refused_with_what_to_do(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    model: object = openai.realtime.RealtimeModel(api_key="key")
    watched: Watched = model  # type: ignore[assignment]
    ModelMeter(recording.recorder).watch(watched)
    assert "watch the AgentSession instead" in caplog.text
