"""What every local provider shares: a loopback server on a free port, and a queue of faults."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one connection or request; nothing, as it is made."""

    refuse: int | None = None
    """Answered with this status."""
    hang: bool = False
    """Never answered."""
    slow_seconds: float = 0.0
    """Answered that late."""
    drop_after: int | None = None
    """Reset after so many bytes of audio, or chunks of a reply."""
    vanish_after: int | None = None
    """Ended after so much, without a closing handshake."""
    twice: bool = False
    """Whatever the server says, it says twice."""

    def breaks_at(self, count: int) -> bool:
        return any(
            after is not None and count >= after for after in (self.drop_after, self.vanish_after)
        )

    def break_off(self, request: web.Request) -> None:
        assert request.transport is not None
        if self.drop_after is not None:
            request.transport.abort()
        else:
            request.transport.close()


NO_FAULT = Fault()


class ProviderServer:
    """An HTTP server on loopback, as an async context manager.

    `refusals` are status codes that the next requests are answered with, one each; `faults` are
    what goes wrong with the next ones that are not refused, one each.
    """

    def __init__(self) -> None:
        self.refusals: deque[int] = deque()
        self.faults: deque[Fault] = deque()
        self.refused = 0
        self.hung = 0
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.host = "127.0.0.1"
        self.port = 0

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        self._closing.set()
        await self._runner.cleanup()

    def refuse(self) -> None:
        """Answer with the next refusal, if there is one."""
        if self.refusals:
            self._refuse(self.refusals.popleft())

    async def meet(self) -> Fault:
        """The fault that this request meets; those before the answer have happened by then."""
        fault = self.pick()
        await self.delay(fault)
        return fault

    def pick(self) -> Fault:
        """The fault that this request meets, once it has not been refused."""
        self.refuse()
        fault = self.faults.popleft() if self.faults else NO_FAULT
        if fault.refuse is not None:
            self._refuse(fault.refuse)
        return fault

    async def delay(self, fault: Fault) -> None:
        """Answer late, or never."""
        if fault.hang:
            self.hung += 1
            await self._closing.wait()
            raise web.HTTPServiceUnavailable
        if fault.slow_seconds:
            await asyncio.sleep(fault.slow_seconds)

    def _refuse(self, status: int) -> None:
        self.refused += 1
        raise _STATUS[status]()


_STATUS: dict[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    429: web.HTTPTooManyRequests,
    500: web.HTTPInternalServerError,
    503: web.HTTPServiceUnavailable,
}
