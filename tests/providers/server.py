"""What every local provider shares: a loopback server on a free port, and a queue of faults."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from aiohttp import web


class ProviderServer:
    """An HTTP server on loopback, as an async context manager.

    `refusals` are status codes that the next requests are answered with, one each.
    """

    def __init__(self) -> None:
        self.refusals: deque[int] = deque()
        self.refused = 0
        self._runner: web.AppRunner | None = None
        self.port = 0

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
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
        await self._runner.cleanup()

    def refuse(self) -> None:
        """Answer with the next refusal, if there is one."""
        if self.refusals:
            self.refused += 1
            status = self.refusals.popleft()
            raise _STATUS[status]()


_STATUS: dict[int, type[web.HTTPException]] = {
    401: web.HTTPUnauthorized,
    429: web.HTTPTooManyRequests,
    500: web.HTTPInternalServerError,
    503: web.HTTPServiceUnavailable,
}
