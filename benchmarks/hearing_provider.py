"""A local Deepgram that keeps what it hears, in a process of its own.

It answers as Deepgram does with this plugin: the start of speech, an interim about once a second, a
final at a pause or when asked. It tells speech from other sound, so that music gets no words. Each
final has a word of its own, by which its caption is recognised, and is stamped as it is sent.

It prints its port; a line on stdin ends it, and it writes its ledger and the audio that it was sent
into the folder that it was given. Times are on the machine's monotonic clock, in seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from aiohttp import web
from numpy.typing import NDArray
from typing_extensions import override

from agent.listening.loudness import level
from agent.listening.speech_detector import WINDOW, SileroModel, SpeechDetector
from demo.tied import tied_to_parent
from tests.providers.deepgram import DeepgramServer, Listening
from tests.providers.speech import BilledConnection, Conversation

ROOT = Path(__file__).resolve().parent.parent
API_KEY = "dg-key"
PAUSE_SECONDS = 0.3
"""Deepgram's documentation suggests `endpointing=300` for conversations."""
_INTERIM_SECONDS = 1.0
_SPEECH = 0.5
_RATE = 16_000
_MARK = "utterance"
_LEDGER = "ledger.json"


@dataclass(frozen=True)
class Message:
    """Audio as it arrived: when, and how many samples."""

    at: float
    samples: int


@dataclass(frozen=True)
class Final:
    """A transcript as it was sent: the word that it alone has, and when."""

    mark: str
    at: float


@dataclass(frozen=True)
class HeardConnection:
    """One connection: its bill, and everything that went through it."""

    opened_at: float
    closed_at: float
    messages: tuple[Message, ...]
    finals: tuple[Final, ...]
    audio: NDArray[np.int16]

    @property
    def connection_seconds(self) -> float:
        """From its opening to its end."""
        return self.closed_at - self.opened_at

    @property
    def audio_seconds(self) -> float:
        """How much audio it was sent."""
        return len(self.audio) / _RATE


def marks_in(text: str) -> list[str]:
    """The marks of the finals that a caption shows."""
    return [word for word in text.split() if word.startswith(_MARK)]


class _Hearing(Listening):
    def __init__(
        self,
        socket: web.WebSocketResponse,
        billed: BilledConnection,
        detector: SpeechDetector,
        marks: itertools.count[int],
    ) -> None:
        super().__init__(socket, billed)
        self.audio = bytearray()
        self.messages: list[Message] = []
        self.finals: list[Final] = []
        self._detector = detector
        self._marks = marks
        self._judged = 0
        self._spoken = 0.0
        self._pause = 0.0
        self._since_interim = 0.0
        self._mark = ""

    @override
    async def hear(self, audio: bytes) -> None:
        self.billed.audio_bytes += len(audio)
        self.audio += audio
        self.messages.append(Message(time.monotonic(), len(audio) // 2))
        while len(self.audio) - self._judged >= 2 * WINDOW:
            window = np.frombuffer(self.audio, np.int16, WINDOW, self._judged)
            self._judged += 2 * WINDOW
            await self._judge(window.astype(np.float32) / np.float32(32768.0))

    async def _judge(self, window: NDArray[np.float32]) -> None:
        seconds = WINDOW / _RATE
        if self._detector.probability(window, level(window)) >= _SPEECH:
            if not self._spoken:
                self._mark = f"{_MARK}{next(self._marks)}"
                await self.say(type="SpeechStarted", channel=[0, 1], timestamp=self._position)
            self._spoken += seconds
            self._pause = 0.0
            self._since_interim += seconds
            if self._since_interim >= _INTERIM_SECONDS:
                self._since_interim = 0.0
                await self._result(final=False)
        elif self._spoken:
            self._pause += seconds
            if self._pause >= PAUSE_SECONDS:
                await self.final()

    @property
    def _position(self) -> float:
        return self._judged / 2 / _RATE

    @override
    async def final(self) -> None:
        if self._spoken:
            self.finals.append(Final(self._mark, time.monotonic()))
            await self._result(final=True)
            self._spoken = self._pause = self._since_interim = 0.0

    async def _result(self, *, final: bool) -> None:
        end = self._position - self._pause
        start = max(0.0, end - self._spoken)
        text = f"{self._mark} and {self._spoken:.1f} seconds of what was said"
        step = (end - start) / len(text.split())
        words = [
            {
                "word": word,
                "punctuated_word": word,
                "start": start + number * step,
                "end": start + (number + 1) * step,
                "confidence": 0.98,
            }
            for number, word in enumerate(text.split())
        ]
        await self.say(
            type="Results",
            channel_index=[0, 1],
            start=start,
            duration=end - start,
            is_final=final,
            speech_final=final,
            channel={"alternatives": [{"transcript": text, "confidence": 0.98, "words": words}]},
            metadata={"request_id": self.billed.request_id, "model_uuid": "local"},
        )


class _HearingServer(DeepgramServer):
    def __init__(self) -> None:
        super().__init__(api_key=API_KEY)
        self.heard: list[_Hearing] = []
        self._silero = SileroModel.load()
        self._marks = itertools.count(1)

    @override
    def conversation(self, socket: web.WebSocketResponse, billed: BilledConnection) -> Conversation:
        hearing = _Hearing(socket, billed, self._silero.detector(), self._marks)
        self.heard.append(hearing)
        return hearing

    def write(self, folder: Path) -> None:
        ledger = []
        for number, hearing in enumerate(self.heard):
            (folder / f"{number}.pcm").write_bytes(hearing.audio)
            ledger.append(
                {
                    "opened_at": hearing.billed.opened_at,
                    "closed_at": hearing.billed.closed_at,
                    "messages": [asdict(message) for message in hearing.messages],
                    "finals": [asdict(final) for final in hearing.finals],
                }
            )
        (folder / _LEDGER).write_text(json.dumps(ledger))


class Provider:
    """One that runs; `base_url` is for DEEPGRAM_BASE_URL."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, folder: Path) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1/listen"
        self._process = process
        self._folder = folder

    async def close(self) -> list[HeardConnection]:
        """End it; returns every connection that there was, in the order of their opening."""
        await self._process.communicate(b"end\n")
        ledger = json.loads((self._folder / _LEDGER).read_text())
        return [
            HeardConnection(
                line["opened_at"],
                line["closed_at"],
                tuple(Message(**message) for message in line["messages"]),
                tuple(Final(**final) for final in line["finals"]),
                np.fromfile(self._folder / f"{number}.pcm", np.int16),
            )
            for number, line in enumerate(ledger)
        ]


@asynccontextmanager
async def open_provider(folder: Path) -> AsyncIterator[Provider]:
    """A provider that keeps what it hears in an empty folder."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    process = await asyncio.create_subprocess_exec(
        *tied_to_parent(sys.executable, "-m", "benchmarks.hearing_provider", folder),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        yield Provider(process, int(await process.stdout.readline()), folder)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _main(folder: Path) -> None:
    async with _HearingServer() as server:
        print(server.port, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    server.write(folder)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
