"""The real embedded model and voice finder, loaded once: each takes a second and 200 MB."""

from __future__ import annotations

import pytest
from livekit.agents import vad
from livekit.plugins import silero

from agent.speech_model import BUNDLED_MODEL, SpeechModel


@pytest.fixture(scope="session")
def speech_model() -> SpeechModel:
    return SpeechModel.load(BUNDLED_MODEL)


@pytest.fixture(scope="session")
def voice_finder() -> vad.VAD:
    return silero.VAD.load()
