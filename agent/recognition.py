"""How one job hears: which STT, what stands in for it, and what of the audio it is sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from livekit.agents import stt

from .errors import SpeechModelError
from .listening.backlog import AudioAllowance
from .listening.gate import Gate
from .listening.recognisers import Recogniser, Recognisers
from .listening.silence import SilencePolicy
from .listening.speech_detector import SileroModel
from .providers import Warm, build_stt
from .request import TranscriptionRequest
from .settings import AgentSettings, ModelChoice, SendAudio

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger("tallyroom.agent")

KEPT_SECONDS = 3600.0
"""Audio that a job keeps in memory while no STT can be had: 115 MB."""

_KEEP_OPEN = SilencePolicy(closes=False)


class Recognition:
    """What a job's listeners are made with.

    `watch` is told every STT that is built, so that what it uses is metered.

    Raises:
        SettingsError: the chosen STT cannot be built.
        SpeechModelError: the embedded model lacks the language.
    """

    def __init__(
        self,
        settings: AgentSettings,
        request: TranscriptionRequest,
        warm: Warm,
        *,
        http_session: Callable[[], aiohttp.ClientSession],
        watch: Callable[[stt.STT[Any]], None],
    ) -> None:
        self._warm = warm
        self.sends = request.send_audio or settings.send_audio
        recognisers = []
        for number, choice in enumerate(settings.stt_choices):
            try:
                engine = build_stt(settings, request, warm, http_session, choice)
            except SpeechModelError:
                if number == 0:
                    raise
                logger.warning("%s cannot stand in for this meeting", "/".join(choice))
                continue
            watch(engine)
            recognisers.append(Recogniser(engine, silence=self._silence(choice)))
        self.recognisers = Recognisers(recognisers)
        self.allowance = AudioAllowance(KEPT_SECONDS)
        self._tail_seconds = max(one.silence.tail_seconds for one in recognisers)

    def _silence(self, choice: ModelChoice) -> SilencePolicy:
        terms = self._warm.terms.get(choice)
        return SilencePolicy.for_terms(terms) if terms else _KEEP_OPEN

    def gate(self) -> Gate | None:
        """For one participant; None where all of their audio is sent."""
        if self.sends is SendAudio.ALWAYS:
            return None
        detector = self._warm.speech_detector or SileroModel.load()
        return Gate(detector.detector(), tail_seconds=self._tail_seconds)
