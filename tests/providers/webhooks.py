"""A receiver of webhooks that believes nothing: it checks each signature and keeps a ledger.

It verifies by the Standard Webhooks specification, with none of the sender's code.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from typing_extensions import override

from .server import ProviderServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOLERANCE_SECONDS = 300


@dataclass(frozen=True)
class Trouble:
    """What happens to one request instead of being taken; it comes before the answer."""

    status: int = 0
    retry_after: str = ""
    fate: Literal["answer", "hang", "drop"] = "answer"


@dataclass(frozen=True)
class Taken:
    """An event that was answered with 200."""

    webhook_id: str
    event: Any


@dataclass
class WebhookReceiver(ProviderServer):
    """`troubles` meet the next requests, one each; what comes after them is taken.

    Attributes:
        taken: the ledger, in the order of the answers.
        asked: the id of every request, whatever became of it.
        forged: what was not signed as it should be.
    """

    secret: str = SECRET
    troubles: deque[Trouble] = field(default_factory=deque)
    taken: list[Taken] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"{self.origin}/hook?token=hush"

    @override
    def routes(self) -> list[web.RouteDef]:
        return [web.post("/hook", self._on_post)]

    @property
    def types(self) -> list[str]:
        """What was taken, in order."""
        return [one.event["type"] for one in self.taken]

    async def until(self, count: int, *, asked: int = 0, timeout: float = 30) -> None:
        """Wait until so many were taken, and so many asked for."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(
                lambda: len(self.taken) >= count and len(self.asked) >= asked
            )

    async def _on_post(self, request: web.Request) -> web.Response:
        body = await request.read()
        webhook_id = request.headers.get("webhook-id", "")
        if not self._is_signed(request, body):
            self.forged.append(webhook_id)
            raise web.HTTPUnauthorized
        trouble = self.troubles.popleft() if self.troubles else None
        if trouble is None:
            self.taken.append(Taken(webhook_id, json.loads(body)))
        async with self._changed:
            self.asked.append(webhook_id)
            self.asked_at.append(time.monotonic())
            self._changed.notify_all()
        if trouble is None:
            return web.Response()
        if trouble.fate == "hang":
            await self._closing.wait()
        if trouble.fate == "drop":
            assert request.transport is not None
            request.transport.abort()
        headers = {"Retry-After": trouble.retry_after} if trouble.retry_after else {}
        return web.Response(status=trouble.status or 500, headers=headers)

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        webhook_id, timestamp, signatures = (
            request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")
        )
        if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
            return False
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
        expected = f"v1,{base64.b64encode(digest.digest()).decode()}"
        return any(hmac.compare_digest(expected, one) for one in signatures.split(" "))
