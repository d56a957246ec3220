"""LLM, TTS and non-socket STT usage, from the metrics that the plugins emit.

`metrics_collected` fires on the plugin objects themselves, with or without an AgentSession. Each
event is one request, and becomes one instance with a usage for each meter that it reports.
"""

from __future__ import annotations

import contextlib
import logging
import math
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

import aiohttp
from livekit.agents import AgentSession, APIStatusError, llm, metrics, stt, tts

from ..errors import UsageError
from ..recorder import Recorder
from ..usage import Certainty, Usage, core_meters
from .attribution import current_attribution
from .connections import ConnectionMeter
from .hosts import PROVIDER_BY_HOST
from .realtime import ResponseWatch
from .reports import READERS, UNKNOWN, Reading
from .request_bounds import Estimate
from .requests import COUNTED, NEVER_SENT, OWN_ID, RequestMeter

logger = logging.getLogger("tallyroom.metering")

_SOURCE = "plugin"
_EVENTS_AT_ONCE = 16
_LONGEST_REQUEST_SECONDS = 86_400.0


class Model(Protocol):
    """A plugin object: an STT, LLM or TTS, or an adapter around some."""

    @property
    def provider(self) -> str:
        """Whose it is, as the plugin puts it."""

    @property
    def model(self) -> str:
        """Its name."""

    def on(self, event: Any, callback: Any) -> Any:
        """Call back at an event."""


Watched = Model | AgentSession[Any] | llm.RealtimeSession[Any]
"""What can be watched."""


def provider_slug(model: Model) -> str:
    """The provider of a plugin object, as a lowercase slug.

    Not a proxy's host: where the plugin names a host that is nobody's, it is the plugin's own name.
    """
    return _slug(model.provider, type(model).__module__)


def _slug(provider: str, defined_in: str) -> str:
    named = provider.lower()
    if named in PROVIDER_BY_HOST:
        return PROVIDER_BY_HOST[named]
    module = defined_in.split(".")
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
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        self._seen: set[str] = set()
        # One event comes by several ways at once: an adapter passes its member's on, and so does
        # each session that uses the model.
        self._latest: deque[object] = deque(maxlen=_EVENTS_AT_ONCE)
        self._responses: list[ResponseWatch] = []

    def watch(self, model: Watched, *, provider: str | None = None) -> None:
        """Meter a model, or whatever a session comes to use; watching it again changes nothing.

        A realtime model reports through its sessions only: watch the `AgentSession` that uses it,
        or the session that it has made. `provider` replaces the slug that would be derived, for a
        gateway that stands for another.
        """
        if model in self._watched:
            return
        if isinstance(model, llm.RealtimeModel):
            logger.error(
                "a realtime model reports its usage to its session only, and is not metered:"
                " watch the AgentSession instead"
            )
            return
        self._watched.add(model)
        if isinstance(model, AgentSession):
            self._watch_session(model, provider)
        elif isinstance(model, llm.RealtimeSession):
            self._watch_realtime(model, provider)
        else:
            self._watch_plugin(model, provider)

    def _watch_session(self, session: AgentSession[Any], provider: str | None) -> None:
        def found() -> None:
            # An agent's own models come before its session's.
            models: list[object] = [session.stt, session.llm, session.tts]
            with contextlib.suppress(RuntimeError):  # it has not started, or has no realtime model
                agent = session.current_agent
                models += [agent.stt, agent.llm, agent.tts]
                models.append(agent.realtime_llm_session)
            for model in models:
                if isinstance(model, stt.STT | llm.LLM | tts.TTS | llm.RealtimeSession):
                    self.watch(model, provider=provider)

        # Whatever the session uses besides, for as long as it does. The session's own `on` would
        # log that the event is deprecated in favour of sums, which are not what is billed.
        super(AgentSession, session).on(
            "metrics_collected", lambda event: self._reported(event.metrics, None, provider)
        )
        session.on("agent_state_changed", lambda event: found())
        found()

    def _watch_realtime(self, session: llm.RealtimeSession[Any], provider: str | None) -> None:
        model = session.realtime_model
        slug = provider or _slug(model.provider, model.label)

        def reported(event: Any) -> None:
            self._reported(event, None, provider)

        def begun(response_id: str) -> None:
            # From now on it stands in the journal: the session may break, the process be killed.
            instance_id = self._recorder.instance_id(slug, response_id)
            for usage in self._sizeless(instance_id, slug, model.model, _RESPONSE_METERS):
                self._recorder.under_way(replace(usage, provider_ref=response_id))

        def over(response_id: str) -> None:
            instance_id = self._recorder.instance_id(slug, response_id)
            self._recorder.withdraw(instance_id, _RESPONSE_METERS)

        session.on("metrics_collected", reported)
        self._responses.append(ResponseWatch(session, reported, begun=begun, over=over))

    def _watch_plugin(self, model: Model, provider: str | None) -> None:
        def collected(event: Any) -> None:
            self._reported(event, model, provider)

        def failed(event: Any) -> None:
            if not _is_adapters(event) and not self._on_wire(model.provider, model.model):
                self._failed(provider or provider_slug(model), model.model, event)

        model.on("metrics_collected", collected)
        model.on("error", failed)
        # An adapter passes on what its members use, and not what they failed with.
        for member in _members(model):
            self.watch(member, provider=provider)

    def _reported(self, event: Any, model: Model | None, provider: str | None) -> None:
        if type(event) not in READERS or _is_adapters(event):
            return
        if any(event is earlier for earlier in self._latest):
            return
        self._latest.append(event)
        for responses in self._responses:
            responses.told(event.request_id)
        # Whose it is, is the event's to say: an adapter stands for several.
        named = getattr(event, "metadata", None) or metrics.base.Metadata()
        whose = named.model_provider or (model.provider if model else "")
        what = named.model_name or (model.model if model else "")
        label = _label(event)
        by_label = model is None or label.startswith("livekit.")
        of_plugin = _slug(whose, label if by_label else type(model).__module__)
        self._collected(provider or of_plugin, of_plugin, event, on_wire=self._on_wire(whose, what))

    def _on_wire(self, host: str, model: str) -> bool:
        """Whether the requests of a plugin that names its host as its provider are counted there.

        Those that speak OpenAI's protocol do.
        """
        return self._requests is not None and self._requests.sees(host.lower(), model)

    def _failed(self, provider: str, model: str, event: Any) -> None:
        """An attempt that failed after it was sent may be billed, and will never be reported."""
        meters = _UNREPORTED.get(type(event), ())
        if meters and _may_be_billed(event.error):
            instance_id = self._recorder.instance_id(provider, None)
            for usage in self._sizeless(instance_id, provider, model, meters):
                self._recorder.record(usage)

    def _sizeless(
        self, instance_id: str, provider: str, model: str, meters: Iterable[str]
    ) -> Iterator[Usage]:
        """A request of which nobody has said yet, or ever will, how large it is."""
        now, caused_by = self._recorder.clock.stamp(), current_attribution()
        for meter in meters:
            yield Usage(
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

    def _collected(self, provider: str, of_plugin: str, event: Any, *, on_wire: bool) -> None:
        reader = READERS.get(type(event))
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

    def _asked_for(self, provider: str, event: Any, meter: str) -> dict[str, str]:
        """What the audio of a stream was to be heard with, as far as its socket was seen."""
        if meter != "stt_audio" or self._connections is None:
            return {}
        model = (event.metadata and event.metadata.model_name) or ""
        return self._connections.attributes(provider, model.lower(), event.request_id)

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
        known = UNKNOWN if reported is None else reported
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
            attributes=self._asked_for(provider, event, meter),
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


def _label(event: Any) -> str:
    """The module and class whose report it is."""
    return str(getattr(event, "label", ""))


def _is_adapters(event: Any) -> bool:
    """Whether an adapter speaks for itself; what it reports, its members have reported already."""
    label = _label(event)
    return label.startswith("livekit.agents.") and "_adapter." in label


def _members(model: object) -> Iterator[Model]:
    """The models that one of the framework's adapters is made of."""
    if not type(model).__module__.startswith("livekit.agents."):
        return
    for value in vars(model).values():
        for member in value if isinstance(value, list | tuple) else (value,):
            if isinstance(member, stt.STT | llm.LLM | tts.TTS):
                yield member


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


_RESPONSE_METERS = (
    "realtime_input_text_tokens",
    "realtime_input_audio_tokens",
    "realtime_output_text_tokens",
    "realtime_output_audio_tokens",
)
_UNREPORTED: dict[type, tuple[str, ...]] = {
    llm.LLMError: ("llm_input_tokens", "llm_output_tokens"),
    tts.TTSError: ("tts_characters",),
}
