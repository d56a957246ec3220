"""How many STT streams a provider lets be opened, and be open at once.

A setting states the limits of one's own accounts; the shipped file has those that a provider
publishes for a kind of account.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from ..errors import SettingsError

VARIABLE = "TALLYROOM_STT_LIMITS"
_NONE = "none"
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9.-]*")
_TERM = re.compile(r"([1-9][0-9]{0,5})(/min| concurrent)|([a-z]+)")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """One provider's limits; None where there is none.

    No more than `new_streams` are opened in any `window_seconds`, and no more than `concurrent` are
    open at once. An opening is counted for `arrival_seconds` longer than the window: a handshake
    reaches the provider later than it is begun here.
    """

    new_streams: int | None = None
    concurrent: int | None = None
    window_seconds: float = 60.0
    arrival_seconds: float = 1.0

    def __str__(self) -> str:
        """As the setting states them."""
        terms = []
        if self.new_streams is not None:
            terms.append(f"{self.new_streams}/min")
        if self.concurrent is not None:
            terms.append(f"{self.concurrent} concurrent")
        return " ".join(terms) or _NONE

    @property
    def counted_seconds(self) -> float:
        """For how long an opening counts."""
        return self.window_seconds + self.arrival_seconds


NO_LIMITS = StreamLimits()


@dataclass(frozen=True, slots=True)
class PublishedLimit:
    """An entry of the shipped file: figures for a kind of account, or where a plan has them."""

    provider: str
    account: str
    plan_limit: str
    limits: StreamLimits


@functools.cache
def published_limits() -> tuple[PublishedLimit, ...]:
    """The shipped file's entries."""
    file = resources.files(__package__).joinpath("stream_limits.toml")
    tables: list[dict[str, Any]] = tomllib.loads(file.read_text("utf-8"))["limit"]
    return tuple(
        PublishedLimit(
            provider=table["provider"],
            account=table.get("account", ""),
            plan_limit=table.get("plan_limit", ""),
            limits=StreamLimits(
                table.get("new_streams"),
                table.get("concurrent"),
                float(table.get("window_seconds", NO_LIMITS.window_seconds)),
            ),
        )
        for table in tables
    )


def stated_limits(stated: str) -> Mapping[str, StreamLimits]:
    """Limits by provider, as a setting has them: `assemblyai: 5/min, livekit: 5 concurrent`.

    A provider may have both, one after the other; `free` stands for what it publishes for free
    accounts, `none` for no limits at all.

    Raises:
        SettingsError: it cannot be read so; the message names the part that cannot.
    """
    limits: dict[str, StreamLimits] = {}
    for item in filter(None, (part.strip() for part in stated.lower().split(","))):
        provider, colon, terms = (part.strip() for part in item.partition(":"))
        if not (colon and terms and _PROVIDER.fullmatch(provider)):
            raise _unreadable(item, "write provider: limit")
        if provider in limits:
            raise _unreadable(item, f"{provider!r} is there twice; write both its limits in one")
        limits[provider] = _read_terms(item, provider, terms)
    return limits


def _read_terms(item: str, provider: str, terms: str) -> StreamLimits:
    found = list(_TERM.finditer(terms))
    if _TERM.sub("", terms).strip() or not found:
        raise _unreadable(item, "a limit is such as 5/min or 5 concurrent")
    names = [match[3] for match in found if match[3]]
    if names:
        if len(found) > 1:
            raise _unreadable(item, f"{names[0]!r} stands alone")
        return NO_LIMITS if names[0] == _NONE else _of_account(item, provider, names[0])
    kinds = [match[2] for match in found]
    if len(set(kinds)) < len(kinds):
        raise _unreadable(item, f"two limits of one kind for {provider!r}")
    limits = NO_LIMITS
    for match in found:
        count = int(match[1])
        per_minute = match[2] == "/min"
        limits = (
            replace(limits, new_streams=count) if per_minute else replace(limits, concurrent=count)
        )
    return limits


def _of_account(item: str, provider: str, account: str) -> StreamLimits:
    for one in published_limits():
        if (one.provider, one.account) == (provider, account):
            return one.limits
    known = ", ".join(f"{one.provider}: {one.account}" for one in published_limits() if one.account)
    raise _unreadable(item, f"{account!r} is not known of {provider!r}; known are {known}")


def _unreadable(item: str, what: str) -> SettingsError:
    return SettingsError(f"{VARIABLE} has {item!r}: {what}")
