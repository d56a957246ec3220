"""Three hours of somebody's microphone, in simulated time: nothing grows."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, stt
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer
from numpy.typing import NDArray

from agent.listening.gate import PREROLL_SECONDS, Gate
from agent.listening.listener import Listener
from agent.listening.recognisers import Recogniser, Recognisers, StreamTraits
from agent.listening.silence import SilencePolicy
from agent.listening.words import Speaker
from agent.segments import Segment
from tests.sound import RATE
from tests.waiting import until

FRAME_SECONDS = 0.2
TURN_SECONDS = 30
SPOKEN_SECONDS = 5
HOUR = 3600


class LoudIsSpeech:
    """Silero's place is taken, because three hours of it are minutes of computing."""

    def probability(self, window: NDArray[np.float32], dbfs: float) -> float:
        return 1.0 if dbfs > -40 else 0.0

    def forget(self) -> None:
        """It remembers nothing."""


class CountingSTT(stt.STT[Any]):
    """Says how much it has heard whenever it is asked to."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.streams = 0

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
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
    ) -> stt.RecognizeStream:
        self.streams += 1
        return _CountingStream(stt=self, conn_options=conn_options)


class _CountingStream(stt.RecognizeStream):
    async def _run(self) -> None:
        heard = said = 0.0
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                heard += item.duration
            if isinstance(item, rtc.AudioFrame) or heard == said:
                continue
            words = stt.SpeechData(
                LanguageCode("en"), f"{heard - said:.1f}", start_time=said, end_time=heard
            )
            said = heard
            self._event_ch.send_nowait(
                stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[words])
            )


def frame(loud: bool) -> rtc.AudioFrame:
    length = round(FRAME_SECONDS * RATE)
    wave = 6000 * np.sin(np.arange(length) * 2 * np.pi * 220 / RATE) * loud
    return rtc.AudioFrame(wave.astype(np.int16).tobytes(), RATE, 1, length)


async def test_three_hours_leave_no_trace_in_memory() -> None:
    time = 0.0
    segments = 0
    newest: Segment | None = None

    async def count(segment: Segment) -> None:
        nonlocal segments, newest
        segments, newest = segments + 1, segment

    async def ignore(_: object) -> None:
        """There are no interims."""

    engine = CountingSTT()
    # The rest of a turn passes before the answer can be read.
    traits = StreamTraits(patience=TURN_SECONDS)
    listener = Listener(
        Speaker("alice", lambda: "Alice", "TR_alice"),
        Recognisers([Recogniser(engine, silence=SilencePolicy(closes=False), traits=traits)]),
        now=lambda: time,
        on_segment=count,
        on_interim=ignore,
        gate=Gate(LoudIsSpeech()),
    )
    hearing = asyncio.create_task(listener.recognise())
    quiet, loud = frame(False), frame(True)
    sizes = []
    tracemalloc.start()
    try:
        for turn in range(3 * HOUR // TURN_SECONDS):
            for step in range(round(TURN_SECONDS / FRAME_SECONDS)):
                time += FRAME_SECONDS
                spoken = 10 <= step * FRAME_SECONDS < 10 + SPOKEN_SECONDS
                listener.push(loud if spoken else quiet)
            await until(lambda least=turn: segments > least)  # type: ignore[misc]
            if (turn + 1) * TURN_SECONDS % HOUR == 0:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    listener.end()
    await hearing
    assert engine.streams == 1
    assert segments == 3 * HOUR // TURN_SECONDS
    # Hours later a stretch still lies where it was said, on the meeting's clock.
    assert newest is not None
    began = 3 * HOUR - TURN_SECONDS + 10
    assert abs(newest.start - began) <= PREROLL_SECONDS + FRAME_SECONDS
    assert abs(newest.end - (began + SPOKEN_SECONDS)) <= 1.0
    assert sizes[2] - sizes[0] < 64 * 1024
