"""Whether a window of sound is speech: Silero's model, loaded once a process and shared.

LiveKit's own VAD is a thread hop and a resampler for each stream. The gate asks only about what is
loud, a window takes a tenth of a millisecond, so it is asked where the audio arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime

WINDOW = 512
"""Samples at 16 kHz that Silero hears at a time: 32 ms."""
SAMPLE_RATE = 16_000

_SPOKEN_DBFS = -26.0
_MOST_GAIN_DB = 36.0
_RELEASE_DB = 0.4
"""A window: a voice that turns away is followed within a second or two."""


class SpeechDetector(Protocol):
    """How sure it is that somebody speaks; hears one participant's windows, in order."""

    def probability(self, window: NDArray[np.float32], dbfs: float) -> float:
        """From 0 to 1, for `WINDOW` samples from -1 to 1 whose level is `dbfs`."""
        ...

    def forget(self) -> None:
        """What comes next does not follow what it has heard."""
        ...


class SileroModel:
    """Silero's weights in memory; makes a detector for each participant."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    @classmethod
    def load(cls) -> SileroModel:
        """Load the weights that come with LiveKit's plugin; takes some 50 ms, and blocks."""
        from livekit.plugins.silero import onnx_model

        return cls(onnx_model.new_inference_session(force_cpu=True))

    def detector(self) -> SpeechDetector:
        """For one participant."""
        return _SileroDetector(self._session)


class _SileroDetector:
    """Hears quiet voices at a speaker's level: Silero was taught with people near a microphone."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        from livekit.plugins.silero import onnx_model

        self._model = onnx_model.OnnxModel(onnx_session=session, sample_rate=SAMPLE_RATE)
        self._peak_dbfs = -100.0

    def probability(self, window: NDArray[np.float32], dbfs: float) -> float:
        self._peak_dbfs = max(dbfs, self._peak_dbfs - _RELEASE_DB)
        gain = min(_MOST_GAIN_DB, max(0.0, _SPOKEN_DBFS - self._peak_dbfs))
        return float(self._model(window * np.float32(10.0 ** (gain / 20.0)) if gain else window))

    def forget(self) -> None:
        self._model.reset()
        self._peak_dbfs = -100.0
