"""A speech provider at the far end of a socket, in a process of its own so that its CPU is its own.

It prints its port. It takes what it is sent, and answers a text message that is a number with so
many results.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import WSMsgType, web

RESULT = json.dumps(
    {
        "type": "Results",
        "channel_index": [0, 1],
        "start": 12.5,
        "duration": 1.02,
        "is_final": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": "and that is what we said we would do by friday",
                    "confidence": 0.98,
                    "words": [
                        {"word": "said", "start": 12.5 + n / 5, "end": 12.7 + n / 5}
                        for n in range(10)
                    ],
                }
            ]
        },
    }
)


async def _serve(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT and str(message.data).isdecimal():
            for _ in range(int(message.data)):
                await socket.send_str(RESULT)
    return socket


async def _main() -> None:
    application = web.Application()
    application.add_routes([web.get("/v1/listen", _serve)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def far_end() -> Iterator[str]:
    """The URL of one, for as long as the block."""
    command = [sys.executable, "-m", "benchmarks.far_end"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"ws://127.0.0.1:{port}/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_main())
