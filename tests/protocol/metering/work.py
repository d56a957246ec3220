"""Random work for metered plugins: streams, replies and voices, with everything that goes wrong.

Each piece of work is attributed to a participant of its own, whose name is in what is asked, so
that a request which its provider never named can be found in the ledger all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import openai as openai_api
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError, inference, llm, stt
from livekit.agents.utils import http_context
from livekit.plugins import assemblyai, deepgram, openai

from metering.meters.attribution import attribution
from metering.meters.connections import ConnectionMeter
from metering.meters.models import ModelMeter
from metering.meters.requests import RequestMeter
from tests.providers.assemblyai import AssemblyAIServer
from tests.providers.deepgram import DeepgramServer
from tests.providers.inference import InferenceServer
from tests.providers.openai import OpenAIServer
from tests.providers.openai_realtime import OpenAIRealtimeServer
from tests.providers.server import NO_FAULT, Fault
from tests.recording import Recording
from tests.sound import RATE, silence, tone

PATIENCE_SECONDS = 0.6
ONCE_MORE = APIConnectOptions(max_retry=1, retry_interval=0.02, timeout=PATIENCE_SECONDS)
ONCE = APIConnectOptions(max_retry=0, timeout=PATIENCE_SECONDS)
_WRONG = (APIError, aiohttp.ClientError, openai_api.APIError, TimeoutError)
Engine = deepgram.STT | assemblyai.STT | inference.STT
_STATUSES = (400, 401, 429, 500, 503)


@dataclass
class Providers:
    """Every local provider, each with its ledger."""

    deepgram: DeepgramServer
    assemblyai: AssemblyAIServer
    inference: InferenceServer
    realtime: OpenAIRealtimeServer
    openai: OpenAIServer

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Providers]:
        async with (
            DeepgramServer() as one,
            AssemblyAIServer() as two,
            InferenceServer() as three,
            OpenAIRealtimeServer() as four,
            OpenAIServer(reply="a reply of words that goes on for quite a while") as five,
            http_context.open(),
        ):
            five.cached_tokens, five.reasoning_tokens, five.pause_seconds = 2, 3, 0.002
            yield cls(one, two, three, four, five)

    @property
    def speech(self) -> tuple[DeepgramServer | AssemblyAIServer | InferenceServer, ...]:
        return self.deepgram, self.assemblyai, self.inference

    def plan_faults(self, rng: random.Random, count: int) -> None:
        """A third of all connections and requests meet a fault."""
        for server in self.speech:
            server.faults.extend(_fault(rng, rng.randrange(1, 12) * 1600) for _ in range(count))
        # While the speaker still speaks: what was heard to its end has been billed by then.
        self.realtime.faults.extend(_fault(rng, rng.randrange(1, 5) * 2400) for _ in range(count))
        self.openai.faults.extend(_fault(rng, rng.randrange(1, 6)) for _ in range(3 * count))


def _fault(rng: random.Random, after: int) -> Fault:
    if rng.random() > 0.33:
        return NO_FAULT
    return rng.choice(
        [
            Fault(refuse=rng.choice(_STATUSES)),
            Fault(hang=True),
            Fault(slow_seconds=rng.uniform(0.02, 0.2)),
            Fault(drop_after=after),
            Fault(vanish_after=after),
            Fault(twice=True),
        ]
    )


class Work:
    """Metered models of every provider, and work for them."""

    def __init__(self, providers: Providers, recording: Recording, rng: random.Random) -> None:
        self.rng = rng
        self.done = 0
        self.connections = ConnectionMeter(recording.recorder)
        self.requests = RequestMeter(recording.recorder)
        self.models = ModelMeter(recording.recorder, self.connections, self.requests)
        self.session = self.connections.http_session()
        self.connections.trace(http_context.http_session())
        self.client = openai_api.AsyncClient(
            api_key="key",
            base_url=f"{providers.openai.origin}/v1",
            http_client=self.requests.http_client(),
            max_retries=0,
            timeout=PATIENCE_SECONDS,
        )
        self.deepgram = deepgram.STT(
            api_key=providers.deepgram.api_key,
            base_url=f"{providers.deepgram.origin}/v1/listen",
            http_session=self.session,
        )
        self.assemblyai = assemblyai.STT(
            api_key=providers.assemblyai.api_key,
            base_url=providers.assemblyai.origin,
            http_session=self.session,
        )
        self.inference = inference.STT(
            model="deepgram/nova-3",
            language="en",
            base_url=f"{providers.inference.origin}/v1",
            api_key="key",
            api_secret="a secret of the length that is asked for",
            http_session=self.session,
        )
        self.realtime = openai.STT(
            model="gpt-4o-mini-transcribe",
            base_url=f"{providers.realtime.origin}/v1",
            api_key=providers.realtime.api_key,
            use_realtime=True,
        )
        self.llm = openai.LLM(model="gpt-4.1-mini", client=self.client)
        self.voice = openai.TTS(model="tts-1", client=self.client, response_format="pcm")
        for model in (
            self.deepgram,
            self.assemblyai,
            self.inference,
            self.realtime,
            self.llm,
            self.voice,
        ):
            self.models.watch(model)

    async def do(self, count: int, *, at_once: int) -> None:
        """So many pieces of work, so many of them at once."""
        pieces = iter([(number, self._piece()) for number in range(count)])

        async def worker() -> None:
            for number, piece in pieces:
                with attribution(participant=f"p{number}", purpose="work"):
                    await piece(f"p{number}")
                self.done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())

    async def close(self) -> None:
        await self.realtime.aclose()
        await self.session.close()
        await http_context.http_session().close()
        await self.client.close()

    def _piece(self) -> Callable[[str], Awaitable[None]]:
        rng = self.rng
        seconds, pause = rng.randrange(1, 13) / 20, rng.choice([0.0, 0.0, rng.uniform(0, 2.2)])
        ends, words = rng.random() < 0.8, rng.randrange(1, 20)
        engines: list[Engine] = [self.deepgram, self.assemblyai, self.inference]
        engine = rng.choice(engines)

        async def listen(name: str) -> None:
            await self._listen(engine, seconds, pause, ends=ends)

        async def transcribe(name: str) -> None:
            await self._transcribe()

        async def reply(name: str) -> None:
            await self._reply(name, words, chunks=None if ends else words % 5 + 1)

        async def answer(name: str) -> None:
            await self._answer(name, words)

        async def speak(name: str) -> None:
            await self._speak(name, words)

        (piece,) = rng.choices([listen, transcribe, reply, answer, speak], [10, 1, 4, 2, 3])
        return piece

    async def _listen(self, engine: Engine, seconds: float, pause: float, *, ends: bool) -> None:
        stream = engine.stream(conn_options=ONCE_MORE)
        frames = _frames(tone(seconds))
        try:
            with contextlib.suppress(*_WRONG):
                for frame in frames[: len(frames) // 2]:
                    stream.push_frame(frame)
                await asyncio.sleep(pause)
                # A stream that has failed meanwhile says so by an error of its own.
                with contextlib.suppress(RuntimeError):
                    for frame in frames[len(frames) // 2 :]:
                        stream.push_frame(frame)
                    if ends:
                        stream.end_input()
                async with asyncio.timeout(PATIENCE_SECONDS * 4 if ends else 0.1):
                    async for _ in stream:
                        pass
        finally:
            await stream.aclose()

    async def _transcribe(self) -> None:
        stream = self.realtime.stream(conn_options=ONCE_MORE)
        finals = 0
        try:
            with contextlib.suppress(*_WRONG):
                for frame in _frames(tone(0.3), silence(0.4)):
                    stream.push_frame(frame)
                stream.flush()
                async with asyncio.timeout(PATIENCE_SECONDS * 2):
                    async for event in stream:
                        finals += event.type is stt.SpeechEventType.RECOGNITION_USAGE
                        if finals:
                            break
        finally:
            await stream.aclose()

    async def _reply(self, name: str, words: int, *, chunks: int | None) -> None:
        context = llm.ChatContext.empty()
        context.add_message(role="user", content=_asked(name, words))
        stream = self.llm.chat(chat_ctx=context, conn_options=ONCE_MORE)
        received = 0
        with contextlib.suppress(*_WRONG):
            async for _ in stream:
                received += 1
                if received == chunks:
                    break
        await stream.aclose()

    async def _answer(self, name: str, words: int) -> None:
        with contextlib.suppress(*_WRONG):
            await self.client.chat.completions.create(
                model="gpt-4.1-mini",
                messages=[{"role": "user", "content": _asked(name, words)}],
            )

    async def _speak(self, name: str, words: int) -> None:
        stream = self.voice.synthesize(_asked(name, words), conn_options=ONCE)
        try:
            with contextlib.suppress(*_WRONG):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    async for _ in stream:
                        pass
        finally:
            await stream.aclose()


def _asked(name: str, words: int) -> str:
    return " ".join([name, *["word"] * words])


def _frames(*sounds: Iterator[rtc.AudioFrame]) -> list[rtc.AudioFrame]:
    """In frames of 50 ms: ten at once are lighter than ten times one."""
    data = b"".join(bytes(frame.data) for sound in sounds for frame in sound)
    step = RATE // 20 * 2
    return [
        rtc.AudioFrame(data[start : start + step], RATE, 1, step // 2)
        for start in range(0, len(data) - step + 1, step)
    ]
