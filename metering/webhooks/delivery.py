"""What is owed to a receiver, sent to it: signed, in order, again until it is taken."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from ..outbox import Item, Outbox, Rejected, TryLater
from ..settings import MeterSettings
from .endpoints import Endpoint, endpoints
from .signing import sign

TIMEOUT_SECONDS = 20.0
"""As the specification recommends, 15 to 30."""
LONGEST_PAUSE_SECONDS = 900.0

_NEVER = frozenset({400, 410, 413, 415, 422, 451})
"""Answers that are about this very event, or that say never again. Any other may be put right by
whoever runs the receiver: a wrong path, a secret that they do not know yet."""


class Delivery:
    """Sends to one receiver, in a client session of the caller's."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: aiohttp.ClientSession,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def __call__(self, item: Item) -> None:
        """Send an item once.

        Raises:
            Rejected: the receiver will never take it.
            TryLater: it does not take it now.
            aiohttp.ClientError: it cannot be reached, or broke off.
            TimeoutError: it did not answer in time.
        """
        async with self._session.post(
            self._endpoint.url,
            data=body(item.payload),
            headers=headers(self._endpoint, item, int(time.time())),
            # A redirect would take what was signed for one receiver to another.
            allow_redirects=False,
            timeout=self._timeout,
        ) as answer:
            if 200 <= answer.status < 300:
                return
            told = f"answered {answer.status}"
            if answer.status in _NEVER:
                raise Rejected(told)
            raise TryLater(told, _retry_after(answer.headers.get("Retry-After", "")))


def body(payload: Any) -> bytes:
    """What is sent, to the byte: the same at each attempt."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def headers(endpoint: Endpoint, item: Item, timestamp: int) -> dict[str, str]:
    """What says who sends it, when, and which event it is, however often it comes."""
    webhook_id = f"msg_{hashlib.sha256(item.key.encode()).hexdigest()[:32]}"
    return {
        "content-type": "application/json",
        "user-agent": "tallyroom",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(endpoint.keys, webhook_id, timestamp, body(item.payload)),
    }


def _retry_after(value: str) -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); 0 where it says nothing."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


async def deliver_all_forever(settings: MeterSettings) -> None:
    """Deliver to each receiver until cancelled; one that is slow or away delays no other.

    Returns at once where there is none.

    Raises:
        SettingsError: a receiver or the secret cannot be used.
    """
    receivers = endpoints(settings)
    if not receivers:
        return
    outbox = Outbox(settings.outbox_path)
    async with client_session() as session:
        await asyncio.gather(
            *(
                outbox.deliver_forever(
                    receiver.destination,
                    Delivery(receiver, session),
                    longest_seconds=LONGEST_PAUSE_SECONDS,
                )
                for receiver in receivers
            )
        )


def client_session() -> aiohttp.ClientSession:
    """A session that carries nothing from one receiver to another."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
