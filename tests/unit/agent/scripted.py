"""An STT that does what a test tells it, after livekit-agents' own fake: no audio is understood."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from metering.meters.attribution import Attribution, current_attribution
from tests.sound import RATE

PATIENCE_SECONDS = 10.0


def numbered(*numbers: int) -> list[rtc.AudioFrame]:
    """Frames of one second, each to be told by its number."""
    return [
        rtc.AudioFrame(np.full(RATE, number, np.int16).tobytes(), RATE, 1, RATE)
        for number in numbers
    ]


class ScriptedSTT(stt.STT[Any]):
    """`refusals` are raised where a stream is asked for, one each; `last_words` at their end.

    So many of the next streams as `hanging` says do not end with their audio.
    """

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.refusals: deque[Exception] = deque()
        self.last_words = ""
        self.hanging = 0
        self.opened: asyncio.Queue[ScriptedStream] = asyncio.Queue()
        self.opened_at: list[float] = []

    async def next_stream(self) -> ScriptedStream:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.opened.get()

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> ScriptedStream:
        self.opened_at.append(asyncio.get_running_loop().time())
        if self.refusals:
            raise self.refusals.popleft()
        stream = ScriptedStream(self, conn_options)
        self.opened.put_nowait(stream)
        return stream


class ScriptedStream(stt.RecognizeStream):
    """`numbers` are those of the frames that it was sent."""

    def __init__(self, engine: ScriptedSTT, conn_options: APIConnectOptions) -> None:
        self.attribution: Attribution = current_attribution()
        self.numbers: list[int] = []
        self.closed = False
        self._engine = engine
        self._hangs = engine.hanging > 0
        engine.hanging -= self._hangs
        self._got_audio = asyncio.Event()
        self._verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        super().__init__(stt=engine, conn_options=conn_options)

    def say(
        self,
        text: str,
        start: float = 0.0,
        end: float = 0.0,
        *,
        final: bool = True,
        confidence: float = 0.0,
        language: str = "en",
        speaker_id: str | None = None,
    ) -> None:
        kinds = stt.SpeechEventType
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=kinds.FINAL_TRANSCRIPT if final else kinds.INTERIM_TRANSCRIPT,
                alternatives=[
                    stt.SpeechData(
                        LanguageCode(language),
                        text,
                        start,
                        end,
                        confidence=confidence,
                        speaker_id=speaker_id,
                    )
                ],
            )
        )

    def hear_speech_begin(self) -> None:
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH))

    def hear_speech_end(self) -> None:
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))

    def account(self) -> None:
        """What a plugin says of its own usage, whenever it likes."""
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                type=stt.SpeechEventType.RECOGNITION_USAGE,
                recognition_usage=stt.RecognitionUsage(audio_duration=1.0),
            )
        )

    def fail(self, error: Exception | None = None) -> None:
        self._verdict.set_exception(error or RuntimeError("the provider is gone"))

    def finish(self) -> None:
        """The provider hangs up, politely."""
        self._verdict.set_result(None)

    async def heard(self, *numbers: int) -> None:
        """Wait until it was sent these frames, and no others."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.numbers) < len(numbers):
                await self._got_audio.wait()
                self._got_audio.clear()
        assert self.numbers == list(numbers)

    async def _run(self) -> None:
        reading = asyncio.create_task(self._read())
        try:
            ends = {self._verdict} if self._hangs else {reading, self._verdict}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._verdict.done():
                self._verdict.result()
            elif self._engine.last_words:
                self.say(self._engine.last_words)
        finally:
            reading.cancel()

    async def _read(self) -> None:
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                self.numbers.append(int(item.data[0]))
                self._got_audio.set()

    async def aclose(self) -> None:
        self.closed = True
        await super().aclose()
