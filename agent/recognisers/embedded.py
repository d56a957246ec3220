"""The embedded model: Whisper, in the job's own process."""

from __future__ import annotations

import math
from typing import Any

from livekit.agents import stt

from ..errors import DispatchError
from ..listening.recognisers import StreamTraits
from ..settings import ModelChoice
from ..speech_model import SpeechModel, language_missing
from ..speech_options import SpeechOptions
from .wanted import Wanted, Warm, refuse_all


def check(choice: ModelChoice, options: SpeechOptions) -> None:
    """Refuse what Whisper cannot do, as far as its name tells.

    It can be told of words to expect, but then it hears them in silence, music and typing, and is
    sure of them: measured with tiny.en, "Tallyroom" in 11 of 13 sounds without words.

    Raises:
        DispatchError: naming the first such thing.
    """
    other = "leave it out, or use another provider"
    refuse_all(
        choice,
        options,
        keyterms=f"would hear them where nobody speaks; {other}",
        diarize=f"tells no voices apart; {other}",
        profanity_filter=f"filters no profanity; {other}",
        numerals=f"has no choice of digits or words; {other}",
    )
    if choice.model.endswith(".en") and options.base_language != "en":
        raise DispatchError(language_missing(choice.model, options.language, ["en"]))


def traits(model: str) -> StreamTraits:
    """It cannot be away: where it is late, the machine has more to do than it can."""
    return StreamTraits(patience=math.inf)


def load(*models: str) -> Warm:
    """Load models and the voice finder; blocks for a second or two.

    Raises:
        SpeechModelError: the model cannot be loaded.
    """
    from livekit.plugins import silero

    return Warm({name: SpeechModel.load(name) for name in models}, silero.VAD.load())


def build(wanted: Wanted) -> stt.STT[Any]:
    """The model as an STT; of one that is warm already, there is one in all STTs.

    Raises:
        SpeechModelError: the model cannot be loaded, or lacks the language.
    """
    from ..whisper_stt import WhisperSTT

    warm = wanted.warm
    if warm.vad is None or wanted.model not in warm.speech_models:
        warm = load(wanted.model)
    assert warm.vad
    return WhisperSTT(warm.speech_models[wanted.model], warm.vad, language=wanted.options.language)
