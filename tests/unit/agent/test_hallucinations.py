"""Nobody is put words into the mouth, and nobody's are taken out of it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from livekit.agents import vad

from agent.hallucinations import is_hallucinated
from agent.speech_model import Heard, SpeechModel
from agent.whisper_stt import WhisperSTT
from tests.noises import NOISES, at_peak, humming, keyboard
from tests.sound import RATE, Samples, frames, spoken
from tests.unit.agent.test_whisper_stt import finals, transcribe
from tests.words import recognised, words


def made_up(text: str, no_speech: float, log_probability: float, ratio: float = 1.0) -> bool:
    return is_hallucinated(
        text,
        no_speech=no_speech,
        log_probability=log_probability,
        compression_ratio=ratio,
    )


@pytest.mark.parametrize(
    ("text", "no_speech", "log_probability"),
    [
        # As tiny.en has put sounds without words, at the edge of what was measured.
        ("Thank you.", 0.86, -1.06),
        ("Thank you.", 0.53, -1.18),
        ("you", 0.95, -1.1),
        ("You", 0.53, -1.69),
        ("Okay.", 0.52, -1.43),
        ("Mm.", 0.43, -0.65),
        ("Mm-hmm.", 0.7, -0.48),
        ("Mmm", 0.64, -1.2),
        ("So.", 0.77, -2.19),
        ("Thanks for watching!", 0.58, -1.16),
        ("Untertitel der Amara.org-Community", 0.7, -0.8),
        # Of whatever quality.
        (". . .", 0.1, -0.1),
        ("[Music]", 0.1, -0.1),
        ("(keyboard clicking)", 0.1, -0.1),
        ("\u266a\u266a", 0.1, -0.1),
        ("", 0.1, -0.1),
    ],
)
def test_what_nobody_said(text: str, no_speech: float, log_probability: float) -> None:
    assert made_up(text, no_speech, log_probability)


@pytest.mark.parametrize(
    ("text", "no_speech", "log_probability"),
    [
        # As tiny.en has put people: clipped, whispered, in noise.
        ("Good job, Dash.", 0.39, -1.03),
        ("your John Dash.", 0.33, -1.06),
        ("It was the best of times.", 0.91, -0.32),
        ("be all disposed.", 0.64, -0.51),
        ("and rather as self.", 0.71, -0.88),
        ("narrative.", 0.33, -1.69),
        # The same words as those that are made up, said well enough.
        ("Thank you.", 0.05, -0.4),
        ("Thank you.", 0.9, -0.4),
        ("Thank you.", 0.3, -0.9),
        ("Okay.", 0.2, -0.6),
        ("Mm-hmm.", 0.1, -0.6),
        ("Yes.", 0.3, -1.1),
        ("No!", 0.3, -1.1),
        ("Thank you for the music.", 0.3, -1.1),
        ("[Music] and then we go on", 0.3, -0.4),
        ("\u4f60\u597d", 0.1, -0.4),
        ("42", 0.1, -0.4),
    ],
)
def test_what_somebody_said(text: str, no_speech: float, log_probability: float) -> None:
    assert not made_up(text, no_speech, log_probability)


def test_who_repeats_themselves_means_it_unless_it_is_poor() -> None:
    again = "no " * 20
    assert not made_up(again, 0.1, -0.3, ratio=6.0)
    assert made_up(again, 0.1, -1.1, ratio=6.0)
    assert not made_up("and so we did", 0.1, -1.1, ratio=1.2)


@pytest.mark.parametrize("name", NOISES)
async def test_the_model_has_no_words_for_a_sound_without_any(
    speech_model: SpeechModel, name: str
) -> None:
    """Without the voice finder before it, which would keep most of them from it."""
    for number, (seconds, peak) in enumerate(product((0.8, 3.0), (300, 25_000))):
        sound = at_peak(NOISES[name](seconds, 200 + number), peak)
        for beam_size in (5, 1):
            heard = await speech_model.transcribe(sound, "en", beam_size=beam_size)
            assert heard == Heard("", 0.0, "en"), (name, seconds, peak)


def test_whisper_by_itself_does_have_words_for_them(speech_model: SpeechModel) -> None:
    written = ""
    for make in NOISES.values():
        segments, _ = speech_model._model.transcribe(
            at_peak(make(2.5, 210), 6_000).astype(np.float32) / 32768,
            language="en",
            without_timestamps=True,
            log_prob_threshold=None,
            no_speech_threshold=None,
        )
        written += " ".join(segment.text for segment in segments)
    assert len(words(written)) >= 4


async def test_a_person_who_hums_while_typing_says_nothing(
    speech_model: SpeechModel, voice_finder: vad.VAD
) -> None:
    engine = WhisperSTT(speech_model, voice_finder, language="en")
    sound = humming(20.0, 31) / 3 + keyboard(20.0, 32) / 3
    events = await transcribe(engine, frames(at_peak(sound, 12_000)))
    assert [said.text for said in finals(events) if said.text] == []


def at_level(samples: Samples, gain: float) -> Samples:
    return np.clip(samples.astype(np.float64) * gain, -32768, 32767).astype(np.int16)


WHISPER_DBFS = {"austen_0870": 0.01, "austen_0890": 0.01, "two_cities": 0.03}
"""The readers' peaks are at -7 and -18 dBFS; at these gains they are at -47 and -49."""


@pytest.mark.parametrize("level", ["whisper", "quiet", "as recorded", "clipping"])
@pytest.mark.parametrize("name", WHISPER_DBFS)
async def test_speech_is_heard_at_any_level(
    speech_model: SpeechModel, name: str, level: str
) -> None:
    gains = {"whisper": WHISPER_DBFS[name], "quiet": 0.1, "as recorded": 1.0, "clipping": 30.0}
    clip = spoken(name)[: 8 * RATE]
    reference = await speech_model.transcribe(clip, "en", beam_size=5)
    heard = await speech_model.transcribe(at_level(clip, gains[level]), "en", beam_size=5)
    assert len(words(reference.text)) > 10
    assert recognised(reference.text, heard.text) >= 0.75


@pytest.mark.parametrize("gain", [0.03, 1.0, 30.0])
async def test_short_utterances_are_never_taken_for_inventions(
    speech_model: SpeechModel, gain: float
) -> None:
    """Pieces of a second or two, cut without regard to words: the hardest that people say."""
    pieces = [
        ("austen_0870", 0.5, 0.8),
        ("austen_0870", 2.0, 1.2),
        ("austen_0870", 4.0, 2.0),
        ("austen_0870", 6.0, 1.0),
        ("austen_0890", 0.5, 0.8),
        ("austen_0890", 2.0, 1.2),
        ("austen_0920", 0.5, 0.8),
        ("austen_0920", 2.0, 1.2),
        ("two_cities", 2.0, 1.2),
        ("two_cities", 4.0, 2.0),
    ]
    for name, at, seconds in pieces:
        piece = spoken(name)[int(at * RATE) : int((at + seconds) * RATE)]
        heard = await speech_model.transcribe(at_level(piece, gain), "en", beam_size=5)
        assert heard.text, (name, at, gain)
