"""Who is told: the receivers that the settings name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import SettingsError
from ..settings import MeterSettings
from .signing import parse_secret

PREFIX = "webhook-"
"""What the outbox's folders for receivers begin with."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver; `destination` is its name in the outbox, made from the URL and not showing it."""

    destination: str
    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)

    @property
    def origin(self) -> str:
        """Where it is, without the path or query: these can be secrets."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def endpoints(settings: MeterSettings) -> tuple[Endpoint, ...]:
    """The receivers that are set, in their order; none where no URL is.

    Raises:
        SettingsError: a URL that is none, or no secret to sign with.
    """
    urls = dict.fromkeys(settings.webhook_url.replace(",", " ").split())
    if not urls:
        return ()
    secrets = settings.webhook_secret.get_secret_value().split()
    if not secrets:
        raise SettingsError(
            "TALLYROOM_WEBHOOK_URL is set, and TALLYROOM_WEBHOOK_SECRET is not: a receiver could"
            " not tell who sends; `echo whsec_$(openssl rand -base64 32)` makes one"
        )
    keys = tuple(parse_secret(secret) for secret in secrets)
    return tuple(
        Endpoint(_name(_checked(number, url)), url, keys)
        for number, url in enumerate(urls, start=1)
    )


def _checked(number: int, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        # Not quoted: a URL can be as good as a password.
        raise SettingsError(
            f"TALLYROOM_WEBHOOK_URL: number {number} is not a URL such as https://example.com/hook"
        )
    return url


def _name(url: str) -> str:
    return f"{PREFIX}{hashlib.sha256(url.encode()).hexdigest()[:12]}"
