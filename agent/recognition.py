"""How one job hears: which STT, what stands in for it, and what of the audio it is sent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from livekit.agents import stt

from metering import StreamLimiter

from .engines import Engines
from .errors import DispatchError, SpeechModelError
from .listening.backlog import AudioAllowance
from .listening.gate import Gate
from .listening.recognisers import Circuit, Recogniser, Recognisers, StreamTraits
from .listening.silence import SilencePolicy
from .listening.speech_detector import SileroModel
from .providers import Warm, stream_traits
from .request import TranscriptionRequest
from .settings import AgentSettings, ModelChoice, SendAudio

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger("tallyroom.agent")

KEPT_SECONDS = 3600.0
"""Audio that a job keeps in memory while no STT can be had: 115 MB."""

_KEEP_OPEN = SilencePolicy(closes=False)


@dataclass
class _Chosen:
    """One of the STTs that may be used."""

    engines: Engines
    silence: SilencePolicy
    limiter: StreamLimiter | None
    traits: StreamTraits
    circuit: Circuit = field(default_factory=Circuit)

    def recogniser(self, identity: str, attributes: Mapping[str, str]) -> Recogniser:
        """For one participant."""
        limited: dict[str, Any] = {}
        if limiter := self.limiter:
            limited = {
                "permit": limiter.permit,
                "is_short": limiter.is_short,
                "lend": limiter.lend,
            }
        engine = self.engines.for_participant(identity, attributes)
        # A provider tells voices apart within a connection; in the next they have other numbers.
        is_kept = engine.capabilities.diarization
        silence = replace(self.silence, closes=False) if is_kept else self.silence
        return Recogniser(
            engine, silence=silence, circuit=self.circuit, traits=self.traits, **limited
        )


class Recognition:
    """What a job's listeners are made with.

    `watch` is told every STT that is made, so that what it uses is metered. `run_id` tells the job
    from others that share its providers' limits.

    Raises:
        TranscriberError: the chosen STT cannot be had.
    """

    def __init__(
        self,
        settings: AgentSettings,
        request: TranscriptionRequest,
        warm: Warm,
        *,
        http_session: Callable[[], aiohttp.ClientSession],
        watch: Callable[[stt.STT[Any]], None],
        run_id: str = "",
    ) -> None:
        self._warm = warm
        limiters = {
            provider: StreamLimiter(provider, limits, holder=run_id)
            for provider, limits in warm.limits.items()
        }
        self.sends = request.send_audio or settings.send_audio
        self._chosen: list[_Chosen] = []
        for choice in settings.stt_choices:
            try:
                engines = Engines(settings, request, warm, http_session, watch, choice)
            except (DispatchError, SpeechModelError):
                if not self._chosen:
                    raise
                logger.warning("%s cannot stand in for this meeting", "/".join(choice))
                continue
            self._chosen.append(
                _Chosen(
                    engines,
                    self._silence(choice),
                    limiters.get(choice.provider),
                    stream_traits(choice),
                )
            )
        self.allowance = AudioAllowance(KEPT_SECONDS)
        # One gate is before all of them: what it sends is what each is sent.
        self._tail_seconds = max(one.silence.tail_seconds for one in self._chosen)
        for one in self._chosen:
            one.silence = replace(one.silence, tail_seconds=self._tail_seconds)

    def _silence(self, choice: ModelChoice) -> SilencePolicy:
        terms = self._warm.terms.get(choice)
        # Where sockets outlive their streams closing one saves nothing.
        if terms is None or stream_traits(choice).pools_sockets:
            return _KEEP_OPEN
        return SilencePolicy.for_terms(terms)

    def recognisers(self, identity: str, attributes: Mapping[str, str]) -> Recognisers:
        """What one participant is heard with, by their own attributes."""
        return Recognisers([one.recogniser(identity, attributes) for one in self._chosen])

    def gate(self) -> Gate | None:
        """For one participant; None where all of their audio is sent."""
        if self.sends is SendAudio.ALWAYS:
            return None
        detector = self._warm.speech_detector or SileroModel.load()
        return Gate(detector.detector(), tail_seconds=self._tail_seconds)
