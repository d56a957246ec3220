"""What an STT is made from, and the refusal of what its model cannot do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livekit.agents import vad

from metering import StreamingTerms, StreamLimits

from ..errors import DispatchError
from ..listening.speech_detector import SileroModel
from ..settings import AgentSettings, ModelChoice
from ..speech_model import SpeechModel
from ..speech_options import SpeechOptions

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True)
class Warm:
    """What a job process has loaded before its first job; how its STTs are billed and limited."""

    speech_models: Mapping[str, SpeechModel] = field(default_factory=dict)
    vad: vad.VAD | None = None
    speech_detector: SileroModel | None = None
    terms: Mapping[ModelChoice, StreamingTerms] = field(default_factory=dict)
    limits: Mapping[str, StreamLimits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an STT is built from; `http_session` is for its sockets."""

    settings: AgentSettings
    options: SpeechOptions
    warm: Warm
    http_session: Callable[[], aiohttp.ClientSession]
    model: str


def refuse(field: str, choice: ModelChoice, why: str) -> DispatchError:
    """The error for a field of a request that a model cannot do; `why` says what to do instead."""
    return DispatchError(f"{field}: TALLYROOM_STT={'/'.join(choice)} {why}")


def refuse_all(
    choice: ModelChoice,
    options: SpeechOptions,
    *,
    keyterms: str | None = None,
    diarize: str | None = None,
    profanity_filter: str | None = None,
    numerals: str | None = None,
) -> None:
    """Refuse what is asked for of these; each says why the model cannot, None that it can.

    Raises:
        DispatchError: the first of them that is asked for.
    """
    for name, is_asked, why in (
        ("keyterms", bool(options.keyterms), keyterms),
        ("diarize", options.diarize, diarize),
        ("profanity_filter", options.profanity_filter, profanity_filter),
        ("numerals", options.numerals is not None, numerals),
    ):
        if is_asked and why:
            raise refuse(name, choice, why)
