"""One job's STTs: one for each set of options that its participants come to need.

People who are to be heard alike share one, whose plugin pools what it can; each is metered from the
moment that it is made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from livekit.agents import stt

from .errors import TranscriberError
from .providers import Warm, build_engine
from .request import TranscriptionRequest
from .settings import AgentSettings, ModelChoice
from .speech_options import SpeechOptions

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger("tallyroom.agent")


class Engines:
    """Makes and keeps the STTs of one job.

    `choice` is which STT; not given it is the one that is set. `http_session` makes the client
    session that all of them share; `watch` is called once with each STT that is made, so that it is
    metered.

    Raises:
        TranscriberError: the meeting's own STT cannot be had.
    """

    def __init__(
        self,
        settings: AgentSettings,
        request: TranscriptionRequest,
        warm: Warm,
        http_session: Callable[[], aiohttp.ClientSession],
        watch: Callable[[stt.STT[Any]], None] = lambda engine: None,
        choice: ModelChoice | None = None,
    ) -> None:
        self._settings = settings
        self._choice = choice or settings.stt_choice
        self._request = request
        self._warm = warm
        self._make_session = http_session
        self._session: aiohttp.ClientSession | None = None
        self._watch = watch
        self._engines: dict[SpeechOptions, stt.STT[Any]] = {}
        self.for_options(SpeechOptions.of(request))

    def for_participant(
        self, identity: str, attributes: Mapping[str, str] | None = None
    ) -> stt.STT[Any]:
        """The STT that a participant is to be heard with; raises nothing.

        `attributes` are the participant's own: the language in them holds unless the dispatch has
        one for them. What cannot be had is logged, and the next best taken, up to the meeting's
        STT: who is in the room is never left unheard.
        """
        for known in (attributes, None):
            try:
                return self.for_options(SpeechOptions.of(self._request, identity, known))
            except TranscriberError:
                logger.warning(
                    "a participant's language cannot be had of %s: the next best is taken",
                    "/".join(self._choice),
                )
        return self.for_options(SpeechOptions.of(self._request))

    def for_options(self, options: SpeechOptions) -> stt.STT[Any]:
        """The STT with these options, made if it is the first time that it is asked for.

        Raises:
            TranscriberError: it cannot be had.
        """
        if options not in self._engines:
            engine = build_engine(
                self._settings, options, self._warm, self._shared_session, self._choice
            )
            self._watch(engine)
            self._engines[options] = engine
        return self._engines[options]

    def _shared_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._make_session()
        return self._session
