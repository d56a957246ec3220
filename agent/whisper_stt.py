"""The embedded model as a LiveKit STT, so that the rest of the transcriber sees no difference.

Silero finds where somebody speaks; each utterance is transcribed when it ends. A person who does
not pause is cut at a quiet moment, because Whisper hears thirty seconds at a time and readers wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils, vad
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from numpy.typing import NDArray
from typing_extensions import override

from .speech_model import SAMPLE_RATE, Heard, SpeechModel

PREROLL_SECONDS = 0.5
LONGEST_UTTERANCE_SECONDS = 22.0
CUT_SEARCH_SECONDS = 4.0
INTERIM_EVERY_SECONDS = 1.5

_FINAL_BEAM = 5
_INTERIM_BEAM = 1
_CUT_WINDOW_SECONDS = 0.1


class WhisperSTT(stt.STT[Any]):
    """Transcribes with the embedded model; `vad` finds the utterances.

    `language` is a BCP 47 tag, or `multi` to find it out for each utterance.
    """

    def __init__(self, model: SpeechModel, vad_: vad.VAD, *, language: str) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._speech_model = model
        self._vad = vad_
        self._language = model.check_language(language)

    @property
    @override
    def provider(self) -> str:
        return "faster-whisper"

    @property
    @override
    def model(self) -> str:
        return self._speech_model.name

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        resampled = _to_model_rate(frame)
        heard = await self._speech_model.transcribe(
            resampled, self._language, beam_size=_FINAL_BEAM
        )
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT,
            request_id=_new_request_id(),
            alternatives=[
                stt.SpeechData(
                    language=LanguageCode(heard.language),
                    text=heard.text,
                    end_time=frame.duration,
                    confidence=heard.confidence,
                )
            ],
        )

    @override
    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _WhisperStream(
            self, self._speech_model, self._vad, self._language, conn_options=conn_options
        )


class _Utterance:
    """Audio from where somebody began to speak; `start` is its position in the stream, seconds."""

    def __init__(self, start: float, preroll: list[NDArray[np.int16]]) -> None:
        self.start = start
        self._chunks = preroll
        self.trailing_silence = 0.0
        self.seconds = sum(len(chunk) for chunk in preroll) / SAMPLE_RATE

    def add(self, chunk: NDArray[np.int16]) -> None:
        self._chunks.append(chunk)
        self.seconds += len(chunk) / SAMPLE_RATE

    @property
    def end(self) -> float:
        """Where the speech in it ends."""
        return self.start + max(0.0, self.seconds - self.trailing_silence)

    def samples(self) -> NDArray[np.int16]:
        return np.concatenate(self._chunks) if self._chunks else np.empty(0, np.int16)

    def cut(self) -> tuple[_Utterance, _Utterance]:
        """In two, at the quietest moment near its end."""
        samples = self.samples()
        at = quietest(samples[-int(CUT_SEARCH_SECONDS * SAMPLE_RATE) :])
        at += max(0, len(samples) - int(CUT_SEARCH_SECONDS * SAMPLE_RATE))
        return (
            _Utterance(self.start, [samples[:at]]),
            _Utterance(self.start + at / SAMPLE_RATE, [samples[at:]]),
        )


def quietest(samples: NDArray[np.int16]) -> int:
    """The middle of the quietest tenth of a second, as an index."""
    window = int(_CUT_WINDOW_SECONDS * SAMPLE_RATE)
    count = len(samples) // window
    if count == 0:
        return len(samples)
    loudness = np.square(samples[: count * window].astype(np.float64)).reshape(count, window).sum(1)
    return int(np.argmin(loudness)) * window + window // 2


class _WhisperStream(stt.RecognizeStream):
    def __init__(
        self,
        engine: WhisperSTT,
        model: SpeechModel,
        vad_: vad.VAD,
        language: str | None,
        *,
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(stt=engine, conn_options=conn_options, sample_rate=SAMPLE_RATE)
        self._speech_model = model
        self._vad_stream = vad_.stream()
        self._language = language
        self._preroll: deque[NDArray[np.int16]] = deque()
        self._preroll_seconds = 0.0
        self._position = 0.0
        self._utterance: _Utterance | None = None
        self._finals: asyncio.Queue[_Utterance | None] = asyncio.Queue()
        self._interim: asyncio.Task[None] | None = None
        self._interim_due = INTERIM_EVERY_SECONDS

    async def _run(self) -> None:
        tasks = [
            asyncio.create_task(self._forward_audio()),
            asyncio.create_task(self._find_utterances()),
            asyncio.create_task(self._transcribe_finals()),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            await utils.aio.cancel_and_wait(*tasks)
            await self._drop_interim()
            await self._vad_stream.aclose()

    async def _forward_audio(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self._vad_stream.push_frame(item)
        self._vad_stream.end_input()

    async def _find_utterances(self) -> None:
        async for event in self._vad_stream:
            if event.type is vad.VADEventType.INFERENCE_DONE:
                for frame in event.frames:
                    self._take_audio(np.frombuffer(frame.data, dtype=np.int16))
            elif event.type is vad.VADEventType.START_OF_SPEECH:
                self._begin()
            elif event.type is vad.VADEventType.END_OF_SPEECH:
                self._end(event.silence_duration)
        self._end(0.0)
        self._finals.put_nowait(None)

    def _take_audio(self, chunk: NDArray[np.int16]) -> None:
        self._position += len(chunk) / SAMPLE_RATE
        if self._utterance is None:
            self._preroll.append(chunk)
            self._preroll_seconds += len(chunk) / SAMPLE_RATE
            while self._preroll_seconds > PREROLL_SECONDS:
                self._preroll_seconds -= len(self._preroll.popleft()) / SAMPLE_RATE
            return
        self._utterance.add(chunk)
        if self._utterance.seconds > LONGEST_UTTERANCE_SECONDS:
            said, self._utterance = self._utterance.cut()
            self._finals.put_nowait(said)
            self._interim_due = INTERIM_EVERY_SECONDS
        elif self._utterance.seconds >= self._interim_due and self._speech_model.is_idle:
            self._interim_due = self._utterance.seconds + INTERIM_EVERY_SECONDS
            self._interim = asyncio.create_task(self._transcribe_interim(self._utterance))

    def _begin(self) -> None:
        if self._utterance is not None:
            return
        start = self._position - self._preroll_seconds
        self._utterance = _Utterance(start, list(self._preroll))
        self._preroll.clear()
        self._preroll_seconds = 0.0
        self._interim_due = INTERIM_EVERY_SECONDS
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH))

    def _end(self, trailing_silence: float) -> None:
        if self._utterance is None:
            return
        self._utterance.trailing_silence = trailing_silence
        self._finals.put_nowait(self._utterance)
        self._utterance = None

    async def _transcribe_finals(self) -> None:
        while (utterance := await self._finals.get()) is not None:
            await self._drop_interim()
            request_id = _new_request_id()
            heard = await self._speech_model.transcribe(
                utterance.samples(), self._language, beam_size=_FINAL_BEAM
            )
            self._report(utterance, heard, request_id)
            self._event_ch.send_nowait(
                stt.SpeechEvent(
                    type=stt.SpeechEventType.RECOGNITION_USAGE,
                    request_id=request_id,
                    recognition_usage=stt.RecognitionUsage(audio_duration=utterance.seconds),
                )
            )
            self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))

    async def _transcribe_interim(self, utterance: _Utterance) -> None:
        heard = await self._speech_model.transcribe(
            utterance.samples(), self._language, beam_size=_INTERIM_BEAM
        )
        if utterance is self._utterance:
            self._report(utterance, heard, request_id=None)

    def _report(self, utterance: _Utterance, heard: Heard, request_id: str | None) -> None:
        """As final where there is a request id to bill it under, else as interim."""
        final = request_id is not None
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=stt.SpeechEventType.FINAL_TRANSCRIPT
                if final
                else stt.SpeechEventType.INTERIM_TRANSCRIPT,
                request_id=request_id or "",
                alternatives=[
                    stt.SpeechData(
                        language=LanguageCode(heard.language),
                        text=heard.text,
                        start_time=utterance.start,
                        end_time=utterance.end,
                        confidence=heard.confidence,
                    )
                ],
            )
        )

    async def _drop_interim(self) -> None:
        if self._interim:
            self._interim.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._interim
            self._interim = None


def _to_model_rate(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    samples = np.frombuffer(frame.data, dtype=np.int16)
    if frame.num_channels > 1:
        samples = samples.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
    if frame.sample_rate == SAMPLE_RATE:
        return samples
    resampler = rtc.AudioResampler(frame.sample_rate, SAMPLE_RATE)
    mono = rtc.AudioFrame(samples.tobytes(), frame.sample_rate, 1, len(samples))
    frames = resampler.push(mono) + resampler.flush()
    return np.concatenate([np.frombuffer(part.data, dtype=np.int16) for part in frames])


def _new_request_id() -> str:
    return f"speech_{uuid.uuid4().hex[:16]}"
